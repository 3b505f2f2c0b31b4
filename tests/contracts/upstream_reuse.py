"""The upstream contract, part 5: connections are used again when that is safe, and a dead one is replaced once."""

import asyncio
from typing import Any

import pytest

from application.ports import Upstream
from domain.failure import FailureKind
from tests.contracts.scripted_server import Peer, Script, ScriptedServer, after_request, answering, chunked, reply
from tests.contracts.upstream_calls import UpstreamBase, call, failure_of, fetch, until_waiting


def idle_then(end: Any) -> Script:
    """Answers once; ends the connection when the second request is there."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(reply(b"first"))
        await peer.request()
        end(peer)
        await peer.gone()

    return script


class ReuseContract(UpstreamBase):
    async def test_connection_is_used_again(self, upstream: Upstream) -> None:
        async with ScriptedServer(answering(reply(), chunked(b"o", b"k"), reply())) as server:
            for _ in range(10):
                assert await fetch(upstream, call(server.url())) == b"ok"

            assert len(server.peers) == 1

    async def test_a_body_that_came_whole_gives_its_connection_back_even_unread(self, upstream: Upstream) -> None:
        async with ScriptedServer(answering(reply())) as server:
            for _ in range(3):
                got = await upstream.send(call(server.url()))
                got.close()
                await until_waiting()

            assert len(server.peers) == 1

    async def test_the_connection_used_last_is_used_first(self, upstream: Upstream) -> None:
        async with ScriptedServer(answering(reply())) as server:
            await asyncio.gather(*(fetch(upstream, call(server.url())) for _ in range(3)))
            opened = len(server.peers)
            for number in range(4):
                await fetch(upstream, call(server.url(f"/v1/{number}")))

            assert opened == len(server.peers) == 3
            assert sorted(peer.requests for peer in server.peers) == [1, 1, 5]

    async def test_connection_close_is_honoured(self, upstream: Upstream) -> None:
        async with ScriptedServer(answering(reply(b"ok", "Connection: close"))) as server:
            assert await fetch(upstream, call(server.url())) == b"ok"
            await server.over(0)
            assert await fetch(upstream, call(server.url())) == b"ok"
            assert len(server.peers) == 2

    @pytest.mark.parametrize("options", [{"keepalive_s": 0.5}])
    async def test_connection_idle_for_too_long_is_not_used(self, upstream: Upstream) -> None:
        async with ScriptedServer(answering(reply())) as server:
            for pause_s in (0.4, 0.55, 0):
                await fetch(upstream, call(server.url()))
                await asyncio.sleep(pause_s)

            assert server.peers[-1].requests == 1
            await asyncio.sleep(1.1)
            assert server.open == 0

    async def test_connection_that_the_server_closed_while_idle_is_not_used(self, upstream: Upstream) -> None:
        async def once(peer: Peer) -> None:
            await peer.request()
            await peer.send(reply())

        async with ScriptedServer(once) as server:
            for _ in range(3):
                assert await fetch(upstream, call(server.url())) == b"ok"
                await until_waiting()

            assert len(server.requests) == 3

    @pytest.mark.parametrize("end", [Peer.finish, Peer.reset])
    @pytest.mark.parametrize("body", [b"{}", b"", bytes(1_000_000)])
    async def test_dead_connection_from_the_pool_is_replaced_unseen(
        self, upstream: Upstream, end: Any, body: bytes
    ) -> None:
        async with ScriptedServer(idle_then(end), answering(reply(b"second"))) as server:
            assert await fetch(upstream, call(server.url(), body=body)) == b"first"
            assert await fetch(upstream, call(server.url(), body=body)) == b"second"
            assert [request.body for request in server.requests] == [body] * 3

    @pytest.mark.parametrize("end", [Peer.finish, Peer.reset])
    async def test_dead_connection_is_replaced_by_a_fresh_one_and_only_once(self, upstream: Upstream, end: Any) -> None:
        answered = asyncio.Barrier(3)

        async def together(peer: Peer) -> None:
            await peer.request()
            await answered.wait()
            await idle_rest(peer)

        async def idle_rest(peer: Peer) -> None:
            await peer.send(reply(b"first"))
            await peer.request()
            end(peer)
            await peer.gone()

        async with ScriptedServer(together, together, together, after_request(then=end)) as server:
            await asyncio.gather(*(fetch(upstream, call(server.url())) for _ in range(3)))

            assert (await failure_of(fetch(upstream, call(server.url())))).kind is FailureKind.RESET
            assert len(server.peers) == 4
            assert len(server.requests) == 5

    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_fresh_connection_that_fails_is_not_tried_again(self, upstream: Upstream, method: str) -> None:
        async with ScriptedServer(after_request(then=Peer.reset), answering(reply())) as server:
            assert (await failure_of(fetch(upstream, call(server.url(), method)))).kind is FailureKind.RESET
            assert len(server.requests) == 1

    @pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
    @pytest.mark.parametrize(("end", "kind"), [(Peer.finish, FailureKind.TRUNCATED), (Peer.reset, FailureKind.RESET)])
    async def test_nothing_is_tried_again_once_a_byte_of_the_reply_has_come(
        self, upstream: Upstream, begun: bytes, end: Any, kind: FailureKind
    ) -> None:
        async def break_second(peer: Peer) -> None:
            await peer.request()
            await peer.send(reply())
            await peer.request()
            await peer.send(begun)
            await until_waiting()
            end(peer)

        async with ScriptedServer(break_second, answering(reply())) as server:
            await fetch(upstream, call(server.url()))

            assert (await failure_of(fetch(upstream, call(server.url())))).kind is kind
            assert len(server.requests) == 2

    async def test_timeouts_are_not_tried_again(self, upstream: Upstream) -> None:
        async def fall_silent(peer: Peer) -> None:
            await peer.request()
            await peer.send(reply())
            await peer.request()
            await peer.gone()

        async with ScriptedServer(fall_silent, answering(reply())) as server:
            await fetch(upstream, call(server.url()))
            failure = await failure_of(fetch(upstream, call(server.url(), first_byte_s=0.2)))

            assert failure.kind is FailureKind.FIRST_BYTE_TIMEOUT
            assert len(server.requests) == 2
