"""One request that asks for more than any limit, and what it leaves behind: nothing. Everybody else is answered."""

import asyncio
from collections import Counter
from typing import Any

import aiohttp
import pytest

from simulator import SimulatedProvider
from tests.integration.conftest import StartProvider, StartProxy
from tests.integration.harness import Proxy, config, endpoint, eventually

QUESTION = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16}
REFUSAL = {"error": {"message": "max_tokens is too large", "type": "invalid_request_error", "param": "max_tokens"}}
HUGE = {"x-huge": "yes"}
SIZES = [10**12, 128_000]
STYLES = ["openai", "azure", "none"]


def model_of(style: str, provider: SimulatedProvider) -> dict[str, Any]:
    if style == "azure":
        params = {"azure_endpoint": provider.url, "api_version": "2024-10-21", "api_key": "k"}
        return {"model": "gpt-sim", "weight": 1, "params": params}
    return endpoint(provider, **({"tpm": 30_000} if style == "none" else {}))


async def ask(
    http: aiohttp.ClientSession, proxy: Proxy, headers: dict[str, str] | None = None, **changes: Any
) -> tuple[int, bytes]:
    async with http.post(f"{proxy.url}/v1/chat/completions", json={**QUESTION, **changes}, headers=headers) as reply:
        return reply.status, await reply.read()


async def answered(http: aiohttp.ClientSession, proxy: Proxy) -> Counter[int]:
    replies = await asyncio.gather(*(ask(http, proxy) for _ in range(20)))
    return Counter(status for status, _ in replies)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("style", STYLES)
async def test_one_that_is_refused(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, style: str, size: int
) -> None:
    provider = await start_provider(header_style=style, tpm=30_000)
    action = {"kind": "status", "status": 400, "body": REFUSAL}
    provider.set_faults([{"action": action, "match": {"header": ("x-huge", "yes")}}])
    proxy = await start_proxy(config([model_of(style, provider)], max_wait=2))

    for _ in range(3):  # once before the limit is known
        status, body = await ask(http, proxy, HUGE, max_tokens=size)
        assert (status, b"max_tokens is too large" in body) == (400, True)
        assert await answered(http, proxy) == {200: 20}


async def leave_it(http: aiohttp.ClientSession, proxy: Proxy, provider: SimulatedProvider, size: int) -> None:
    """Ask, again where it is refused for the time being, and leave while the provider is at it."""
    async with asyncio.timeout(90):
        while True:
            asking = asyncio.create_task(ask(http, proxy, HUGE, max_tokens=size))
            while not asking.done() and provider.counts().in_flight != 1:
                await asyncio.sleep(0.01)
            if not asking.done():
                asking.cancel()
                return


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("style", STYLES)
async def test_one_whose_client_leaves(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, style: str, size: int
) -> None:
    provider = await start_provider(header_style=style, tpm=30_000)
    action = {"kind": "latency", "seconds": 60}
    provider.set_faults([{"action": action, "match": {"header": ("x-huge", "yes")}}])
    proxy = await start_proxy(config([model_of(style, provider)], max_wait=2))

    for turn in range(1, 4):
        await leave_it(http, proxy, provider, size)
        await eventually(lambda turn=turn: provider.counts().client_closed == turn)
        assert await answered(http, proxy) == {200: 20}


@pytest.mark.parametrize("style", ["openai", "azure"])
async def test_one_larger_than_the_limit_is_sent_and_its_refusal_relayed(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, style: str
) -> None:
    provider = await start_provider(header_style=style, tpm=30_000)
    proxy = await start_proxy(config([model_of(style, provider)], max_wait=2))
    assert await answered(http, proxy) == {200: 20}
    before = provider.counts().received

    status, _ = await ask(http, proxy, max_tokens=128_000)

    assert status == 429
    assert provider.counts().received > before, "whether it fits is for the provider to say"


async def test_one_larger_than_a_stated_limit_that_the_provider_allows_is_answered(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider(header_style="none")
    proxy = await start_proxy(config([endpoint(provider, tpm=30_000)], max_wait=2))

    assert (await ask(http, proxy, max_tokens=128_000))[0] == 200


@pytest.mark.parametrize("usage", [10**18, -(10**18), 10**400])
async def test_a_provider_that_says_its_answer_took_more_than_can_be(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, usage: int
) -> None:
    provider = await start_provider(tpm=30_000)
    body = (
        '{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],'
        f'"usage":{{"prompt_tokens":{usage},"completion_tokens":{usage},"total_tokens":{usage}}}}}'
    )
    provider.set_faults([{"action": {"kind": "junk", "body": body}, "match": {"header": ("x-huge", "yes")}}])
    proxy = await start_proxy(config([endpoint(provider)], max_wait=2))
    for _ in range(5):
        assert (await ask(http, proxy, HUGE))[0] == 200

    replies = await asyncio.gather(*(ask(http, proxy, max_tokens=None) for _ in range(20)))

    assert Counter(status for status, _ in replies) == {200: 20}
