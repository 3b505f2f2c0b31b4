"""Two proxies on one Redis: what one learns, the other acts on; and what is learned outlives a restart."""

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.integration.conftest import StartProvider, StartProxy
from tests.integration.harness import Proxy, config, endpoint, eventually

QUESTION: dict[str, Any] = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}


async def ask(http: aiohttp.ClientSession, proxy: Proxy, **changes: Any) -> tuple[int, dict[str, str]]:
    async with http.post(f"{proxy.url}/v1/chat/completions", json={**QUESTION, **changes}) as reply:
        await reply.read()
        return reply.status, {k.lower(): v for k, v in reply.headers.items()}


async def endpoints(http: aiohttp.ClientSession, proxy: Proxy) -> dict[str, dict[str, Any]]:
    """The status of each endpoint, by id."""
    async with http.get(f"{proxy.url}/status") as reply:
        body = await reply.json()
    return {e["id"]: e for group in body["groups"] for e in group["endpoints"]}


async def until_seen(http: aiohttp.ClientSession, proxy: Proxy, true: Any) -> None:
    async with asyncio.timeout(10):
        while not true(await endpoints(http, proxy)):
            await asyncio.sleep(0.01)


@pytest.fixture
def shared(redis_url: str, redis_namespace: str) -> dict[str, Any]:
    """The general settings that make replicas of each other."""
    return {"redis_url": redis_url, "redis_timeout": 5, "cache_params": {"namespace": redis_namespace}}


async def test_an_endpoint_cooled_by_one_is_avoided_by_the_other(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, shared: dict[str, Any]
) -> None:
    bad, good = await start_provider(name="bad"), await start_provider(name="good")
    bad.set_faults([{"action": {"kind": "status", "status": 500}}])
    models = [endpoint(bad, weight=3), endpoint(good)]
    one, two = await start_proxy(config(models, **shared)), await start_proxy(config(models[::-1], **shared))

    assert (await ask(http, one))[1]["x-llmproxy-endpoint"] == "gpt/2"
    # The same endpoint is the second in the other's file.
    await until_seen(http, two, lambda seen: seen["gpt/2"]["state"] == "cooling")
    answers = [await ask(http, two) for _ in range(10)]
    assert {headers["x-llmproxy-endpoint"] for _, headers in answers} == {"gpt/1"}
    assert bad.counts().received == 1


async def test_a_429_clock_set_by_one_holds_for_the_other(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, shared: dict[str, Any]
) -> None:
    full, free = await start_provider(name="full"), await start_provider(name="free")
    full.set_faults([{"action": {"kind": "status", "status": 429, "headers": {"retry-after": "60"}}}])
    models = [endpoint(full, weight=3), endpoint(free)]
    one, two = [await start_proxy(config(models, **shared)) for _ in range(2)]
    await ask(http, one)

    await until_seen(http, two, lambda seen: 50 < seen["gpt/1"]["clock_s"] <= 60)
    for _ in range(10):
        await ask(http, two)
    assert full.counts().received == 1


async def test_readings_of_one_are_known_to_the_other_and_counted_with_its_own(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, shared: dict[str, Any]
) -> None:
    provider = await start_provider(rpm=60)
    one, two = [await start_proxy(config([endpoint(provider)], **shared)) for _ in range(2)]
    for _ in range(30):
        assert (await ask(http, one))[0] == 200

    def half_used(seen: dict[str, dict[str, Any]]) -> bool:
        requests = seen["gpt/1"]["requests"]
        return bool(requests and requests["limit"] == 60 and 25 <= requests["remaining"] <= 45)

    await until_seen(http, two, half_used)


async def test_what_one_worker_learned_outlives_its_restart(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, shared: dict[str, Any]
) -> None:
    bad, good = await start_provider(name="bad"), await start_provider(name="good")
    bad.set_faults([{"action": {"kind": "status", "status": 500}}])
    settings = config([endpoint(bad, weight=3), endpoint(good)], **shared)
    before = await start_proxy(settings)
    await ask(http, before)
    await asyncio.sleep(0.3)
    await before.stop()
    after = await start_proxy(settings)

    assert (await endpoints(http, after))["gpt/1"]["state"] == "cooling"
    for _ in range(5):
        await ask(http, after)
    assert bad.counts().received == 1


async def test_a_recovery_seen_by_one_is_news_for_the_other(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, shared: dict[str, Any]
) -> None:
    bad = await start_provider(name="bad")
    bad.set_faults([{"times": 1, "action": {"kind": "status", "status": 500}}])
    settings = config([endpoint(bad)], num_retries=0, cooldown_time=60, **shared)
    one, two = [await start_proxy(settings) for _ in range(2)]
    assert (await ask(http, one))[0] == 502
    await until_seen(http, two, lambda seen: seen["gpt/1"]["state"] == "cooling")

    # A lone endpoint is never refused without trying.
    assert (await ask(http, one))[0] == 200
    await until_seen(http, two, lambda seen: seen["gpt/1"]["state"] == "closed")


async def test_a_cache_entry_of_one_serves_the_other(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, shared: dict[str, Any]
) -> None:
    provider = await start_provider()
    settings = config([endpoint(provider)], **{**shared, "cache": True})
    one, two = [await start_proxy(settings) for _ in range(2)]
    states = [(await ask(http, proxy, temperature=0))[1]["x-llmproxy-cache"] for proxy in (one, two, one)]

    # max_tokens cuts the answer: that is never kept. Without it the entry is everybody's.
    assert states == ["miss"] * 3
    states = [
        (await ask(http, proxy, temperature=0, max_tokens=None))[1]["x-llmproxy-cache"] for proxy in (one, two, one)
    ]
    assert states == ["miss", "hit", "hit"]


async def test_two_workers_of_one_proxy_share_like_replicas(
    start_provider: StartProvider, start_proxy: StartProxy, shared: dict[str, Any]
) -> None:
    bad, good = await start_provider(name="bad"), await start_provider(name="good")
    bad.set_faults([{"action": {"kind": "status", "status": 500}}])
    proxy = await start_proxy(config([endpoint(bad, weight=3), endpoint(good)], **{**shared, "workers": 2}))
    async with aiohttp.ClientSession() as first:
        await ask(first, proxy)
    await asyncio.sleep(0.5)
    for _ in range(30):
        async with aiohttp.ClientSession() as another:
            assert (await ask(another, proxy))[0] == 200

    assert bad.counts().received == 1
    await eventually(lambda: len(proxy.log()) == 31)
