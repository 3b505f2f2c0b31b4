"""The upstream contract, part 11: bodies that flow, each piece to its taker at the moment it comes."""

import asyncio

import pytest

from application.ports import Upstream
from domain.failure import FailureKind
from tests.contracts.scripted_server import Peer, ScriptedServer, after_request, chunked
from tests.contracts.upstream_calls import UpstreamBase, body_of, call, cancel, failure_of, until_waiting


class Taker:
    """Takes what comes, as long as it has room for so many pieces."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.room = room
        self.pieces: list[bytes] = []
        self.came = asyncio.Event()

    def take(self, piece: bytes) -> bool:
        self.pieces.append(piece)
        self.room -= 1
        self.came.set()
        return self.room > 0

    async def next(self) -> bytes:
        """The piece that comes next."""
        await self.came.wait()
        self.came.clear()
        return self.pieces[-1]


class Unfit(Exception):
    """What a taker may raise."""


def refuse(piece: bytes) -> bool:
    raise Unfit


class FlowContract(UpstreamBase):
    async def test_each_piece_is_taken_before_the_next_one_is_sent(self, upstream: Upstream) -> None:
        taker = Taker()

        async def one_at_a_time(peer: Peer) -> None:
            await peer.request()
            await peer.send(chunked(b"0", end=b""))
            for piece in (b"1", b"2", b"3"):
                assert await taker.next() != piece
                await peer.send(b"1\r\n%b\r\n" % piece)
            assert await taker.next() == b"3"
            await peer.send(b"0\r\n\r\n")

        async with ScriptedServer(one_at_a_time) as server:
            got = await upstream.send(call(server.url()))

            assert await got.flow(taker.take)
            assert taker.pieces == [b"0", b"1", b"2", b"3"]
            assert await got.flow(taker.take)
            got.close()

    async def test_what_is_not_taken_in_its_framing_is_taken_without(self, upstream: Upstream) -> None:
        taker = Taker()
        sent = [b"%d" % number for number in range(6)]

        def take_framed(framed: bytes, line: bytes, size: int) -> bool:
            piece = framed[len(line) : -2]
            is_wanted = line + piece + b"\r\n" == framed and size == 1 and piece in b"135"
            if is_wanted:
                taker.take(piece)
            return is_wanted

        async def one_at_a_time(peer: Peer) -> None:
            await peer.request()
            await peer.send(chunked(sent[0], end=b""))
            for piece in sent[1:]:
                await taker.next()
                await peer.send(b"1\r\n%b\r\n" % piece)
            await taker.next()
            await peer.send(b"0\r\n\r\n")

        async with ScriptedServer(one_at_a_time) as server:
            got = await upstream.send(call(server.url()))

            assert await got.flow(taker.take, take_framed)
            assert taker.pieces == sent
            got.close()

    async def test_what_is_not_wanted_now_waits(self, upstream: Upstream) -> None:
        taker = Taker(room=1)

        async def two_parts(peer: Peer) -> None:
            await peer.request()
            await peer.send(chunked(b"a", end=b""))
            await taker.next()
            await peer.send(b"1\r\nb\r\n", b"1\r\nc\r\n0\r\n\r\n")

        async with ScriptedServer(two_parts) as server:
            got = await upstream.send(call(server.url()))
            assert not await got.flow(taker.take)
            await until_waiting()
            assert taker.pieces == [b"a"]

            taker.room = 1
            assert not await got.flow(taker.take)
            assert await body_of(got) == b"bc".removeprefix(b"".join(taker.pieces[1:]))

    async def test_a_taker_that_wants_no_more_holds_the_sender_back(self, upstream: Upstream) -> None:
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
            taker = Taker(room=1)
            assert not await got.flow(taker.take)
            peer, sent = await server.peer(), -1
            while sent != peer.sent:
                sent = peer.sent
                await until_waiting(0.2)
            assert sent < 2_000_000

            taker.room = total
            assert await got.flow(taker.take)
            assert sum(map(len, taker.pieces)) == total
            got.close()

    @pytest.mark.parametrize("comes_first", [True, False])
    async def test_what_a_taker_raises_is_raised_where_the_flow_was_asked_for(
        self, upstream: Upstream, comes_first: bool
    ) -> None:
        goes_on = asyncio.Event()

        async def late(peer: Peer) -> None:
            await peer.request()
            await peer.send(chunked(b"a", end=b""))
            await goes_on.wait()
            await peer.send(b"1\r\nb\r\n")
            await peer.gone()

        async with ScriptedServer(late) as server:
            got = await upstream.send(call(server.url()))
            if comes_first:
                await until_waiting()
            else:
                assert await got.receive() == b"a"
                asyncio.get_running_loop().call_later(0.05, goes_on.set)
            with pytest.raises(Unfit):
                await got.flow(refuse)
            got.close()
            goes_on.set()
            await server.over(0)

    async def test_silence_ends_a_flow_and_steadiness_does_not(self, upstream: Upstream) -> None:
        async def steady_then_silent(peer: Peer) -> None:
            await peer.request()
            await peer.send(chunked(b"x", end=b""))
            for _ in range(8):
                await asyncio.sleep(0.1)
                await peer.send(b"1\r\nx\r\n")
            await peer.gone()

        async with ScriptedServer(steady_then_silent) as server:
            got = await upstream.send(call(server.url(), idle_s=0.6))
            taker = Taker()

            assert (await failure_of(got.flow(taker.take))).kind is FailureKind.IDLE_TIMEOUT
            assert b"".join(taker.pieces) == b"x" * 9
            await server.over(0)

    async def test_what_came_before_a_break_is_taken_first(self, upstream: Upstream) -> None:
        async def cut(peer: Peer) -> None:
            await peer.request()
            await peer.send(chunked(b"abc", end=b""), b"ff\r\nhalf")
            peer.finish()

        async with ScriptedServer(cut) as server:
            got = await upstream.send(call(server.url()))
            taker = Taker()

            assert (await failure_of(got.flow(taker.take))).kind is FailureKind.TRUNCATED
            assert b"".join(taker.pieces) == b"abchalf"

    async def test_a_cancelled_flow_takes_nothing_more_and_can_be_closed(self, upstream: Upstream) -> None:
        async with ScriptedServer(after_request(chunked(b"a", end=b""))) as server:
            got = await upstream.send(call(server.url()))
            taker = Taker()
            flowing = asyncio.create_task(got.flow(taker.take))
            await taker.next()
            await cancel(flowing)
            got.close()
            await server.over(0)

            assert taker.pieces == [b"a"]
