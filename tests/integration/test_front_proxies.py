"""What stands before the proxy with the configurations of deploy/: requests, streams, WebSockets and the status page
arrive, below a prefix too. The metrics, which the proxy would show to this machine, do not where the front is on it."""

import json
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest

from tests.integration.conftest import StartProvider, StartProxy
from tests.integration.fronts import caddy, nginx, nginx_below_a_prefix
from tests.integration.harness import Proxy, config, endpoint

ASKED = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}]}
TURN = {"type": "response.create", "model": "gpt", "input": "Hello", "store": False}
KEY = {"authorization": "Bearer sk-front"}


@pytest.fixture
async def proxy(start_provider: StartProvider, start_proxy: StartProxy) -> Proxy:
    return await start_proxy(config([endpoint(await start_provider())], api_keys=["sk-front"]))


async def check(urls: Sequence[str], http: aiohttp.ClientSession) -> None:
    for url in urls:
        async with http.post(f"{url}/v1/chat/completions", json=ASKED, headers=KEY) as reply:
            assert (await reply.json())["choices"][0]["message"]["content"]
        async with http.post(f"{url}/v1/chat/completions", json={**ASKED, "stream": True}, headers=KEY) as reply:
            assert (await reply.text()).endswith("data: [DONE]\n\n")
        async with http.get(f"{url}/", headers={"accept": "text/html"}) as reply:
            assert "<title>" in await reply.text()
        async with http.ws_connect(f"{url}/v1/responses", headers=KEY) as socket:
            await socket.send_json(TURN)
            while (event := json.loads((await socket.receive()).data))["type"] != "response.completed":
                assert event["type"] != "error", event


async def check_metrics_are_kept(url: str, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{url}/metrics", headers=KEY) as reply:
        assert reply.status == 404 and "llmproxy_" not in await reply.text()


async def test_nginx_before_the_replicas(tmp_path: Path, proxy: Proxy, http: aiohttp.ClientSession) -> None:
    async with nginx(tmp_path, proxy.port) as port:
        await check([f"http://127.0.0.1:{port}"], http)


async def test_nginx_takes_a_prefix_off(tmp_path: Path, proxy: Proxy, http: aiohttp.ClientSession) -> None:
    async with nginx_below_a_prefix(tmp_path, proxy.port) as port:
        await check([f"http://127.0.0.1:{port}/llm"], http)
        await check_metrics_are_kept(f"http://127.0.0.1:{port}/llm", http)


async def test_nginx_lets_no_other_upgrade_through(tmp_path: Path, proxy: Proxy, http: aiohttp.ClientSession) -> None:
    upgrade = {"connection": "upgrade, http2-settings", "upgrade": "h2c", "http2-settings": "AAMAAABkAAQCAAAAAAIAAAAA"}

    async with (
        nginx(tmp_path, proxy.port) as port,
        http.get(f"http://127.0.0.1:{port}/v1/models", headers=KEY | upgrade) as reply,
    ):
        assert reply.status == 200


async def test_caddy_serves_a_site_and_a_prefix_of_another(
    tmp_path: Path, proxy: Proxy, http: aiohttp.ClientSession
) -> None:
    async with caddy(tmp_path, proxy.port) as (site, below):
        urls = [f"http://127.0.0.1:{site}", f"http://127.0.0.1:{below}/llm"]
        await check(urls, http)
        for url in urls:
            await check_metrics_are_kept(url, http)
