"""What a crowd that waits costs: as much for each reply as a few that wait do. Steps are calls of functions."""

import asyncio
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from application.endpoints.endpoint_state import Lease
from application.endpoints.waiting_lines import SPARE
from application.endpoints.waiting_queue import LOOKS_A_TURN, WaitingQueue
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.rate_limit.limit_reading import Reading, Readings
from domain.rate_limit.token_estimate import Demand
from domain.routing.route_query import RouteQuery
from tests.fakes import HeldClock
from tests.picture import Picture

DEMAND = Demand(text_bytes=40, max_output_tokens=0)
CROWDS = (10, 500, 10_000)
ENDPOINTS = 14
SLACK = 64
"""Time-outs are in a heap of asyncio's, whose comparisons are calls: a few more for each that ends."""


class Steps:
    """How many functions were called."""

    taken = 0


@contextmanager
def counted() -> Iterator[Steps]:
    steps = Steps()

    def note(frame: Any, event: str, argument: Any) -> None:
        steps.taken += event in ("call", "c_call")

    gc.disable()
    sys.setprofile(note)
    try:
        yield steps
    finally:
        sys.setprofile(None)
        gc.enable()


class Crowd:
    """Requests that wait at endpoints whose limits of 60 requests a minute are used up."""

    def __init__(self, *, owns_credential: bool, endpoints: int) -> None:
        self.clock = HeldClock()
        made = (
            Endpoint(f"e{i}", "m", "openai", bucket=f"b{i}", owns_credential=owns_credential) for i in range(endpoints)
        )
        self.group = ModelGroup("g", tuple(made))
        self.picture = Picture([self.group], self.clock, reserve=0.0)
        self.room = WaitingQueue(self.picture.pool, self.picture.signal, self.clock, max_waiting=20_000)
        self.tasks: list[asyncio.Task[Lease | None]] = []

    def begin(self, client: str, index: int = 0) -> Lease:
        others = [e.id for i, e in enumerate(self.group.endpoints) if i != index]
        lease = self.picture.pick(self.group, client, DEMAND, others)
        assert lease is not None
        return lease

    def use_up(self, client: str, index: int = 0) -> Lease:
        """The lease is of a request that is still on its way."""
        lease = self.begin(client, index)
        self.answer(lease)
        return lease

    def answer(self, lease: Lease, remaining: int = 0) -> None:
        self.picture.replied(lease, Readings(Reading(60, remaining, 60.0 - remaining)))

    def wait(self, client: str, barred: frozenset[str] = frozenset(), seconds: float = 1000.0) -> "asyncio.Task[Any]":
        until = self.clock.now() + seconds
        self.tasks.append(asyncio.ensure_future(self.room.lease(self.group, RouteQuery(DEMAND, client), barred, until)))
        return self.tasks[-1]

    def gone(self) -> int:
        return sum(task.done() for task in self.tasks)

    async def leave(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        room = self.room
        assert not any([room.halls, room._doors, room._noted, room._timers._heap, room._timers._sleeper])


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def one_client(n: int) -> tuple[Crowd, Lease]:
    crowd = Crowd(owns_credential=True, endpoints=1)
    lease = crowd.use_up("")
    for _ in range(n):
        crowd.wait("")
    return crowd, lease


async def many_clients_with_the_endpoints_key(n: int) -> tuple[Crowd, Lease]:
    crowd = Crowd(owns_credential=True, endpoints=1)
    lease = crowd.use_up("")
    for number in range(n):
        crowd.wait(f"client {number}")
    return crowd, lease


async def clients_with_keys_of_their_own(n: int) -> tuple[Crowd, Lease]:
    crowd = Crowd(owns_credential=False, endpoints=1)
    leases = [crowd.use_up(f"client {number}") for number in range(n)]
    for number in range(n):
        crowd.wait(f"client {number}")
    return crowd, leases[n // 2]


async def each_barred_from_others(n: int) -> tuple[Crowd, Lease]:
    crowd = Crowd(owns_credential=True, endpoints=ENDPOINTS)
    leases = [crowd.use_up("", index) for index in range(ENDPOINTS)]
    for number in range(n):
        crowd.wait("", frozenset(f"e{bit}" for bit in range(1, ENDPOINTS) if number >> (bit - 1) & 1))
    return crowd, leases[0]


async def kept_out_by_a_cooldown(n: int) -> tuple[Crowd, Lease]:
    """The limit of the second endpoint is what they wait for; the first has room, and cools."""
    crowd = Crowd(owns_credential=False, endpoints=2)
    lease = crowd.begin("nobody")
    crowd.picture.failed(lease, Failure(FailureKind.RESET))
    for number in range(n):
        limited = crowd.begin(f"client {number}", 1)
        crowd.picture.failed(limited, Failure(FailureKind.RATE_LIMITED, retry_after_s=250.0))
        crowd.wait(f"client {number}")
    return crowd, lease


HAPPENINGS: tuple[tuple[str, Callable[[Crowd, Lease], object], int], ...] = (
    ("a reply that frees nothing", lambda crowd, lease: crowd.answer(lease), 0),
    ("one more that waits", lambda crowd, lease: crowd.wait("client 0", seconds=2000.0), 0),
    ("one that leaves from the middle", lambda crowd, lease: crowd.tasks[len(crowd.tasks) * 3 // 4].cancel(), 1),
    ("a reply that frees room for one", lambda crowd, lease: crowd.answer(lease, remaining=1), 1),
    ("the end of that request", lambda crowd, lease: crowd.picture.release(lease), 0),
)


@pytest.mark.parametrize(
    "gather",
    [one_client, many_clients_with_the_endpoints_key, clients_with_keys_of_their_own, each_barred_from_others],
)
async def test_what_happens_costs_the_same_however_many_wait(gather: Callable[[int], Any]) -> None:
    least: dict[str, int] = {}
    for n in CROWDS:
        crowd, lease = await gather(n)
        await settle()
        assert crowd.room.waiting("g") == n
        for what, happens, go in HAPPENINGS:
            before = crowd.gone()
            with counted() as steps:
                happens(crowd, lease)
                await settle()

            assert crowd.gone() - before == go
            assert steps.taken <= least.setdefault(what, steps.taken) + SLACK, f"{what}, {n} wait"
        await crowd.leave()


async def test_a_cooldown_that_ends_is_for_one_and_no_more_are_looked_at() -> None:
    least = 0
    for n in CROWDS:
        crowd, lease = await kept_out_by_a_cooldown(n)
        await settle()
        with counted() as ending:
            crowd.picture.release(lease)
            await crowd.clock.pass_time(70.0)
        assert crowd.gone() == 1
        probe = next(task for task in crowd.tasks if task.done()).result()
        assert probe is not None
        with counted() as recovering:
            crowd.picture.succeeded(probe)  # a stream that has begun, and is far from its end
            await settle()

        assert crowd.gone() == 2
        steps = ending.taken + recovering.taken
        least = least or steps
        assert steps <= least + SLACK, f"{n} wait"
        await crowd.leave()


async def test_a_hundred_replies_in_one_turn_of_the_loop_are_one_look() -> None:
    crowd, lease = await one_client(10)
    await settle()
    looks = []
    fits_in_s = crowd.picture.pool.fits_in_s
    crowd.picture.pool.fits_in_s = lambda *demand, **how: looks.append(demand) or fits_in_s(*demand, **how)  # type: ignore[method-assign, func-returns-value]

    for _ in range(100):
        crowd.answer(lease)
    await settle()

    assert len(looks) == 1
    await crowd.leave()


async def test_many_that_may_go_at_once_go_in_pieces_so_that_others_get_their_turn() -> None:
    crowd, lease = await one_client(3 * LOOKS_A_TURN)
    await settle()
    crowd.picture.replied(lease, Readings(Reading(9000, 9000, 0.0)))

    crowd.room.serve_noted()
    left = crowd.room.waiting("g")
    await settle()

    assert left == 2 * LOOKS_A_TURN
    assert crowd.gone() == 3 * LOOKS_A_TURN
    await crowd.leave()


@pytest.mark.parametrize("gather", [one_client, clients_with_keys_of_their_own, kept_out_by_a_cooldown])
async def test_of_those_that_leave_no_more_is_kept_than_of_those_that_stay(gather: Callable[[int], Any]) -> None:
    crowd, _ = await gather(500)
    await settle()
    for _ in range(4):
        for task in crowd.tasks[10:]:
            task.cancel()
        await settle()
        for number in range(10, 500):
            crowd.wait(f"client {number}", seconds=1500.0)
        await settle()
    for task in crowd.tasks[10:]:
        task.cancel()
    await settle()

    room = crowd.room
    doors = room.halls["g"].doors
    for door in doors:
        assert sum(len(line._heap) for line in door.lines.values()) <= 2 * 10 + SPARE
        assert len(door.lines) <= 10
        assert len(door._kept_out) <= 2 * 10 + SPARE
    assert len(room._timers._heap) <= 2 * 11 * len(doors) + SPARE
    assert not room._noted
    await crowd.leave()
