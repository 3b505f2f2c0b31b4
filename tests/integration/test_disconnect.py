"""A client that leaves: its upstream call ends at once, in every phase, and hurts nobody."""

import asyncio
import json

import aiohttp
import pytest

from simulator import SimulatedProvider
from tests.integration.conftest import StartProvider, StartProxy
from tests.integration.harness import Proxy, config, endpoint, eventually

QUESTION = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}]}


async def send_raw(proxy: Proxy, **changes: object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request on a socket of its own; small buffers, so that a reader that stops is felt soon."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=4096)
    body = json.dumps({**QUESTION, **changes}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    return reader, writer


async def closes_upstream(provider: SimulatedProvider, writer: asyncio.StreamWriter) -> None:
    """Leave; the provider, which would go on for half a minute or more, sees its connection close."""
    writer.transport.abort()
    await eventually(lambda: provider.counts().client_closed == 1 and provider.counts().in_flight == 0)


async def works_after(http: aiohttp.ClientSession, proxy: Proxy) -> None:
    async with http.get(f"{proxy.url}/health") as reply:
        health = await reply.json()
    assert health["groups"][0]["endpoints"][0]["state"] == "closed"
    await eventually(lambda: proxy.log()[-1:] and proxy.log()[-1]["outcome"] == "client_left")


@pytest.mark.parametrize("stream", [False, True])
async def test_before_the_headers(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, stream: bool
) -> None:
    provider = await start_provider(latency_s=30)
    proxy = await start_proxy(config([endpoint(provider)]))
    _, writer = await send_raw(proxy, stream=stream)
    await eventually(lambda: provider.counts().in_flight == 1)

    await closes_upstream(provider, writer)

    assert provider.counts().client_closed == 1
    await works_after(http, proxy)


async def test_while_a_whole_reply_is_being_read(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    provider.set_faults([{"action": {"kind": "hang", "when": "mid_body"}}])
    proxy = await start_proxy(config([endpoint(provider)]))
    _, writer = await send_raw(proxy)
    await eventually(lambda: provider.counts().in_flight == 1)
    await asyncio.sleep(0.2)

    await closes_upstream(provider, writer)

    assert provider.counts().client_closed == 1
    await works_after(http, proxy)


async def test_in_the_middle_of_a_stream(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider(tokens_per_second=20, answer_tokens=1000)
    proxy = await start_proxy(config([endpoint(provider)]))
    reader, writer = await send_raw(proxy, stream=True)
    await reader.readuntil(b'"content":" ')

    await closes_upstream(provider, writer)

    assert provider.counts().client_closed == 1
    await works_after(http, proxy)


async def test_while_the_preamble_is_held_back(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    provider.set_faults([{"action": {"kind": "hang", "when": "mid_stream", "after_events": 1}}])
    proxy = await start_proxy(config([endpoint(provider)]))
    _, writer = await send_raw(proxy, stream=True)
    await eventually(lambda: provider.counts().in_flight == 1)
    await asyncio.sleep(0.2)

    await closes_upstream(provider, writer)

    assert provider.counts().client_closed == 1
    await works_after(http, proxy)


async def test_blocked_in_a_write_because_the_client_does_not_read(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider(answer_tokens=100_000)
    proxy = await start_proxy(config([endpoint(provider)]))
    reader, writer = await send_raw(proxy, stream=True)
    await reader.readexactly(100)
    await asyncio.sleep(2)

    assert provider.counts().in_flight == 1, "the provider is held back, its 20 MB are not drained into memory"
    await closes_upstream(provider, writer)
    await works_after(http, proxy)


async def test_a_thousand_departures_leave_nothing_open(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider(tokens_per_second=50, answer_tokens=1000, latency_s=0.05)
    proxy = await start_proxy(config([endpoint(provider)], max_connections=200))

    async def come_and_go(number: int) -> None:
        reader, writer = await send_raw(proxy, stream=number % 2 == 0)
        if number % 2 == 0 and number % 3:
            await reader.readuntil(b"data: ")
        else:
            await asyncio.sleep(0.01 * (number % 7))
        writer.transport.abort()

    for start in range(0, 1000, 100):
        await asyncio.gather(*(come_and_go(number) for number in range(start, start + 100)))
    await eventually(lambda: provider.counts().in_flight == 0)
    provider.change(tokens_per_second=None, latency=0, answer_tokens=4)

    async def ask() -> int:
        async with http.post(f"{proxy.url}/v1/chat/completions", json=QUESTION) as reply:
            await reply.read()
            return reply.status

    assert set(await asyncio.gather(*(ask() for _ in range(100)))) == {200}
    await eventually(lambda: len(proxy.log()) >= 1000)
    assert proxy.log("internal error") == []
