"""Weights, failover and cooldown, seen from outside: a real proxy process, real sockets."""

import asyncio
from collections import Counter
from typing import Any

import aiohttp

from tests.free_port import free_port
from tests.integration.conftest import StartProvider, StartProxy
from tests.integration.harness import Proxy, config, endpoint, eventually

QUESTION = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}


async def ask(http: aiohttp.ClientSession, proxy: Proxy, **changes: Any) -> tuple[int, dict[str, Any], dict[str, str]]:
    async with http.post(f"{proxy.url}/v1/chat/completions", json={**QUESTION, **changes}) as reply:
        return reply.status, await reply.json(), {k.lower(): v for k, v in reply.headers.items()}


async def ask_many(http: aiohttp.ClientSession, proxy: Proxy, count: int, at_once: int) -> list[dict[str, str]]:
    """The reply headers of `count` requests; fails unless all are answered 200."""
    gate = asyncio.Semaphore(at_once)

    async def one() -> dict[str, str]:
        async with gate:
            status, body, headers = await ask(http, proxy)
        assert status == 200, body
        return headers

    return await asyncio.gather(*(one() for _ in range(count)))


async def test_weights_3_to_1_over_400_requests_are_exactly_300_to_100(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    heavy, light, spare = [await start_provider(name=name) for name in ("heavy", "light", "spare")]
    proxy = await start_proxy(config([endpoint(heavy, weight=3), endpoint(light, weight=1), endpoint(spare, weight=0)]))

    replies = await ask_many(http, proxy, 400, at_once=20)

    assert Counter(headers["x-llmproxy-endpoint"] for headers in replies) == {"gpt/1": 300, "gpt/2": 100}
    assert (heavy.counts().received, light.counts().received, spare.counts().received) == (300, 100, 0)


async def test_weight_0_serves_when_no_other_can_and_is_left_again(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    primary, spare = await start_provider(name="primary"), await start_provider(name="spare")
    primary.set_faults([{"times": 1, "action": {"kind": "status", "status": 503}}])
    proxy = await start_proxy(config([endpoint(primary), endpoint(spare, weight=0)], cooldown_time=1))

    first = await ask(http, proxy)
    second = await ask(http, proxy)

    assert (first[2]["x-llmproxy-endpoint"], first[2]["x-llmproxy-attempts"]) == ("gpt/2", "2")
    assert second[2]["x-llmproxy-endpoint"] == "gpt/2"
    async with asyncio.timeout(20):
        while (await ask(http, proxy))[2]["x-llmproxy-endpoint"] != "gpt/1":
            await asyncio.sleep(0.05)


async def test_two_of_three_refusing_costs_no_client_anything_and_each_is_called_once_per_cooldown(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    alive = await start_provider(name="alive")
    dead = [f"http://127.0.0.1:{free_port()}/v1" for _ in range(2)]
    proxy = await start_proxy(config([endpoint(dead[0]), endpoint(alive), endpoint(dead[1])], cooldown_time=120))

    await ask_many(http, proxy, 4, at_once=1)  # a burst to endpoints that nobody has heard of waits for a moment only
    await ask_many(http, proxy, 996, at_once=32)

    await eventually(lambda: len(proxy.log()) == 1000)
    failed = Counter(
        part.split(":")[0] for line in proxy.log() for part in line["reasons"].split("; ") if not part.endswith(": ok")
    )
    assert failed == {"gpt/1": 1, "gpt/3": 1}
    assert alive.counts().received == 1000
    assert [line["endpoint"] for line in proxy.log("endpoint cooling")] == ["gpt/1", "gpt/3"]


async def test_an_endpoint_that_comes_back_is_probed_once_and_then_used_again(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    sick, well = await start_provider(name="sick"), await start_provider(name="well")
    sick.set_faults([{"action": {"kind": "reset", "when": "before_headers"}}])
    proxy = await start_proxy(config([endpoint(sick), endpoint(well)], cooldown_time=0.5))
    await ask_many(http, proxy, 10, at_once=1)
    before = sick.counts().received
    sick.set_faults([])

    async with asyncio.timeout(20):
        while (await ask(http, proxy))[2]["x-llmproxy-endpoint"] != "gpt/1":
            await asyncio.sleep(0.05)

    assert before == 1
    await eventually(lambda: [line["endpoint"] for line in proxy.log("endpoint recovered")] == ["gpt/1"])
