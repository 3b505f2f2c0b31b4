"""The waiting room: who goes when room comes, and who goes without."""

import asyncio
from typing import Any

import pytest

from application.routing import Routing
from application.waiting import WaitingRoom
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.limit_terms import Reading
from domain.rate_limit import Readings
from domain.tokens import Demand
from tests.fakes import HeldClock, RecordingAlarm

DEMAND = Demand(text_bytes=40, max_output_tokens=0)


class Scene:
    """One endpoint with a limit of 60 requests a minute, all used up."""

    def __init__(self, **limits: Any) -> None:
        self.clock = HeldClock()
        self.endpoint = Endpoint(id="e", model="m", provider="openai", bucket="b")
        self.group = ModelGroup("g", (self.endpoint,))
        self.routing = Routing([self.group], self.clock, lambda: 0.5, RecordingAlarm(), reserve=0.0)
        self.room = WaitingRoom(self.routing, self.clock, **limits)
        lease = self.routing.pick(self.group, "", DEMAND, ())
        assert lease is not None
        self.routing.read(lease, Readings(Reading(60, 0, 60.0)))
        self.routing.succeeded(lease)
        self.routing.release(lease)

    def wait(self, seconds: float = 30.0, size: int = 10) -> "asyncio.Task[Any]":
        until = self.clock.now() + seconds
        return asyncio.ensure_future(self.room.lease(self.group, "", DEMAND, frozenset(), until, size))


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_as_many_go_as_there_is_room_for_and_no_more() -> None:
    scene = Scene()
    waiting = [scene.wait() for _ in range(5)]
    await settle()
    assert scene.room.waiting("g") == 5

    await scene.clock.pass_time(1.01)
    assert [task.done() for task in waiting].count(True) == 1
    await scene.clock.pass_time(2.0)
    assert [task.done() for task in waiting].count(True) == 3
    await scene.clock.pass_time(2.0)

    assert all(task.done() for task in waiting)
    assert scene.room.waiting("g") == 0


async def test_who_waits_for_one_endpoint_does_not_make_others_wait_as_long_for_theirs() -> None:
    scene = Scene()
    other = Endpoint(id="f", model="m", provider="openai", bucket="c")
    group = ModelGroup("g", (scene.endpoint, other))
    routing = Routing([group], scene.clock, lambda: 0.5, RecordingAlarm(), reserve=0.0)
    room = WaitingRoom(routing, scene.clock)
    for endpoint, reset_s in ((scene.endpoint, 25.0), (other, 1.0)):
        lease = routing.pick(group, "", DEMAND, {"e", "f"} - {endpoint.id})
        assert lease is not None
        limited = Failure(FailureKind.RATE_LIMITED, "429", 429, reset_s)
        routing.failed(lease, limited)
        routing.release(lease)
    until = scene.clock.now() + 30
    first = asyncio.ensure_future(room.lease(group, "", DEMAND, frozenset("f"), until, 1))
    await settle()
    second = asyncio.ensure_future(room.lease(group, "", DEMAND, frozenset("e"), until + 1, 1))
    await settle()

    await scene.clock.pass_time(1.1)

    assert second.done()
    assert not first.done()
    first.cancel()


async def test_those_whose_time_is_up_first_go_first() -> None:
    scene = Scene()
    late, soon = scene.wait(seconds=30), scene.wait(seconds=10)
    await settle()

    await scene.clock.pass_time(1.01)

    assert soon.done()
    assert not late.done()
    late.cancel()


async def test_a_client_that_leaves_frees_its_place_and_takes_no_room_with_it() -> None:
    scene = Scene()
    leaving, staying = scene.wait(seconds=10), scene.wait(seconds=20)
    await settle()
    leaving.cancel()
    await settle()
    assert scene.room.waiting("g") == 1

    await scene.clock.pass_time(1.01)

    assert staying.done()


async def test_a_lease_given_to_a_client_that_leaves_in_the_same_moment_is_returned() -> None:
    scene = Scene()
    task = scene.wait()
    await settle()
    scene.clock.time += 1.01
    scene.room.serve_all()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert scene.routing.in_flight(scene.endpoint) == 0


async def test_the_room_is_bounded_by_number_and_by_bytes() -> None:
    few, small = Scene(max_waiting=2), Scene(max_bytes=25)
    tasks = [few.wait() for _ in range(2)] + [small.wait(size=10) for _ in range(2)]
    await settle()

    assert await few.wait() is None
    assert await small.wait(size=10) is None
    for task in tasks:
        task.cancel()


async def test_nobody_waits_longer_than_it_may() -> None:
    scene = Scene()

    assert await scene.wait(seconds=0.05) is None
    assert scene.room.waiting("g") == 0


async def test_a_reply_that_says_there_is_room_lets_them_go_at_once() -> None:
    scene = Scene()
    scene.clock.time += 1.01
    lease = scene.routing.pick(scene.group, "", DEMAND, ())
    assert lease is not None
    waiting = [scene.wait() for _ in range(3)]
    await settle()
    assert not any(task.done() for task in waiting)

    scene.routing.read(lease, Readings(Reading(60, 50, 10.0)))
    await settle()

    assert all(task.done() for task in waiting)
