"""SIGTERM and SIGINT: what runs may finish, what cannot is ended with an error, and the exit code is 0."""

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.integration.conftest import StartProvider, StartProxy
from tests.integration.harness import config, endpoint, eventually

QUESTION = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}]}

OWN_PROCESS = True


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_running_requests_and_streams_finish_and_the_exit_code_is_0(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, how: int
) -> None:
    provider = await start_provider(latency_s=1, tokens_per_second=20, answer_tokens=20)
    proxy = await start_proxy(config([endpoint(provider)], drain_timeout=20))

    async def ask(stream: bool) -> bytes:
        async with http.post(f"{proxy.url}/v1/chat/completions", json={**QUESTION, "stream": stream}) as reply:
            assert reply.status == 200
            return await reply.read()

    running = [asyncio.ensure_future(ask(stream)) for stream in (False, True)]
    await eventually(lambda: provider.counts().in_flight == 2)
    exit_code = await proxy.stop(how)

    assert exit_code == 0
    assert b'"choices"' in await running[0]
    assert (await running[1]).endswith(b"data: [DONE]\n\n")


async def test_while_it_drains_no_new_connection_is_taken(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider(latency_s=2)
    proxy = await start_proxy(config([endpoint(provider)], drain_timeout=20), process=False)
    running = asyncio.ensure_future(http.post(f"{proxy.url}/v1/chat/completions", json=QUESTION))
    await eventually(lambda: provider.counts().in_flight == 1)
    stopping = asyncio.ensure_future(proxy.stop())
    await asyncio.sleep(0.5)

    with pytest.raises(aiohttp.ClientConnectionError):
        async with aiohttp.ClientSession() as fresh, fresh.get(f"{proxy.url}/health"):
            pass
    assert (await running).status == 200
    assert await stopping == 0


async def test_a_request_on_a_connection_that_was_kept_is_answered_and_told_that_it_was_the_last(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    proxy = await start_proxy(config([endpoint(provider)]), process=False)
    async with http.post(f"{proxy.url}/v1/chat/completions", json=QUESTION) as reply:
        assert "connection" not in reply.headers
        await reply.read()
    stopping = asyncio.ensure_future(proxy.stop())
    await asyncio.sleep(0.2)

    async with http.post(f"{proxy.url}/v1/chat/completions", json=QUESTION) as reply:
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        await reply.read()
    assert await stopping == 0


async def test_what_outlasts_drain_timeout_is_ended_with_an_error(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider(tokens_per_second=5, answer_tokens=100_000)
    slow = await start_provider(latency_s=60)
    proxy = await start_proxy(config([endpoint(provider), endpoint(slow)], drain_timeout=1), process=False)

    async def ask(stream: bool) -> tuple[int, bytes]:
        async with http.post(f"{proxy.url}/v1/chat/completions", json={**QUESTION, "stream": stream}) as reply:
            return reply.status, await reply.read()

    streaming = asyncio.ensure_future(ask(stream=True))
    await eventually(lambda: provider.counts().in_flight == 1)
    waiting = asyncio.ensure_future(ask(stream=False))
    await eventually(lambda: slow.counts().in_flight == 1)
    await asyncio.sleep(0.5)
    exit_code = await proxy.stop()

    assert exit_code == 0
    status, text = await streaming
    assert status == 200
    assert b"proxy_shutting_down" in text.split(b"\n\n")[-2]
    assert b"[DONE]" not in text
    status, text = await waiting
    assert status == 503
    assert b"proxy_shutting_down" in text


async def test_a_second_signal_ends_it_at_once(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider(latency_s=60)
    proxy = await start_proxy(config([endpoint(provider)], drain_timeout=60))
    running = asyncio.ensure_future(http.post(f"{proxy.url}/v1/chat/completions", json=QUESTION))
    await eventually(lambda: provider.counts().in_flight == 1)
    assert proxy.process is not None
    proxy.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.3)
    async with asyncio.timeout(10):
        await proxy.stop()

    with pytest.raises(aiohttp.ClientError):
        await running


async def test_an_idle_proxy_with_open_keepalive_connections_stops_long_before_its_time_is_up(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    proxy = await start_proxy(config([endpoint(await start_provider())], drain_timeout=60), process=False)
    async with http.post(f"{proxy.url}/v1/chat/completions", json=QUESTION) as reply:
        await reply.read()

    async with asyncio.timeout(10):
        assert await proxy.stop() == 0


async def test_a_worker_that_dies_is_replaced(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    proxy = await start_proxy(config([endpoint(await start_provider())]))
    (first,) = proxy.worker_pids()
    os.kill(first, signal.SIGKILL)

    async def answers() -> bool:
        try:
            async with http.get(f"{proxy.url}/health") as reply:
                return reply.status == 200
        except aiohttp.ClientError:
            return False

    async with asyncio.timeout(20):
        while proxy.worker_pids() in ([], [first]) or not await answers():
            await asyncio.sleep(0.05)
    assert await proxy.stop() == 0


async def test_workers_end_with_a_parent_that_is_killed(start_provider: StartProvider, start_proxy: StartProxy) -> None:
    proxy = await start_proxy(config([endpoint(await start_provider())]))
    (worker,) = proxy.worker_pids()

    await proxy.stop(signal.SIGKILL)

    def gone() -> bool:
        status = Path(f"/proc/{worker}/stat")
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"

    await eventually(gone)
    assert gone()
