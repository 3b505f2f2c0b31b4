"""The upstream contract, part 5: connections are used again when that is safe, and slots are never lost."""

import asyncio
from typing import Any

import pytest

from application.ports import Upstream, UpstreamFailed
from domain.failure import FailureKind
from tests.contracts.scripted_server import (
    PATIENCE_S,
    Peer,
    Script,
    ScriptedServer,
    after_request,
    answering,
    chunked,
    hold,
    reply,
)
from tests.contracts.upstream_calls import UpstreamBase, body_of, call, cancel, failure_of, fetch, until_waiting

few = pytest.mark.parametrize("options", [{"max_connections": 3}])
one = pytest.mark.parametrize("options", [{"max_connections": 1}])


def idle_then(end: Any) -> Script:
    """Answers once; ends the connection when the second request is there."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(reply(b"first"))
        await peer.request()
        end(peer)
        await peer.gone()

    return script


class PoolContract(UpstreamBase):
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

    @pytest.mark.parametrize("options", [{"keepalive_s": 0.1}])
    async def test_connection_idle_for_too_long_is_not_used(self, upstream: Upstream) -> None:
        async with ScriptedServer(answering(reply())) as server:
            await fetch(upstream, call(server.url()))
            await asyncio.sleep(0.3)
            await fetch(upstream, call(server.url()))

            assert len(server.peers) == 2

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

    async def test_fresh_connection_that_fails_is_not_tried_again(self, upstream: Upstream) -> None:
        async with ScriptedServer(after_request(then=Peer.reset), answering(reply())) as server:
            assert (await failure_of(fetch(upstream, call(server.url())))).kind is FailureKind.RESET
            assert len(server.requests) == 1

    @pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
    async def test_nothing_is_tried_again_once_a_byte_of_the_reply_has_come(
        self, upstream: Upstream, begun: bytes
    ) -> None:
        async def break_second(peer: Peer) -> None:
            await peer.request()
            await peer.send(reply())
            await peer.request()
            await peer.send(begun)

        async with ScriptedServer(break_second, answering(reply())) as server:
            await fetch(upstream, call(server.url()))

            assert (await failure_of(fetch(upstream, call(server.url())))).kind is FailureKind.TRUNCATED
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

    @few
    async def test_no_more_connections_than_allowed_and_all_calls_get_through(self, upstream: Upstream) -> None:
        async def slow(peer: Peer) -> None:
            while True:
                await peer.request()
                most.append(server.open)
                await asyncio.sleep(0.02)
                await peer.send(reply())

        most: list[int] = []
        async with ScriptedServer(slow) as server:
            bodies = await asyncio.gather(*(fetch(upstream, call(server.url())) for _ in range(10)))

            assert bodies == [b"ok"] * 10
            assert max(most) == 3
            assert len(server.peers) == 3

    @one
    async def test_waiting_for_a_slot_counts_as_waiting_for_the_reply(self, upstream: Upstream) -> None:
        async with ScriptedServer(hold) as server:
            busy = asyncio.create_task(fetch(upstream, call(server.url())))
            await server.peer()
            failure = await failure_of(fetch(upstream, call(server.url(), connect_s=0.1, first_byte_s=0.3)))

            assert failure.kind is FailureKind.FIRST_BYTE_TIMEOUT
            await cancel(busy)

    @few
    async def test_slots_of_calls_cancelled_while_they_wait_are_not_lost(self, upstream: Upstream) -> None:
        """httpcore#1093: calls cancelled under contention kept their slots for ever."""
        async with ScriptedServer(hold, hold, hold, answering(reply())) as server:
            busy = [asyncio.create_task(fetch(upstream, call(server.url()))) for _ in range(3)]
            await server.peer(2)
            for _ in range(50):
                waiting = [asyncio.create_task(fetch(upstream, call(server.url()))) for _ in range(10)]
                await asyncio.sleep(0)
                for task in waiting:
                    task.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)
            for task in busy:
                await cancel(task)

            bodies = await asyncio.gather(*(fetch(upstream, call(server.url())) for _ in range(6)))

            assert bodies == [b"ok"] * 6

    @one
    async def test_slot_given_to_a_call_in_the_moment_it_is_cancelled_goes_to_the_next(
        self, upstream: Upstream
    ) -> None:
        async with ScriptedServer(hold, answering(reply())) as server:
            busy = asyncio.create_task(fetch(upstream, call(server.url())))
            await server.peer()
            first, second = (asyncio.create_task(fetch(upstream, call(server.url()))) for _ in range(2))
            await until_waiting()
            busy.cancel()
            await asyncio.gather(busy, return_exceptions=True)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)

            assert await second == b"ok"

    @few
    async def test_calls_cancelled_at_any_moment_leave_all_slots_free(self, upstream: Upstream) -> None:
        async def sluggish(peer: Peer) -> None:
            while True:
                await peer.request()
                await asyncio.sleep(0.002)
                await peer.send(reply(b"o" * 1000)[:500])
                await asyncio.sleep(0.002)
                await peer.send(reply(b"o" * 1000)[500:])

        async with ScriptedServer(sluggish) as server:
            for moment in range(100):
                tasks = [asyncio.create_task(fetch(upstream, call(server.url()))) for _ in range(5)]
                await asyncio.sleep(moment * 0.0001)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

            bodies = await asyncio.gather(*(fetch(upstream, call(server.url())) for _ in range(9)))

            assert bodies == [b"o" * 1000] * 9

    @one
    @pytest.mark.parametrize(
        "script",
        [
            after_request(then=Peer.reset),
            after_request(then=Peer.finish),
            after_request(b"junk\r\n\r\n"),
            after_request(chunked(b"a", end=b""), then=Peer.finish),
            after_request(chunked(b"a", end=b"z")),
            hold,
        ],
    )
    async def test_slot_is_free_again_after_every_failure(self, upstream: Upstream, script: Script) -> None:
        async with ScriptedServer(script, script, answering(reply())) as server:
            for _ in range(2):
                await failure_of(fetch(upstream, call(server.url(), first_byte_s=0.3, idle_s=0.3)))

            assert await fetch(upstream, call(server.url())) == b"ok"

    @one
    async def test_slot_is_free_again_after_a_refused_connection(self, upstream: Upstream) -> None:
        async with ScriptedServer(answering(reply())) as gone:
            url = gone.url()
        for _ in range(3):
            failure = await failure_of(fetch(upstream, call(url)))

            assert (failure.kind, failure.reason) == (FailureKind.CONNECT, "connection refused")

    @one
    async def test_one_origin_does_not_wait_for_another(self, upstream: Upstream) -> None:
        async with ScriptedServer(hold) as stuck, ScriptedServer(answering(reply())) as well:
            busy = asyncio.create_task(fetch(upstream, call(stuck.url())))
            await stuck.peer()

            assert await fetch(upstream, call(well.url())) == b"ok"
            await cancel(busy)

    @few
    async def test_close_ends_calls_in_every_phase_with_a_failure(self, upstream: Upstream) -> None:
        async with ScriptedServer(after_request(chunked(b"a", end=b"")), hold) as server:
            patient = call(server.url(), first_byte_s=600, idle_s=600)
            got = await upstream.send(patient)
            await got.receive()
            tasks = [asyncio.create_task(fetch(upstream, patient)) for _ in range(4)]
            tasks.append(asyncio.create_task(body_of(got)))
            await server.peer(2)
            await until_waiting()
            await upstream.close()
            async with asyncio.timeout(PATIENCE_S):
                results = await asyncio.gather(*tasks, return_exceptions=True)

            assert [type(result) for result in results] == [UpstreamFailed] * 5
            await server.over(0)
            await server.over(1)
