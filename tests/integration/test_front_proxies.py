"""deploy/nginx-prefix.conf and deploy/Caddyfile before the real proxy: requests, streams and the status page arrive,
below a prefix too, and the metrics do not."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.integration.composed import Composed
from tests.integration.conftest import StartProvider, StartProxy
from tests.integration.harness import ROOT, Proxy, config, endpoint, free_port

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
CADDY = shutil.which("caddy")
ASKED = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
async def proxy(start_provider: StartProvider, start_proxy: StartProxy) -> Proxy:
    return await start_proxy(config([endpoint(await start_provider())], api_keys=["sk-front"]))


@asynccontextmanager
async def running(*command: str | Path) -> AsyncIterator[None]:
    """A program, ended at the end."""
    process = await asyncio.create_subprocess_exec(*command, stdout=sys.stderr, stderr=sys.stderr)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def is_there(url: str, http: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                async with http.get(f"{url}/health/live"):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


async def check(urls: Sequence[str], http: aiohttp.ClientSession) -> None:
    headers = {"authorization": "Bearer sk-front"}
    for url in urls:
        await is_there(url, http)
        async with http.post(f"{url}/v1/chat/completions", json=ASKED, headers=headers) as reply:
            assert (await reply.json())["choices"][0]["message"]["content"]
        async with http.post(f"{url}/v1/chat/completions", json={**ASKED, "stream": True}, headers=headers) as reply:
            assert (await reply.text()).endswith("data: [DONE]\n\n")
        async with http.get(f"{url}/", headers={"accept": "text/html"}) as reply:
            assert "<title>" in await reply.text()
        async with http.get(f"{url}/metrics", headers=headers) as reply:
            assert reply.status == 404 and "llmproxy_" not in await reply.text()


@pytest.mark.skipif(NGINX is None, reason="needs nginx")
async def test_nginx_takes_a_prefix_off(tmp_path: Path, proxy: Composed, http: aiohttp.ClientSession) -> None:
    assert NGINX is not None
    port = free_port()
    text = (ROOT / "deploy/nginx-prefix.conf").read_text()
    (tmp_path / "nginx.conf").write_text(text.replace(":4000", f":{proxy.port}").replace(":8080", f":{port}"))

    async with running(NGINX, "-p", tmp_path, "-c", tmp_path / "nginx.conf"):
        await check([f"http://127.0.0.1:{port}/llm"], http)


@pytest.mark.skipif(CADDY is None, reason="needs caddy")
async def test_caddy_serves_a_site_and_a_prefix_of_another(
    tmp_path: Path, proxy: Composed, http: aiohttp.ClientSession
) -> None:
    assert CADDY is not None
    site, below = free_port(), free_port()
    text = (ROOT / "deploy/Caddyfile").read_text().replace(":4000", f":{proxy.port}")
    text = text.replace("llm.example.com {", f"http://127.0.0.1:{site} {{")
    text = text.replace("www.example.com {", f"http://127.0.0.1:{below} {{")
    (tmp_path / "Caddyfile").write_text("{\n\tadmin off\n}\n" + text)

    async with running(CADDY, "run", "--config", tmp_path / "Caddyfile", "--adapter", "caddyfile"):
        await check([f"http://127.0.0.1:{site}", f"http://127.0.0.1:{below}/llm"], http)
