"""The upstream contract, part 2: a reply comes through as it was sent, and a broken one is known to be broken."""

import gzip
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from application.ports import Upstream
from tests.contracts.scripted_server import Peer, ScriptedServer, after_request, answering, chunked, reply
from tests.contracts.upstream_calls import UpstreamBase, body_of, call, fetch, until_waiting

UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n"
TEN_MB = bytes(range(256)) * 40_000


def in_pieces(data: bytes, *cuts: int) -> list[bytes]:
    edges = [0, *sorted(cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


class ReplyContract(UpstreamBase):
    async def test_status_and_headers_come_as_they_were_sent(self, upstream: Upstream) -> None:
        sent = reply(
            b"busy", "X-B: 1", "x-a: caf\xe9", "x-b:   2  ", "Set-Cookie: a=1", "set-cookie: b=2", status="529 ?"
        )
        async with ScriptedServer(answering(sent)) as server:
            got = await upstream.send(call(server.url()))

            assert got.status == 529
            assert got.headers == (
                ("content-length", "4"),
                ("x-b", "1"),
                ("x-a", "caf\xe9"),
                ("x-b", "2"),
                ("set-cookie", "a=1"),
                ("set-cookie", "b=2"),
            )
            assert await body_of(got) == b"busy"

    async def test_interim_replies_are_skipped(self, upstream: Upstream) -> None:
        interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
        async with ScriptedServer(answering(interim + reply(b"final"))) as server:
            got = await upstream.send(call(server.url(), headers=(("expect", "100-continue"),)))

            assert got.status == 200
            assert got.headers == (("content-length", "5"),)
            assert await body_of(got) == b"final"

    @pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
    async def test_redirects_are_not_followed(self, upstream: Upstream, status: str) -> None:
        async with ScriptedServer(answering(reply(b"", "location: /elsewhere", status=status))) as server:
            got = await upstream.send(call(server.url()))
            got.close()

            assert got.status == int(status[:3])
            assert len(server.requests) == 1

    async def test_cookies_are_not_kept(self, upstream: Upstream) -> None:
        async with ScriptedServer(answering(reply(b"", "set-cookie: session=1; path=/"))) as server:
            await fetch(upstream, call(server.url("/v1/a")))
            await fetch(upstream, call(server.url("/v1/a")))

            assert b"cookie" not in {name.lower() for name, _ in server.requests[1].headers}

    async def test_compressed_bodies_are_passed_on_compressed(self, upstream: Upstream) -> None:
        packed = gzip.compress(b"hello" * 100)
        async with ScriptedServer(answering(reply(packed, "content-encoding: gzip"))) as server:
            assert await fetch(upstream, call(server.url())) == packed

    @pytest.mark.parametrize(
        ("method", "sent"),
        [
            ("POST", b"HTTP/1.1 204 No Content\r\n\r\n"),
            ("GET", b"HTTP/1.1 304 Not Modified\r\netag: 1\r\n\r\n"),
            ("HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n"),
            ("POST", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        ],
    )
    async def test_replies_without_body_end_with_their_headers(
        self, upstream: Upstream, method: str, sent: bytes
    ) -> None:
        async with ScriptedServer(answering(sent, reply(b"next"))) as server:
            assert await fetch(upstream, call(server.url(), method)) == b""
            assert await fetch(upstream, call(server.url())) == b"next"
            assert len(server.peers) == 1

    @pytest.mark.parametrize("version", ["1.0", "1.1"])
    async def test_body_without_length_ends_with_the_connection(self, upstream: Upstream, version: str) -> None:
        head = f"HTTP/{version} 200 OK\r\n\r\n".encode()
        async with ScriptedServer(after_request(head, b"hel", b"lo", then=Peer.finish)) as server:
            assert await fetch(upstream, call(server.url())) == b"hello"
            assert await fetch(upstream, call(server.url())) == b"hello"
            assert len(server.peers) == 2

    async def test_http_1_0_reply_with_length_is_read_and_its_connection_not_used_again(
        self, upstream: Upstream
    ) -> None:
        old = reply(b"old").replace(b"1.1", b"1.0")
        async with ScriptedServer(answering(old)) as server:
            assert await fetch(upstream, call(server.url())) == b"old"
            await server.over(0)
            assert await fetch(upstream, call(server.url())) == b"old"
            assert len(server.peers) == 2

    @pytest.mark.parametrize(
        "sent",
        [
            reply(b"hello world", "x-a: b"),
            chunked(b"hello", b" ", b"world"),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"00b;name=value;x\r\nhello world\r\n0\r\nx-trailer: 1\r\n\r\n",
        ],
    )
    async def test_reply_in_one_byte_pieces_is_the_same_reply(self, upstream: Upstream, sent: bytes) -> None:
        pieces = in_pieces(sent, *range(1, len(sent)))
        async with ScriptedServer(after_request(*pieces)) as server:
            assert await fetch(upstream, call(server.url())) == b"hello world"

    # Nothing is carried over from one example to the next, nor from one event loop to the other.
    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(
        chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=5),
        cuts=st.lists(st.integers(0, 200), max_size=8),
        with_length=st.booleans(),
    )
    async def test_a_reply_cut_anywhere_has_the_same_bytes(
        self, upstream: Upstream, chunks: list[bytes], cuts: list[int], with_length: bool
    ) -> None:
        body = b"".join(chunks)
        sent = reply(body) if with_length else chunked(*chunks)
        pieces = in_pieces(sent, *(min(cut, len(sent)) for cut in cuts))
        async with ScriptedServer(after_request(*pieces)) as server:
            assert await fetch(upstream, call(server.url())) == body

    async def test_pieces_come_as_they_are_sent_and_not_later(self, upstream: Upstream) -> None:
        async def one_at_a_time(peer: Peer) -> None:
            await peer.request()
            await peer.send(chunked(b"first", end=b""))
            await peer.request()
            await peer.send(b"0\r\n\r\n")

        async with ScriptedServer(one_at_a_time) as server:
            got = await upstream.send(call(server.url()))

            assert await got.receive() == b"first"
            got.close()

    @pytest.mark.parametrize("sent", [reply(TEN_MB), chunked(*in_pieces(TEN_MB, *range(99_999, 10_240_000, 99_999)))])
    async def test_large_body_comes_whole(self, upstream: Upstream, sent: bytes) -> None:
        async with ScriptedServer(answering(sent)) as server:
            assert await fetch(upstream, call(server.url())) == TEN_MB
            assert await fetch(upstream, call(server.url())) == TEN_MB
            assert len(server.peers) == 1

    async def test_reply_before_the_request_is_read_comes_through_and_ends_the_connection(
        self, upstream: Upstream
    ) -> None:
        async def refuse(peer: Peer) -> None:
            await peer.send(reply(b"too large", status="413 Content Too Large"))
            await peer.over.wait()

        async with ScriptedServer(refuse, answering(reply(b"next"))) as server:
            got = await upstream.send(call(server.url(), body=bytes(30_000_000)))

            assert got.status == 413
            assert await body_of(got) == b"too large"
            assert await fetch(upstream, call(server.url())) == b"next"
            (await server.peer(0)).over.set()

    async def test_reply_and_fin_to_a_request_that_is_not_read_come_through(self, upstream: Upstream) -> None:
        async def refuse(peer: Peer) -> None:
            await peer.head()
            await peer.send(UNTIL_CLOSE + b"no")
            peer.finish()
            await peer.over.wait()

        async with ScriptedServer(refuse) as server:
            assert await fetch(upstream, call(server.url(), body=bytes(30_000_000))) == b"no"
            (await server.peer(0)).over.set()

    async def test_slow_reader_holds_the_sender_back(self, upstream: Upstream) -> None:
        total = 50_000_000

        async def flood(peer: Peer) -> None:
            peer.send_slowly()
            await peer.request()
            await peer.send(f"HTTP/1.1 200 OK\r\ncontent-length: {total}\r\n\r\n".encode())
            for _ in range(total // 50_000):
                await peer.send(bytes(50_000))
            await peer.gone()

        async with ScriptedServer(flood) as server:
            got = await upstream.send(call(server.url()))
            peer, taken = await server.peer(), -1
            while taken != peer.sent:
                taken = peer.sent
                await until_waiting(0.2)

            assert taken < 2_000_000
            assert len(await body_of(got)) == total
