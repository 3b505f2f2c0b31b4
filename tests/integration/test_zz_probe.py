import asyncio, time
from typing import Any
import openai, pytest, aiohttp
from tests.integration.responses_world import World, group, running_world, NAMES

def who(r): return r.output_text.partition("/")[0]

async def test_files(tmp_path):
    async with running_world(tmp_path, lambda p: [group("gpt", p)], num_retries=2) as w, w.client() as c:
        for n in range(4):
            f = await c.files.create(file=("x.bin", bytes(range(256)) * 100), purpose="user_data")
            for _ in range(2):
                try:
                    assert (await c.files.retrieve(f.id)).id == f.id
                    assert (await c.files.content(f.id)).content == bytes(range(256)) * 100
                except openai.APIStatusError as e:
                    print(e.status_code, str(e)[:200])
            print({k: len(v) for k, v in w.asked(f.id).items()})
            rs = [who(await c.responses.create(model="gpt", input=[{"role": "user", "content": [{"type": "input_file", "file_id": f.id}]}])) for _ in range(3)]
            owner = [p.settings.name for p in w.providers if f.id in p._account._kept._files._kept]
            print(rs, owner)
            await c.files.delete(f.id)
            try:
                await c.files.retrieve(f.id)
            except openai.APIStatusError as e:
                print(e.status_code, str(e)[:200])
            w.reset()
        print(len([x async for x in c.files.list(limit=2)]))

async def test_big(tmp_path):
    async with running_world(tmp_path, lambda p: [group("gpt", p)], num_retries=2) as w, w.client() as c:
        pid = w.proxy.worker_pids()[0]
        def rss(): return int(next(l for l in open(f"/proc/{pid}/status") if l.startswith("VmHWM")).split()[1])
        before = rss()
        t = time.monotonic()
        f = await c.files.create(file=("x.bin", b"\0" * 100_000_000), purpose="user_data")
        mid = rss(); t1 = time.monotonic()
        async with c.files.with_streaming_response.content(f.id) as r:
            n = 0
            async for chunk in r.iter_bytes(): n += len(chunk)
        print(before, mid, rss(), n, t1 - t, time.monotonic() - t1)
