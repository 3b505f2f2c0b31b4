"""Keys, prompts and answers are nowhere but where they belong: looked for in all that a proxy says and keeps, after
everything that it does has been done with them, at the most talkative level of the log."""

import asyncio
import gzip
import io
import json
import traceback
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
import redis.asyncio

from tests.integration.composed import Composed
from tests.integration.conftest import StartProvider
from tests.integration.harness import config, endpoint
from tests.integration.redis_fixtures import StartRedis
from tests.integration.socket_world import talking

CLIENT_KEY = "sk-canary-client-0f2a7d"
WRONG_KEY = "sk-canary-wrong-77b1c9"
UPSTREAM_KEYS = ("sk-canary-upstream-a1b2c3", "sk-canary-upstream-d4e5f6")
PROMPT = "canary-prompt-5d41402abc4b"
FILED = "canary-file-2a76b9719d91"
BROKEN = {
    "503": {"kind": "status", "status": 503, "body": f'{{"error":{{"message":"{PROMPT} {UPSTREAM_KEYS[0]}"}}}}'},
    "400": {"kind": "status", "status": 400, "body": f'{{"error":{{"message":"bad key {UPSTREAM_KEYS[0]}"}}}}'},
    "401": {"kind": "status", "status": 401, "body": f'{{"error":{{"message":"no such key {UPSTREAM_KEYS[0]}"}}}}'},
    "junk": {"kind": "junk", "body": f"<html>{PROMPT} {UPSTREAM_KEYS[0]}</html>"},
    "not HTTP": {"kind": "raw", "chunks": [f"{{{PROMPT}{UPSTREAM_KEYS[0]}\r\n"], "then": "close"},
    "reset": {"kind": "reset", "when": "mid_body"},
    "an error in a stream": {"kind": "stream_error", "after_events": 2},
    "a stream that breaks": {"kind": "reset", "when": "mid_stream", "after_events": 3},
}


class Client:
    """Sends canaries, and keeps all that comes back in heads and errors."""

    def __init__(self, proxy: Composed, session: aiohttp.ClientSession) -> None:
        self.told: list[str] = []
        self._proxy = proxy
        self._session = session

    async def send(self, method: str, path: str, key: str = CLIENT_KEY, **options: Any) -> tuple[int, bytes]:
        headers = {"authorization": f"Bearer {key}"} | options.pop("headers", {})
        body = b""
        async with self._session.request(method, self._proxy.url + path, headers=headers, **options) as reply:
            self.told.append(f"{reply.status} {dict(reply.headers)}")
            try:
                body = await reply.read()
            except aiohttp.ClientError as error:
                self.told.append(repr(error))
            return reply.status, body

    async def chat(self, text: str = PROMPT, **fields: Any) -> tuple[int, bytes]:
        messages = [{"role": "user", "content": text}]
        return await self.send("POST", "/v1/chat/completions", json={"model": "gpt", "messages": messages} | fields)


@pytest.fixture
async def client(proxy: Composed) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(proxy, session)


@pytest.fixture
async def proxy(tmp_path: Any, start_provider: StartProvider, start_redis: StartRedis) -> AsyncIterator[Composed]:
    """Over one provider that is told to fail, and one that does not."""
    sick, well = await start_provider(name="sick"), await start_provider(name="well")
    models = [
        endpoint(sick, params={"api_key": UPSTREAM_KEYS[0]}, price={"input": 1, "output": 2}),
        endpoint(well, params={"api_key": UPSTREAM_KEYS[1]}),
    ]
    settings = config(
        models, api_keys=[CLIENT_KEY], log_level="debug", cache=True, redis_url=start_redis().url, cooldown_time=0.05,
        redis_timeout=5, metrics="open", max_body_bytes=100_000, max_held_bytes=1_000_000,
    )  # fmt: skip
    proxy = Composed(tmp_path, settings)
    proxy.sick, proxy.settings = sick, settings  # type: ignore[attr-defined]
    await proxy.start()
    yield proxy
    await proxy.stop()


async def go_through_all(proxy: Any, client: Client) -> None:
    """All kinds of requests, replies, faults and mistakes."""
    for fields in ({}, {"stream": True}, {"temperature": 0}, {"temperature": 0}, {"temperature": 0, "stream": True}):
        assert (await client.chat(**fields))[0] == 200
    for action in BROKEN.values():
        for stream in (False, True):
            proxy.sick.set_faults([{"action": action}])
            for _ in range(2):
                status, body = await client.chat(stream=stream, user=PROMPT)
                client.told += [] if status < 400 else [body.decode()]
    proxy.sick.set_faults([])
    for path, body in {
        "/v1/embeddings": {"input": PROMPT},
        "/v1/responses": {"input": PROMPT, "store": True},
        "/v1/completions": {"prompt": PROMPT},
        "/v1/moderations": {"input": PROMPT},
    }.items():
        await client.send("POST", path, json={"model": "gpt"} | body)
    await client.send("POST", "/v1/files", data={"purpose": "batch", "file": io.BytesIO(FILED.encode())})
    zipped = gzip.compress(json.dumps({"model": "gpt", "messages": [{"role": "user", "content": PROMPT}]}).encode())
    as_json = {"content-type": "application/json"}
    await client.send("POST", "/v1/chat/completions", data=zipped, headers=as_json | {"content-encoding": "gzip"})
    for junk in (
        f'{{"model": "gpt", {PROMPT}',
        f'{{"model": "nobody", "messages": "{PROMPT}"}}',
        f'"{PROMPT}"',
        f'{{"user":"{PROMPT}' * 9000,
    ):
        _, told = await client.send("POST", "/v1/chat/completions", data=junk, headers=as_json)
        client.told.append(told.decode())
    for path in (f"/nothing?q={PROMPT}", f"/v1/models?api_key={WRONG_KEY}", "/status", "/health", "/v1/models"):
        _, told = await client.send("GET", path, key=WRONG_KEY)
        client.told.append(told.decode())
    await client.send("GET", "/v1/models", headers={"cookie": WRONG_KEY, "x-secret": WRONG_KEY, "user-agent": "x"})
    await on_sockets(proxy)
    await leave_early(proxy)
    mistaken = config([{"model": WRONG_KEY, "params": {"api_key": WRONG_KEY, "base_url": f"nonsense-{WRONG_KEY}"}}])
    with pytest.raises(Exception) as refused:
        proxy.reload(mistaken)
    client.told.append("".join(traceback.format_exception(refused.value)).replace(f"'nonsense-{WRONG_KEY}'", ""))
    proxy.reload(proxy.settings)


async def on_sockets(proxy: Composed) -> None:
    key = {"authorization": f"Bearer {CLIENT_KEY}"}
    async with talking(proxy, headers=key) as talk:
        await talk.turn(PROMPT, store=False)
        await talk.socket.send(PROMPT)
        await talk.event()
    async with talking(proxy, "/v1/realtime?model=gpt", headers=key) as talk:
        await talk.event()
        await talk.socket.send(json.dumps({"type": "response.create", "response": {"instructions": PROMPT}}))
        await talk.event()


async def leave_early(proxy: Composed) -> None:
    """A client that goes in the middle of its request, and one that sends no HTTP."""
    for said in (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{PROMPT}",
        f"{PROMPT}\r\n\r\n",
    ):
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(said.encode())
        await writer.drain()
        writer.close()


async def kept_in_redis(url: str) -> tuple[str, str]:
    """All names and values but those of the cache, and those of the cache."""
    kept: dict[bool, list[str]] = {True: [], False: []}
    async with redis.asyncio.Redis.from_url(url) as store:
        async for name in store.scan_iter():
            value: Any = {
                b"string": store.get, b"hash": store.hgetall, b"list": lambda key: store.lrange(key, 0, -1),
                b"set": store.smembers, b"zset": lambda key: store.zrange(key, 0, -1), b"stream": store.xrange,
            }[await store.type(name)](name)  # fmt: skip
            kept[b"cache" in name].append(f"{name!r} {await value!r}")
    return "\n".join(kept[False]), "\n".join(kept[True])


async def test_no_key_and_no_prompt_is_where_it_does_not_belong(proxy: Any, client: Client) -> None:
    await go_through_all(proxy, client)

    shown: dict[str, str] = {"replies": "\n".join(client.told)}
    for path in ("/status", "/", "/metrics", "/health"):
        _, body = await client.send("GET", path, headers={"accept": "text/html" if path == "/" else "*/*"})
        shown[path] = body.decode()
    shown["log"] = "\n".join(proxy.lines.json)
    shown["log as text"] = "\n".join(proxy.lines.text)
    shown["banner"] = proxy.output
    shown["redis"], shown["cache"] = await kept_in_redis(proxy.settings["general_settings"]["redis_url"])

    assert len(proxy.log()) > 40 and "nan" not in shown["/status"]
    assert all(shown.values()), {name: len(text) for name, text in shown.items()}
    keys = [CLIENT_KEY, WRONG_KEY, *UPSTREAM_KEYS]
    assert found(shown, [*keys, FILED]) == []
    assert found(shown, [PROMPT]) == []


def found(shown: Mapping[str, str], canaries: list[str]) -> list[str]:
    """Where which stands, with what stands around it."""
    return [
        f"{where}: ...{text[max(0, at - 120) : at + len(canary) + 60]}..."
        for where, text in shown.items()
        for canary in canaries
        if (at := text.find(canary)) >= 0
    ]
