"""The upstream contract, part 3: a broken reply is known to be broken, and how."""

import asyncio
import itertools
from collections.abc import Callable

import pytest

from application.ports import Upstream, UpstreamFailed
from domain.failure import FailureKind
from tests.contracts.scripted_server import Peer, Script, ScriptedServer, after_request, answering, chunked, reply
from tests.contracts.upstream_calls import UpstreamBase, call, failure_of, fetch, until_waiting

UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def endless_hints(peer: Peer) -> None:
    await peer.request()
    for _ in itertools.count():
        await peer.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 100)


async def endless_header(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nx-long: ")
    for _ in itertools.count():
        await peer.send(b"x" * 1000)


class BreakageContract(UpstreamBase):
    @pytest.mark.parametrize(
        ("script", "kind"),
        [
            pytest.param(after_request(then=Peer.finish), FailureKind.RESET, id="closed before the reply"),
            pytest.param(after_request(then=Peer.reset), FailureKind.RESET, id="reset before the reply"),
            pytest.param(after_request(b"HT", then=Peer.finish), FailureKind.TRUNCATED, id="closed in the status line"),
            pytest.param(
                after_request(b"HTTP/1.1 200 OK\r\nx-a: 1\r\n", then=Peer.finish),
                FailureKind.TRUNCATED,
                id="closed in the headers",
            ),
            pytest.param(
                after_request(b"HTTP/1.1 100 Continue\r\n\r\n", then=Peer.finish),
                FailureKind.TRUNCATED,
                id="closed after an interim reply",
            ),
            pytest.param(
                after_request(b"HTTP/1.1 200 OK\r\nx-a: 1\r\n", then=Peer.reset),
                FailureKind.RESET,
                id="reset in the headers",
            ),
            pytest.param(after_request(b"SSH-2.0-OpenSSH_9.2\r\n"), FailureKind.JUNK, id="not HTTP"),
            pytest.param(after_request(b"\x15\x03\x01\x00\x02\x02"), FailureKind.JUNK, id="TLS alert"),
            pytest.param(after_request(b"HTTP/1.1 abc OK\r\n\r\n"), FailureKind.JUNK, id="no status"),
            pytest.param(
                after_request(b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n"), FailureKind.JUNK, id="negative length"
            ),
            pytest.param(
                after_request(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"),
                FailureKind.JUNK,
                id="two lengths",
            ),
            pytest.param(
                after_request(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
                FailureKind.JUNK,
                id="switched protocols unasked",
            ),
            pytest.param(
                after_request(reply(b"ok", "x-long: " + "x" * 100_000)), FailureKind.JUNK, id="one huge header"
            ),
            pytest.param(
                after_request(reply(b"ok", *(f"x-{n}: {'x' * 1000}" for n in range(100)))),
                FailureKind.JUNK,
                id="many headers",
            ),
            pytest.param(endless_header, FailureKind.JUNK, id="endless header"),
            pytest.param(endless_hints, FailureKind.JUNK, id="endless interim replies"),
        ],
    )
    async def test_reply_broken_before_its_body(self, upstream: Upstream, script: Script, kind: FailureKind) -> None:
        async with ScriptedServer(script, answering(reply(b"next"))) as server:
            failure = await failure_of(upstream.send(call(server.url(), headers=(("x-key", "secret"),))))

            assert failure.kind is kind
            await server.over(0)
            assert await fetch(upstream, call(server.url())) == b"next"

    @pytest.mark.parametrize(
        ("head", "then", "kind"),
        [
            pytest.param(reply(b"12345")[:-2], Peer.finish, FailureKind.TRUNCATED, id="short of its length"),
            pytest.param(reply(b"12345")[:-2], Peer.reset, FailureKind.RESET, id="reset short of its length"),
            pytest.param(chunked(b"123", end=b""), Peer.finish, FailureKind.TRUNCATED, id="no last chunk"),
            pytest.param(CHUNKED + b"5\r\n123", Peer.finish, FailureKind.TRUNCATED, id="cut in a chunk"),
            pytest.param(CHUNKED + b"3\r\n123\r\n5", Peer.finish, FailureKind.TRUNCATED, id="cut in a chunk size"),
            pytest.param(chunked(b"123", end=b"0\r\n"), Peer.finish, FailureKind.TRUNCATED, id="cut in the last chunk"),
            pytest.param(chunked(b"123", end=b""), Peer.reset, FailureKind.RESET, id="reset between chunks"),
            pytest.param(UNTIL_CLOSE + b"123", Peer.reset, FailureKind.RESET, id="reset with no length"),
        ],
    )
    async def test_body_that_ends_too_early_gives_what_came_and_then_fails(
        self, upstream: Upstream, head: bytes, then: Callable[[Peer], None], kind: FailureKind
    ) -> None:
        async def cut(peer: Peer) -> None:
            await peer.request()
            await peer.send(head)
            await read.wait()
            then(peer)
            await peer.gone()

        read = asyncio.Event()
        async with ScriptedServer(cut, answering(reply(b"next"))) as server:
            got = await upstream.send(call(server.url()))

            assert await got.receive() == b"123"
            read.set()
            assert (await failure_of(got.receive())).kind is kind
            assert (await failure_of(got.receive())).kind is not None
            got.close()
            assert await fetch(upstream, call(server.url())) == b"next"

    async def test_what_came_before_the_end_is_given_out_also_when_both_are_read_late(self, upstream: Upstream) -> None:
        async with ScriptedServer(after_request(chunked(b"data: [DONE]", end=b""), then=Peer.finish)) as server:
            got = await upstream.send(call(server.url()))
            await server.over(0)
            await until_waiting()

            assert await got.receive() == b"data: [DONE]"
            assert (await failure_of(got.receive())).kind is FailureKind.TRUNCATED

    async def test_bad_chunk_size_in_the_body_is_junk(self, upstream: Upstream) -> None:
        async def lie(peer: Peer) -> None:
            await peer.request()
            await peer.send(chunked(b"123", end=b""))
            await read.wait()
            await peer.send(b"xyz\r\n")
            await peer.gone()

        read = asyncio.Event()
        async with ScriptedServer(lie, answering(reply(b"next"))) as server:
            got = await upstream.send(call(server.url()))

            assert await got.receive() == b"123"
            read.set()
            assert (await failure_of(got.receive())).kind is FailureKind.JUNK
            await server.over(0)
            assert await fetch(upstream, call(server.url())) == b"next"

    async def test_bad_chunk_size_at_once_is_junk(self, upstream: Upstream) -> None:
        async with ScriptedServer(after_request(CHUNKED + b"xyz\r\nabc\r\n")) as server:
            assert (await failure_of(fetch(upstream, call(server.url())))).kind is FailureKind.JUNK
            await server.over(0)

    @pytest.mark.parametrize("extra", [b"x", b"HTTP", b"\0\0", reply(b"evil"), chunked(b"evil")])
    @pytest.mark.parametrize("later", [False, True])
    async def test_bytes_after_the_reply_never_answer_the_next_call(
        self, upstream: Upstream, extra: bytes, later: bool
    ) -> None:
        async def say_more(peer: Peer) -> None:
            await peer.request()
            await peer.send(reply(b"good"))
            await until_waiting()
            await peer.send(extra)
            await peer.gone()

        script = say_more if later else after_request(reply(b"good") + extra)
        async with ScriptedServer(script, answering(reply(b"next"))) as server:
            try:
                assert await fetch(upstream, call(server.url())) == b"good"
            except UpstreamFailed as failed:
                assert failed.failure.kind is FailureKind.JUNK
            if later:
                await server.over(0)
            assert await fetch(upstream, call(server.url())) == b"next"
            await server.over(0)
