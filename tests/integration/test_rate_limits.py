"""Limits that providers really enforce: left before the 429, waited for, and never overdrawn."""

import asyncio
import time
from collections import Counter
from email.utils import formatdate
from typing import Any

import aiohttp
import pytest

from simulator import SimulatedProvider
from tests.integration.conftest import StartProvider, StartProxy
from tests.integration.harness import Proxy, config, endpoint, eventually

QUESTION = {"model": "gpt", "messages": [{"role": "user", "content": "x" * 120}], "max_tokens": 50}


WORDS = {"messages": [{"role": "user", "content": "abc " * 30}], "max_tokens": 16}
"""What it takes is guessed well: words of four bytes, and as long an answer as is asked for."""


def azure(provider: SimulatedProvider, **changes: Any) -> dict[str, Any]:
    params = {"azure_endpoint": provider.url, "api_version": "2024-10-21", "api_key": "k"}
    return {"model": "gpt-sim", "weight": 1, "params": params, **changes}


def model_of(style: str, provider: SimulatedProvider, **changes: Any) -> dict[str, Any]:
    return azure(provider, **changes) if style == "azure" else endpoint(provider, **changes)


async def ask(http: aiohttp.ClientSession, proxy: Proxy, **changes: Any) -> int:
    async with http.post(f"{proxy.url}/v1/chat/completions", json={**QUESTION, **changes}) as reply:
        await reply.read()
        return reply.status


@pytest.mark.parametrize("style", ["openai", "azure"])
@pytest.mark.parametrize("limit", [{"rpm": 120}, {"tpm": 12_000}], ids=["requests", "tokens"])
async def test_a_burst_over_the_first_tiers_limits_goes_to_the_fallback_without_a_429(
    start_provider: StartProvider,
    start_proxy: StartProxy,
    http: aiohttp.ClientSession,
    style: str,
    limit: dict[str, int],
) -> None:
    first = [await start_provider(latency_s=0.02, header_style=style, **limit) for _ in range(2)]
    spare = await start_provider(latency_s=0.02)
    proxy = await start_proxy(config([*(model_of(style, p) for p in first), endpoint(spare, weight=0)]))

    statuses = await asyncio.gather(*(ask(http, proxy) for _ in range(300)))

    assert Counter(statuses) == {200: 300}
    assert [provider.counts().limited for provider in first] == [0, 0]
    assert all(provider.counts().received >= 18 for provider in first)
    assert spare.counts().received > 0


async def test_five_hundred_at_once_never_overdraw_limits_of_a_hundred_and_all_are_served(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    providers = [await start_provider(latency_s=0.2, header_style="azure", rpm=600) for _ in range(3)]
    proxy = await start_proxy(config([azure(provider) for provider in providers]))
    assert await ask(http, proxy) == 200

    statuses = await asyncio.gather(*(ask(http, proxy) for _ in range(500)))

    assert Counter(statuses) == {200: 500}
    assert sum(provider.counts().limited for provider in providers) == 0
    assert max(provider.counts().max_in_flight for provider in providers) <= 100


async def test_configured_limits_hold_for_a_provider_that_says_nothing(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    silent = await start_provider(header_style="none", rpm=60)
    spare = await start_provider()
    proxy = await start_proxy(config([endpoint(silent, rpm=60), endpoint(spare, weight=0)]))

    statuses = await asyncio.gather(*(ask(http, proxy) for _ in range(100)))

    assert Counter(statuses) == {200: 100}
    assert silent.counts().limited == 0
    assert 50 <= silent.counts().received <= 62


async def test_the_fallback_is_left_again_when_the_first_tier_refills(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    first, spare = await start_provider(rpm=120), await start_provider()
    proxy = await start_proxy(config([endpoint(first), endpoint(spare, weight=0)]))
    await asyncio.gather(*(ask(http, proxy) for _ in range(150)))
    used = spare.counts().received
    assert used > 0
    await asyncio.sleep(4)

    for _ in range(3):
        await ask(http, proxy)

    assert spare.counts().received == used


@pytest.mark.parametrize(
    ("spelling", "windows", "weights", "together", "changes", "limit"),
    [
        ("azure", "fixed", (1, 1), 1, {}, {"rpm": 5}),
        ("azure", "aligned", (10, 1), 10, {}, {"rpm": 5}),
        ("azure", "sliding", (1, 1), 20, {"stream": True}, {"rpm": 5}),
        ("azure", "fixed", (10, 1), 60, {"stream": True}, {"rpm": 5}),
        ("openai", "fixed", (10, 1), 10, {}, {"rpm": 5}),
        ("openai", "aligned", (1, 1), 1, {"stream": True}, {"rpm": 5}),
        ("openai", "sliding", (10, 1), 20, {}, {"rpm": 5}),
        ("openai", "aligned", (10, 1), 10, WORDS, {"tpm": 450}),
        ("azure", "sliding", (10, 1), 10, WORDS, {"tpm": 450}),
    ],
)
async def test_a_limit_in_windows_of_three_seconds_with_rounded_resets_sees_no_429_beside_a_free_endpoint(
    start_provider: StartProvider,
    start_proxy: StartProxy,
    http: aiohttp.ClientSession,
    spelling: str,
    windows: str,
    weights: tuple[int, int],
    together: int,
    changes: dict[str, Any],
    limit: dict[str, int],
) -> None:
    """Whichever client's spelling the endpoint is asked in: the headers are Azure's. Sixty requests in four seconds."""
    narrow = await start_provider(header_style="azure", window_s=3.0, windows=windows, latency_s=0.02, **limit)
    free = await start_provider()
    proxy = await start_proxy(
        config([model_of(spelling, narrow, weight=weights[0]), endpoint(free, weight=weights[1])])
    )

    statuses: list[int] = []
    for _ in range(60 // together):
        statuses += await asyncio.gather(*(ask(http, proxy, **changes) for _ in range(together)))
        await asyncio.sleep(4.0 * together / 60)

    assert Counter(statuses) == {200: 60}
    assert narrow.counts().limited == 0
    assert narrow.counts().received >= 3, "and is not left out either"


POINTS_IN_TIME = {
    "seconds": lambda now: f"{now + 40_000:.0f}",
    "milliseconds": lambda now: f"{(now + 40_000) * 1000:.0f}",
    "the past": lambda now: formatdate(now - 3600, usegmt=True),
    "a time of day": lambda _: "12:30:00",
    "milliseconds without a unit": lambda _: "60000",
}


@pytest.mark.parametrize("text", POINTS_IN_TIME)
@pytest.mark.parametrize("name", ["retry-after", "x-ratelimit-reset-requests"])
async def test_a_delay_that_cannot_be_meant_keeps_an_endpoint_away_for_a_second_only(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, name: str, text: str
) -> None:
    provider, other = await start_provider(), await start_provider()
    headers = {name: POINTS_IN_TIME[text](time.time()), "x-ratelimit-remaining-requests": "0"}
    limited = {"kind": "status", "status": 429, "headers": headers, "body": {"error": {"code": "429"}}}
    provider.set_faults([{"times": 1, "action": limited}])
    proxy = await start_proxy(config([endpoint(provider), endpoint(other)]))
    assert [await ask(http, proxy) for _ in range(2)] == [200, 200]

    async with http.get(f"{proxy.url}/status") as reply:
        shown = (await reply.json())["groups"][0]["endpoints"][0]

    assert provider.counts().received == 1
    assert shown["clock_s"] <= 1


async def test_a_waiting_client_that_leaves_is_forgotten(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    limited = {"kind": "status", "status": 429, "headers": {"retry-after": "20"}, "body": {"error": {"code": "429"}}}
    provider.set_faults([{"times": 1, "action": limited}])
    proxy = await start_proxy(config([endpoint(provider)]))
    waiting = asyncio.ensure_future(ask(http, proxy))

    async def waiters() -> int:
        async with http.get(f"{proxy.url}/status") as reply:
            return int((await reply.json())["groups"][0]["waiting"])

    async with asyncio.timeout(10):
        while await waiters() != 1:
            await asyncio.sleep(0.02)
    waiting.cancel()
    async with asyncio.timeout(10):
        while await waiters() != 0:
            await asyncio.sleep(0.02)
    await eventually(lambda: proxy.log()[-1:] and proxy.log()[-1]["outcome"] == "client_left")

    assert await waiters() == 0


async def test_a_clients_patience_is_not_outwaited(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    limited = {"kind": "status", "status": 429, "headers": {"retry-after": "20"}, "body": {"error": {"code": "429"}}}
    provider.set_faults([{"action": limited}])
    proxy = await start_proxy(config([endpoint(provider)]))

    async with http.post(
        f"{proxy.url}/v1/chat/completions", json=QUESTION, headers={"x-stainless-read-timeout": "5"}
    ) as reply:
        error = (await reply.json())["error"]

    assert reply.status == 429
    assert 15 <= int(reply.headers["retry-after"]) <= 20
    assert int(reply.headers["retry-after-ms"]) <= 20_000
    assert "gpt/1: rate_limited" in error["message"]


async def test_status_shows_each_limit_and_no_key(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider(rpm=600, tpm=60_000)
    proxy = await start_proxy(config([endpoint(provider)]))
    await ask(http, proxy)

    async with http.get(f"{proxy.url}/status") as reply:
        text = await reply.text()
        (shown,) = (await reply.json())["groups"][0]["endpoints"]

    assert shown["requests"]["limit"] == 600
    assert 598 <= shown["requests"]["remaining"] <= 600
    assert shown["requests"]["reserved"] == 0
    assert shown["tokens"]["limit"] == 60_000
    assert shown["clock_s"] == 0
    assert "sk-canary" not in text


TRAPS: dict[str, tuple[int, dict[str, str]]] = {
    "a slice of 10 s looks nearly used up": (200, {"x-ratelimit-remaining-requests": "3"}),
    "minus one, minus one, zero": (
        200,
        {
            "x-ratelimit-limit-tokens": "-1",
            "x-ratelimit-remaining-tokens": "-1",
            "x-ratelimit-reset-tokens": "0",
        },
    ),
    "429 with quota still shown": (429, {"retry-after-ms": "250", "x-ratelimit-remaining-requests": "45"}),
}


@pytest.mark.parametrize("trap", TRAPS)
async def test_azures_misleading_headers_do_not_park_a_lone_endpoint(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, trap: str
) -> None:
    status, headers = TRAPS[trap]
    provider = await start_provider()
    body = '{"choices":[{"message":{"content":"Hi"}}]}' if status == 200 else '{"error":{"code":"429","message":"x"}}'
    action = {
        "kind": "raw",
        "status": status,
        "headers": {"content-type": "application/json", **headers},
        "chunks": [body],
        "framing": "length",
    }
    provider.set_faults([{"times": 1, "action": action}])
    proxy = await start_proxy(config([azure(provider)]))

    async with asyncio.timeout(20):
        statuses = [await ask(http, proxy) for _ in range(5)]

    assert statuses == [200] * 5


async def test_nothing_left_and_no_word_until_when_keeps_a_lone_endpoint_away_for_seconds_only(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    action = {
        "kind": "raw",
        "headers": {"content-type": "application/json", "x-ratelimit-remaining-requests": "0"},
        "chunks": ['{"choices":[{"message":{"content":"Hi"}}]}'],
        "framing": "length",
    }
    provider.set_faults([{"times": 1, "action": action}])
    proxy = await start_proxy(config([endpoint(provider)]))

    async with asyncio.timeout(25):
        statuses = [await ask(http, proxy) for _ in range(5)]

    assert statuses == [200] * 5


async def test_a_day_on_a_per_minute_limit_is_clamped_to_five_minutes(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider, other = await start_provider(), await start_provider()
    limited = {"kind": "status", "status": 429, "headers": {"retry-after": "86400"}, "body": {"error": {"code": "429"}}}
    provider.set_faults([{"action": limited}])
    proxy = await start_proxy(config([azure(provider), azure(other)]))
    assert await ask(http, proxy) == 200
    assert await ask(http, proxy) == 200

    async with http.get(f"{proxy.url}/status") as reply:
        shown = (await reply.json())["groups"][0]["endpoints"][0]

    assert 290 < shown["clock_s"] <= 300
    assert shown["state"] == "closed"
