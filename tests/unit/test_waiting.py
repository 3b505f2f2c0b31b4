"""The waiting room: who goes when room comes, and who goes without."""

import asyncio
from typing import Any

import pytest

from application.endpoints.endpoint_state import Lease
from application.endpoints.waiting_queue import WaitingQueue
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.rate_limit.limit_reading import Reading, Readings
from domain.rate_limit.token_estimate import Demand
from domain.routing.route_query import RouteQuery
from tests.fakes import HeldClock
from tests.picture import Picture

DEMAND = Demand(text_bytes=40, max_output_tokens=0)


class Scene:
    """One endpoint with a limit of 60 requests a minute, all used up."""

    def __init__(self, **limits: Any) -> None:
        self.clock = HeldClock()
        self.endpoint = Endpoint(id="e", model="m", provider="openai", bucket="b")
        self.group = ModelGroup("g", (self.endpoint,))
        self.picture = Picture([self.group], self.clock, reserve=0.0)
        self.room = WaitingQueue(self.picture.pool, self.picture.signal, self.clock, **limits)
        lease = self.picture.pick(self.group, "", DEMAND, ())
        assert lease is not None
        self.used = lease
        self.picture.replied(lease, Readings(Reading(60, 0, 60.0)))
        self.picture.succeeded(lease)
        self.picture.release(lease)

    def fail(self, failure: Failure) -> None:
        """What came in the end of the stream that took the last of the room."""
        self.picture.failed(self.used, failure)

    def wait(
        self, seconds: float = 30.0, size: int = 10, client: str = "", demand: Demand = DEMAND
    ) -> "asyncio.Task[Any]":
        until = self.clock.now() + seconds
        return asyncio.ensure_future(
            self.room.lease(self.group, RouteQuery(demand, client, body=b"." * size), frozenset(), until)
        )


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
    picture = Picture([group], scene.clock, reserve=0.0)
    room = WaitingQueue(picture.pool, picture.signal, scene.clock)
    for endpoint, reset_s in ((scene.endpoint, 25.0), (other, 1.0)):
        lease = picture.pick(group, "", DEMAND, {"e", "f"} - {endpoint.id})
        assert lease is not None
        limited = Failure(FailureKind.RATE_LIMITED, "429", True, reset_s)
        picture.failed(lease, limited)
        picture.release(lease)
    until = scene.clock.now() + 30
    first = asyncio.ensure_future(room.lease(group, RouteQuery(DEMAND, ""), frozenset("f"), until))
    await settle()
    second = asyncio.ensure_future(room.lease(group, RouteQuery(DEMAND, ""), frozenset("e"), until + 1))
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

    assert scene.picture.states[scene.endpoint.id].in_flight == 0


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

    waiting = scene.wait(seconds=0.5)
    await settle()
    await scene.clock.pass_time(0.5)

    assert waiting.done()
    assert waiting.result() is None
    assert scene.room.waiting("g") == 0


async def test_when_a_429s_clock_ends_they_go_in_batches_that_double() -> None:
    """Of an endpoint that tells nothing of its limit."""
    scene = Scene()
    endpoint = Endpoint(id="silent", model="m", provider="openai", bucket="c")
    scene.group = ModelGroup("g", (endpoint,))
    picture = Picture([scene.group], scene.clock, reserve=0.0)
    scene.room = WaitingQueue(picture.pool, picture.signal, scene.clock)
    lease = picture.pick(scene.group, "", DEMAND, ())
    assert lease is not None
    picture.failed(lease, Failure(FailureKind.RATE_LIMITED, "429", True, 5.0))
    picture.release(lease)
    waiting = [scene.wait() for _ in range(20)]
    await settle()
    gone = []

    for seconds in (4.9, 0.11, 0.26, 0.26, 0.26, 0.26):
        await scene.clock.pass_time(seconds)
        gone.append([task.done() for task in waiting].count(True))

    assert gone == [0, 1, 3, 7, 15, 20]


async def test_a_reply_that_says_there_is_room_lets_them_go_at_once() -> None:
    scene = Scene()
    scene.clock.time += 1.01
    lease = scene.picture.pick(scene.group, "", DEMAND, ())
    assert lease is not None
    waiting = [scene.wait() for _ in range(3)]
    await settle()
    assert not any(task.done() for task in waiting)

    scene.picture.replied(lease, Readings(Reading(60, 50, 10.0)))
    await settle()

    assert all(task.done() for task in waiting)


SMALL, LARGE = Demand(text_bytes=40, max_output_tokens=0), Demand(text_bytes=360, max_output_tokens=0)
"""Of 50 tokens that are left the first takes some, and the second lacks so few that nobody is let in at a guess."""


def with_room_for_small_ones_only() -> tuple[Scene, Lease]:
    scene = Scene()
    scene.clock.time += 1.01
    lease = scene.picture.pick(scene.group, "", Demand(0, max_output_tokens=0), ())
    assert lease is not None
    scene.picture.replied(lease, Readings(Reading(60, 0, 60.0), Reading(3000, 50, 59.0)))
    return scene, lease


@pytest.mark.parametrize("clients", [("", ""), ("x", "y")])
async def test_who_needs_much_is_not_overtaken_by_who_needs_little(clients: tuple[str, str]) -> None:
    scene, lease = with_room_for_small_ones_only()
    large = scene.wait(client=clients[0], demand=LARGE)
    await settle()
    small = scene.wait(client=clients[1], demand=SMALL)
    await settle()

    scene.picture.replied(lease, Readings(Reading(60, 5, 55.0), Reading(3000, 50, 59.0)))
    await settle()

    assert scene.room.waiting("g") == 2
    await scene.clock.pass_time(2.0)
    assert large.done()
    assert small.done()


async def test_when_who_needs_much_leaves_who_needs_little_goes_at_once() -> None:
    scene, lease = with_room_for_small_ones_only()
    large = scene.wait(demand=LARGE)
    await settle()
    small = scene.wait(demand=SMALL)
    scene.picture.replied(lease, Readings(Reading(60, 5, 55.0), Reading(3000, 50, 59.0)))
    await settle()
    assert not small.done()

    large.cancel()
    await settle()

    assert small.done()


async def test_who_may_go_elsewhere_does_not_take_what_another_waits_for() -> None:
    scene, lease = with_room_for_small_ones_only()
    other = Endpoint(id="f", model="m", provider="openai", bucket="c", weight=100)
    group = ModelGroup("g", (scene.endpoint, other))
    picture = Picture([group], scene.clock, reserve=0.0)
    room = WaitingQueue(picture.pool, picture.signal, scene.clock)
    used = {}
    for endpoint in group.endpoints:
        lease = picture.pick(group, "", SMALL, {"e", "f"} - {endpoint.id})
        assert lease is not None
        used[endpoint.id] = lease
        picture.replied(lease, Readings(Reading(60, 0, 60.0), Reading(3000, 50, 59.0)))
    until = scene.clock.now() + 30
    large = asyncio.ensure_future(room.lease(group, RouteQuery(LARGE, ""), frozenset("e"), until))
    await settle()
    small = asyncio.ensure_future(room.lease(group, RouteQuery(SMALL, ""), frozenset(), until))
    await settle()

    for lease in used.values():
        picture.replied(lease, Readings(Reading(60, 5, 55.0), Reading(3000, 50, 59.0)))
    await settle()

    assert small.result().endpoint is scene.endpoint
    assert not large.done()
    large.cancel()


async def test_who_finds_room_and_nobody_well_is_sent_on_as_a_last_resort_while_there_is_room() -> None:
    scene = Scene()
    scene.fail(Failure(FailureKind.RESET))
    waiting = [scene.wait() for _ in range(3)]
    await scene.clock.pass_time(0.9)
    assert not any(task.done() for task in waiting)

    await scene.clock.pass_time(0.11)

    assert waiting[0].result().is_last_resort
    assert not any(task.done() for task in waiting[1:])

    await scene.clock.pass_time(2.0)

    assert all(task.result().is_last_resort for task in waiting)
    assert scene.room.waiting("g") == 0


async def test_who_leaves_as_it_is_sent_on_gives_back_what_it_was_given() -> None:
    scene = Scene()
    scene.fail(Failure(FailureKind.RESET))
    leaving, staying = scene.wait(), scene.wait()
    await settle()
    scene.clock.time += 1.01

    scene.room.serve_all()
    leaving.cancel()
    await settle()
    scene.room.serve_all()
    await settle()

    assert leaving.cancelled()
    assert staying.result().is_last_resort


async def test_a_limit_is_waited_for_where_the_others_that_have_room_are_not_well() -> None:
    scene = Scene()
    well = Endpoint(id="f", model="m", provider="openai", bucket="c")
    group = ModelGroup("g", (scene.endpoint, well))
    picture = Picture([group], scene.clock, reserve=0.0)
    room = WaitingQueue(picture.pool, picture.signal, scene.clock)
    for name, failure in (("e", FailureKind.RESET), ("f", FailureKind.RATE_LIMITED)):
        lease = picture.pick(group, "", DEMAND, {"e", "f"} - {name})
        assert lease is not None
        picture.failed(lease, Failure(failure, retry_after_s=5.0))
        picture.release(lease)
    waiting = asyncio.ensure_future(room.lease(group, RouteQuery(DEMAND, ""), frozenset(), scene.clock.now() + 30))
    await scene.clock.pass_time(4.9)
    assert not waiting.done()

    await scene.clock.pass_time(0.2)

    lease = waiting.result()
    assert lease is not None
    assert (lease.endpoint.id, lease.is_last_resort) == ("f", False)


async def test_an_endpoint_that_has_recovered_takes_those_that_wait_while_the_stream_that_showed_it_goes_on() -> None:
    clock = HeldClock()
    group = ModelGroup("g", tuple(Endpoint(id=name, model="m", provider="openai", bucket=name) for name in "ef"))
    picture = Picture([group], clock, reserve=0.0)
    room = WaitingQueue(picture.pool, picture.signal, clock)
    limited = Failure(FailureKind.RATE_LIMITED, retry_after_s=250.0)
    for other, failure in (("f", Failure(FailureKind.RESET)), ("e", limited)):
        failed = picture.pick(group, "", DEMAND, other)
        assert failed is not None
        picture.failed(failed, failure)
        picture.release(failed)
    until = clock.now() + 1000
    probe = asyncio.ensure_future(room.lease(group, RouteQuery(DEMAND, ""), frozenset(), until))
    second = asyncio.ensure_future(room.lease(group, RouteQuery(DEMAND, ""), frozenset(), until + 1))
    await clock.pass_time(70.0)
    assert probe.done()
    assert not second.done()

    lease = probe.result()
    assert lease is not None
    picture.succeeded(lease)
    await settle()

    assert second.done()


async def test_a_limit_that_never_lets_anybody_in_is_not_asked_all_the_time() -> None:
    scene = Scene()
    asked: list[float] = []

    def none_but_soon(*demand: object, **how: object) -> float:
        asked.append(scene.clock.now())
        return 1e-9

    scene.picture.pool.fits_in_s = none_but_soon  # type: ignore[method-assign, assignment]
    waiting = scene.wait()
    await settle()
    for _ in range(10_000):
        scene.clock.time += 0.001
        if scene.clock.sleepers[-1][0] <= scene.clock.time:
            await scene.clock.pass_time(0.0)

    assert 10 < len(asked) < 25
    waiting.cancel()
