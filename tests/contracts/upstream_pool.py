"""The upstream contract, part 6: there are no more connections than allowed, and slots are never lost."""

import asyncio

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


class PoolContract(UpstreamBase):
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
    async def test_waiting_for_a_slot_too_long_is_no_fault_of_the_endpoint(self, upstream: Upstream) -> None:
        async with ScriptedServer(hold) as server:
            busy = asyncio.create_task(fetch(upstream, call(server.url())))
            await server.peer()
            failure = await failure_of(fetch(upstream, call(server.url(), connect_s=0.1, first_byte_s=0.3)))

            assert failure.kind is FailureKind.LOCAL
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
        async with ScriptedServer(after_request(chunked(b"a", end=b"")), answering(reply())) as server:
            busy = await upstream.send(call(server.url()))
            first, second = (asyncio.create_task(fetch(upstream, call(server.url()))) for _ in range(2))
            await until_waiting()
            busy.close()
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)

            async with asyncio.timeout(PATIENCE_S / 2):
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
