"""Redis fails in every way it can while clients are served: none of them notices."""

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.integration.conftest import StartProvider, StartProxy
from tests.integration.harness import config, endpoint, eventually
from tests.integration.redis_fixtures import StartRedis
from tests.integration.redis_trouble import PASSWORD, TROUBLES, Trouble, go_through

QUESTION: dict[str, Any] = {"model": "gpt", "temperature": 0, "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.name.replace(" ", "-"))
async def test_no_request_fails_and_redis_is_used_again(
    start_provider: StartProvider, start_proxy: StartProxy, start_redis: StartRedis, trouble: Trouble
) -> None:
    server = start_redis()
    provider = await start_provider()
    # A process: clients that keep its loop busy would make a Redis that is well answer late.
    proxy = await start_proxy(config([endpoint(provider)], redis_url=server.url, cache=True), process=True)

    outcome = await go_through(proxy, server, trouble, before_s=0.5, during_s=1.5)

    assert {answer.status for answer in outcome.answers} == {200}
    assert len(outcome.answers) > 75
    lost = proxy.log("store unavailable") + proxy.log("store takes no writes")
    assert len(lost) in ({0, 1} if trouble.noticed is None else {int(trouble.noticed)}), proxy.errors
    await eventually(lambda: len(proxy.log("store recovered")) == len(lost))
    assert [answer.cache for answer in outcome.answers if answer.at_s < -0.1][-6:].count("hit") == 2
    after = [answer.cache for answer in sorted(outcome.answers)][-12:]
    assert after.count("hit") >= 3
    assert PASSWORD not in proxy.errors + proxy.output


async def test_the_proxy_starts_without_redis_says_so_once_and_finds_it_later(
    start_provider: StartProvider, start_proxy: StartProxy, start_redis: StartRedis, http: aiohttp.ClientSession
) -> None:
    server = start_redis()
    server.kill()
    provider = await start_provider()
    proxy = await start_proxy(config([endpoint(provider)], redis_url=server.url, cache=True))

    async def ask() -> str:
        async with http.post(f"{proxy.url}/v1/chat/completions", json=QUESTION) as reply:
            assert reply.status == 200
            return reply.headers["x-llmproxy-cache"]

    assert [await ask() for _ in range(20)] == ["miss"] * 20
    assert len(proxy.log("store unavailable")) == 1
    async with http.get(f"{proxy.url}/health") as reply:
        assert reply.status == 200
    server.start()
    await eventually(lambda: len(proxy.log("store recovered")) == 1)
    assert [await ask(), await ask()] == ["miss", "hit"]
    async with http.get(f"{proxy.url}/status") as reply:
        assert (await reply.json())["stores"]["endpoint_state"]["state"] == "ok"


async def test_a_wrong_password_at_the_start_is_named_and_not_shown(
    start_provider: StartProvider, start_proxy: StartProxy, start_redis: StartRedis, http: aiohttp.ClientSession
) -> None:
    server = start_redis("requirepass right-password")
    provider = await start_provider()
    general = {"redis_host": "127.0.0.1", "redis_port": server.port, "redis_password": PASSWORD}
    proxy = await start_proxy(config([endpoint(provider)], **general, cache=True))
    async with http.post(f"{proxy.url}/v1/chat/completions", json=QUESTION) as reply:
        assert reply.status == 200
    async with http.get(f"{proxy.url}/status") as reply:
        store = (await reply.json())["stores"]["cache"]["store"]

    await asyncio.sleep(1)
    (line,) = proxy.log("store unavailable")
    assert "password" in line["reason"]
    assert store["state"] == "unavailable"
    assert "password" in store["reason"]
    assert PASSWORD not in proxy.errors + proxy.output


async def test_a_poisoned_entry_is_a_miss(
    start_provider: StartProvider, start_proxy: StartProxy, start_redis: StartRedis, http: aiohttp.ClientSession
) -> None:
    server = start_redis()
    provider = await start_provider()
    proxy = await start_proxy(config([endpoint(provider)], redis_url=server.url, cache=True))

    async def ask(**changes: Any) -> str:
        async with http.post(f"{proxy.url}/v1/chat/completions", json=QUESTION | changes) as reply:
            assert reply.status == 200
            assert (await reply.json())["object"] == "chat.completion"
            return reply.headers["x-llmproxy-cache"]

    assert [await ask(), await ask(seed=1), await ask()] == ["miss", "miss", "hit"]
    keys = sorted(key for key in server.command("KEYS", "llmproxy:cache:*"))
    assert len(keys) == 2
    entries = [server.command("GET", key) for key in keys]
    # Each under the other's name, cut, garbage, of the wrong type.
    server.command("SET", keys[0], entries[1])
    server.command("SET", keys[1], entries[0][:-1])
    assert [await ask(), await ask(seed=1)] == ["miss", "miss"]
    server.command("SET", keys[0], b"\x80\x04\x95junk")
    server.command("DEL", keys[1])
    server.command("LPUSH", keys[1], "x")
    assert [await ask(), await ask(seed=1)] == ["miss", "miss"]
    assert not proxy.log("store unavailable")
