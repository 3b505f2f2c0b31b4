"""The upstream contract, part 4: every phase has its deadline, and a cancelled call lets go at once in every phase."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from application.ports import Upstream
from domain.failure import FailureKind
from tests.contracts.scripted_server import (
    Peer,
    Script,
    ScriptedServer,
    after_request,
    chunked,
    hold,
    never_read,
    reply,
)
from tests.contracts.upstream_calls import UpstreamBase, body_of, call, cancel, failure_of, fetch, until_waiting

SOON_S = 0.2
HUGE = bytes(30_000_000)


async def drip_header(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nx-slow: ")
    for _ in itertools.count():
        await peer.send(b"x")
        await asyncio.sleep(0.02)


@asynccontextmanager
async def deaf_port() -> AsyncIterator[int]:
    """A port that never completes a TCP handshake: its backlog is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        try:
            yield listener.getsockname()[1]
        finally:
            for filler in fillers:
                filler.close()


async def kind_of(upstream: Upstream, url: str, body: bytes = b"{}", **deadlines: float) -> FailureKind:
    return (await failure_of(fetch(upstream, call(url, body=body, **deadlines)))).kind


SILENCES: list[Any] = [
    pytest.param(hold, b"{}", id="silent server"),
    pytest.param(drip_header, b"{}", id="endless headers"),
    pytest.param(after_request(b"HTTP/1.1 100 Continue\r\n\r\n"), b"{}", id="only an interim reply"),
    pytest.param(never_read, HUGE, id="server that does not read"),
]


class TimingContract(UpstreamBase):
    @pytest.fixture
    async def slow_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Names are never resolved."""

        async def wait(*_: Any, **__: Any) -> Any:
            await asyncio.get_running_loop().create_future()

        monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", wait)

    async def test_connect_deadline_covers_tcp(self, upstream: Upstream) -> None:
        async with deaf_port() as port:
            url = f"http://127.0.0.1:{port}/v1"

            assert await kind_of(upstream, url, connect_s=SOON_S) is FailureKind.CONNECT_TIMEOUT

    async def test_connect_deadline_covers_the_tls_handshake(self, upstream: Upstream) -> None:
        async with ScriptedServer(hold) as server:
            url = server.url("/v1").replace("http:", "https:")

            assert await kind_of(upstream, url, connect_s=SOON_S) is FailureKind.CONNECT_TIMEOUT
            await server.over(0)

    @pytest.mark.usefixtures("slow_names")
    async def test_connect_deadline_covers_the_name(self, upstream: Upstream) -> None:
        url = "http://slow.test/v1"

        assert await kind_of(upstream, url, connect_s=SOON_S) is FailureKind.CONNECT_TIMEOUT

    async def test_connect_deadline_does_not_cover_the_wait_for_the_reply(self, upstream: Upstream) -> None:
        async def slow(peer: Peer) -> None:
            await peer.request()
            await asyncio.sleep(3 * SOON_S)
            await peer.send(reply(b"late"))

        async with ScriptedServer(slow) as server:
            assert await fetch(upstream, call(server.url(), connect_s=SOON_S)) == b"late"

    async def test_first_byte_deadline_covers_connecting_too(self, upstream: Upstream) -> None:
        async with deaf_port() as port:
            url = f"http://127.0.0.1:{port}/v1"

            assert await kind_of(upstream, url, first_byte_s=SOON_S) is FailureKind.FIRST_BYTE_TIMEOUT

    @pytest.mark.parametrize(("script", "body"), SILENCES)
    async def test_first_byte_deadline_runs_until_the_headers_are_complete(
        self, upstream: Upstream, script: Script, body: bytes
    ) -> None:
        async with ScriptedServer(script) as server:
            kind = await kind_of(upstream, server.url(), body, first_byte_s=SOON_S)

            assert kind is FailureKind.FIRST_BYTE_TIMEOUT
            if script is not never_read:
                await server.over(0)

    async def test_first_byte_deadline_does_not_cover_the_body(self, upstream: Upstream) -> None:
        async def slow(peer: Peer) -> None:
            await peer.request()
            await peer.send(chunked(b"a", end=b""))
            await asyncio.sleep(3 * SOON_S)
            await peer.send(b"1\r\nb\r\n0\r\n\r\n")

        async with ScriptedServer(slow) as server:
            assert await fetch(upstream, call(server.url(), first_byte_s=SOON_S)) == b"ab"

    async def test_silence_in_the_body_ends_the_reply_and_the_connection(self, upstream: Upstream) -> None:
        async with ScriptedServer(after_request(chunked(b"a", end=b""))) as server:
            got = await upstream.send(call(server.url(), idle_s=SOON_S))

            assert await got.receive() == b"a"
            assert (await failure_of(got.receive())).kind is FailureKind.IDLE_TIMEOUT
            await server.over(0)

    async def test_steady_body_may_take_longer_than_the_idle_deadline(self, upstream: Upstream) -> None:
        async def steady(peer: Peer) -> None:
            await peer.request()
            await peer.send(reply(bytes(10))[:-10])
            for _ in range(10):
                await asyncio.sleep(0.1)
                await peer.send(b"x")

        async with ScriptedServer(steady) as server:
            assert await fetch(upstream, call(server.url(), idle_s=0.6)) == b"x" * 10

    async def test_slow_reader_is_not_a_silent_server(self, upstream: Upstream) -> None:
        async def two_parts(peer: Peer) -> None:
            await peer.request()
            await peer.send(chunked(b"a", end=b""))
            await asyncio.sleep(2 * SOON_S)
            await peer.send(b"1\r\nb\r\n0\r\n\r\n")

        async with ScriptedServer(two_parts) as server:
            got = await upstream.send(call(server.url(), idle_s=1.5 * SOON_S))
            assert await got.receive() == b"a"
            await asyncio.sleep(SOON_S)

            assert await body_of(got) == b"b"

    @pytest.mark.usefixtures("slow_names")
    async def test_cancelled_while_the_name_is_looked_up(self, upstream: Upstream) -> None:
        task = asyncio.create_task(fetch(upstream, call("http://slow.test/v1")))
        await until_waiting()

        await cancel(task)
        assert task.cancelled()

    async def test_cancelled_while_connecting(self, upstream: Upstream) -> None:
        async with deaf_port() as port:
            task = asyncio.create_task(fetch(upstream, call(f"http://127.0.0.1:{port}/v1")))
            await until_waiting()

            await cancel(task)
            assert task.cancelled()

    async def test_cancelled_in_the_tls_handshake(self, upstream: Upstream) -> None:
        async with ScriptedServer(hold) as server:
            task = asyncio.create_task(fetch(upstream, call(server.url().replace("http:", "https:"))))
            await server.peer()
            await until_waiting()

            await cancel(task)

            await server.over(0)
            assert server.open == 0

    @pytest.mark.parametrize(("script", "body"), SILENCES)
    async def test_cancelled_before_the_reply(self, upstream: Upstream, script: Script, body: bytes) -> None:
        async with ScriptedServer(script) as server:
            task = asyncio.create_task(fetch(upstream, call(server.url(), body=body)))
            peer = await server.peer()
            await until_waiting()

            await cancel(task)

            if script is never_read:
                assert await peer.rest() < len(HUGE)
            await server.over(0)

    async def test_cancelled_in_the_body(self, upstream: Upstream) -> None:
        async with ScriptedServer(after_request(chunked(b"a", end=b""))) as server:
            got = await upstream.send(call(server.url()))
            await got.receive()
            task = asyncio.create_task(got.receive())
            await until_waiting()

            await cancel(task)

            await server.over(0)
            assert server.open == 0
            got.close()

    @pytest.mark.parametrize("read_first", [False, True])
    async def test_closed_in_the_body(self, upstream: Upstream, read_first: bool) -> None:
        async with ScriptedServer(after_request(chunked(b"a", end=b""))) as server:
            got = await upstream.send(call(server.url()))
            if read_first:
                await got.receive()

            got.close()
            got.close()

            await server.over(0)
            assert server.open == 0

    async def test_closed_while_the_sender_is_held_back(self, upstream: Upstream) -> None:
        async def flood(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 50000000\r\n\r\n")
            for _ in range(1000):
                await peer.send(bytes(50_000))

        async with ScriptedServer(flood) as server:
            got = await upstream.send(call(server.url()))
            await until_waiting()

            got.close()

            await server.over(0)
            assert server.open == 0
