"""Waiting for an earlier tier, though a later one could take the request (`max_wait_for_tier`)."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec import structs

from application.attempts.active_request import ActiveRequest
from application.attempts.tier_wait import TierWait
from application.messages import RequestTrace
from domain.failure import Failure, FailureKind
from domain.rate_limit.limit_reading import Reading, Readings
from domain.rate_limit.token_estimate import Demand
from tests.fakes import HeldClock
from tests.unit.dispatch_bench import Bench, Script, good, settled


class Tiers(Bench):
    """A bench whose time passes when the test says so."""

    def __init__(
        self,
        *scripts: Script,
        priorities: Sequence[int],
        weights: Sequence[int] | None = None,
        wait_s: float = 5.0,
        max_wait_s: float = 30.0,
    ) -> None:
        self.held = HeldClock()
        super().__init__(
            *scripts,
            priorities=priorities,
            weights=weights,
            max_wait_for_tier_s=wait_s,
            max_wait_s=max_wait_s,
            clock=self.held,
        )

    async def pass_time(self, seconds: float) -> None:
        await self.held.pass_time(seconds)
        await settled()


def bench_of(priorities: tuple[int, ...] = (0, 1), wait_s: float = 5.0, max_wait_s: float = 30.0) -> Tiers:
    return Tiers(*([good] * 9 for _ in priorities), priorities=priorities, wait_s=wait_s, max_wait_s=max_wait_s)


def fail(bench: Bench, number: int, failure: Failure) -> None:
    """What an endpoint said to an earlier request."""
    others = {e.id for i, e in enumerate(bench.group.endpoints, 1) if i != number}
    lease = bench.picture.pick(bench.group, "", Demand(40, 0), others)
    assert lease is not None
    bench.picture.failed(lease, failure)
    bench.picture.release(lease)


def limit(bench: Bench, number: int, seconds: float) -> None:
    fail(bench, number, Failure(FailureKind.RATE_LIMITED, retry_after_s=seconds))


def read(bench: Bench, number: int, readings: Readings) -> None:
    """What an endpoint said to an earlier request of what it has left."""
    others = {e.id for i, e in enumerate(bench.group.endpoints, 1) if i != number}
    lease = bench.picture.pick(bench.group, "", Demand(40, 0), others)
    assert lease is not None
    bench.picture.replied(lease, readings)
    bench.picture.succeeded(lease)
    bench.picture.release(lease)


async def begun(
    bench: Bench, patience_s: float | None = None, body_bytes: int = 0
) -> tuple[asyncio.Task[object], RequestTrace]:
    """A request on its way, as far as it comes before time passes."""
    trace, request = RequestTrace(), bench.request(patience_s=patience_s)
    request = structs.replace(request, body=request.body.ljust(body_bytes))
    task: asyncio.Task[object] = asyncio.ensure_future(bench.dispatch(bench.group, request, trace))
    await settled()
    return task, trace


async def test_by_default_the_next_tier_takes_at_once_what_the_first_has_no_room_for() -> None:
    bench = bench_of(wait_s=0.0)
    limit(bench, 1, 2.0)
    await bench.ask()

    assert bench.asked == ["e2"]


async def test_a_request_waits_for_the_refill_of_the_earlier_tier_and_goes_there() -> None:
    bench = bench_of()
    limit(bench, 1, 2.0)
    task, trace = await begun(bench)

    assert not task.done()
    assert bench.waiting.waiting("g") == 1
    await bench.pass_time(2.1)
    await task
    assert trace.endpoint == "e1"
    assert trace.upstream_s == pytest.approx(2.1), "the wait is not the proxy's own time"
    assert bench.nothing_is_left()


@pytest.mark.parametrize("seconds", [6.0, 60.0])
async def test_what_does_not_refill_in_time_is_not_waited_for(seconds: float) -> None:
    bench = bench_of()
    limit(bench, 1, seconds)
    await bench.ask()

    assert bench.asked == ["e2"]
    assert bench.clock.slept == []


async def test_nobody_waits_for_an_earlier_tier_that_is_not_well() -> None:
    bench = bench_of()
    fail(bench, 1, Failure(FailureKind.RESET))
    await bench.ask()

    assert bench.asked == ["e2"]


async def test_a_client_that_would_have_left_before_the_refill_does_not_wait() -> None:
    bench = bench_of()
    limit(bench, 1, 2.0)
    task, trace = await begun(bench, patience_s=1.0)

    await task
    assert trace.endpoint == "e2"


async def test_when_its_time_is_up_without_a_refill_it_spills() -> None:
    bench = bench_of()
    on_its_way = bench.picture.pick(bench.group, "", Demand(40, 0), {"e2"})
    assert on_its_way is not None
    limit(bench, 1, 2.0)
    task, trace = await begun(bench)
    await bench.pass_time(1.0)
    bench.picture.failed(on_its_way, Failure(FailureKind.RATE_LIMITED, retry_after_s=30.0))
    await bench.pass_time(3.0)
    await settled()
    assert not task.done()

    await bench.pass_time(1.1)
    await task
    assert trace.endpoint == "e2"
    assert bench.waiting.waiting("g") == 0


async def test_when_the_limit_passes_and_nobody_there_is_well_it_spills_at_once() -> None:
    bench = bench_of()
    limit(bench, 1, 2.0)
    task, trace = await begun(bench)
    bench.picture.states["e1"].withhold(True)
    await bench.pass_time(1.9)
    assert not task.done()

    await bench.pass_time(0.2)
    await task
    assert trace.endpoint == "e2"
    assert bench.waiting.waiting("g") == 0


@pytest.mark.parametrize("max_wait_s", [0.0, 30.0])
async def test_it_spills_though_others_that_came_later_still_wait(max_wait_s: float) -> None:
    bench = bench_of(max_wait_s=max_wait_s)
    limit(bench, 1, 2.0)
    first, trace = await begun(bench)
    bench.picture.states["e1"].withhold(True)
    await bench.pass_time(1.0)
    second, _ = await begun(bench)
    await bench.pass_time(4.1)
    await first

    assert trace.endpoint == "e2"
    await bench.pass_time(1.0)
    await second


async def test_one_that_comes_stands_behind_those_that_wait_for_the_tier() -> None:
    bench = bench_of()
    limit(bench, 1, 2.0)
    first, _ = await begun(bench)
    second, trace = await begun(bench)

    assert not second.done()
    assert bench.waiting.waiting("g") == 2
    await bench.pass_time(2.1)
    await asyncio.gather(first, second)
    assert trace.endpoint == "e1"


async def test_one_that_would_fit_stands_behind_a_larger_one_that_does_not() -> None:
    bench = bench_of()
    read(bench, 1, Readings(tokens=Reading(60_000, 2_000, 60.0)))
    larger, _ = await begun(bench, body_bytes=14_000)
    smaller, trace = await begun(bench)

    assert not larger.done()
    assert not smaller.done()
    await bench.pass_time(2.0)
    await asyncio.gather(larger, smaller)
    assert trace.endpoint == "e1"
    assert bench.nothing_is_left()


async def test_one_that_has_failed_somewhere_waits_behind_nobody_where_there_is_room() -> None:
    bench = bench_of((0, 0, 1))
    read(bench, 1, Readings(tokens=Reading(60_000, 2_000, 60.0)))
    bench.picture.states["e2"].withhold(True)
    larger, _ = await begun(bench, body_bytes=14_000)
    tier_wait, now = TierWait(bench.picture.pool, bench.waiting), bench.clock.now()
    active = ActiveRequest.of(bench.group, bench.request(), RequestTrace(), now, 30.0)

    assert tier_wait.barred(active, now) == {"e3"}
    active.state = active.state.after_failure("e2", Failure(FailureKind.RESET))
    assert tier_wait.barred(active, now) is None
    await bench.pass_time(2.0)
    await larger


@pytest.mark.parametrize(
    ("left", "body_bytes"),
    [
        (Readings(Reading(60, 0, 60.0)), 0),  # one request a second
        (Readings(tokens=Reading(60_000, 0, 60.0)), 3_800),  # about 1,000 tokens a second, and so many in each
    ],
)
async def test_no_more_wait_than_should_get_their_turn_in_time(left: Readings, body_bytes: int) -> None:
    bench = bench_of()
    read(bench, 1, left)
    tasks = [await begun(bench, body_bytes=body_bytes) for _ in range(6)]

    assert [task.done() for task, _ in tasks] == [False] * 4 + [True] * 2
    for _ in range(5):
        await bench.pass_time(1.0)
    await asyncio.gather(*(task for task, _ in tasks))
    assert [trace.endpoint for _, trace in tasks] == ["e1"] * 4 + ["e2"] * 2
    assert bench.nothing_is_left()


async def test_those_ahead_are_shared_by_all_endpoints_of_the_tier_by_weight() -> None:
    bench = Tiers(*([good] * 9 for _ in range(3)), priorities=(0, 0, 1), weights=(3, 1, 1))
    read(bench, 1, Readings(Reading(180, 0, 60.0)))
    read(bench, 2, Readings(Reading(60, 0, 60.0)))
    tasks = [await begun(bench) for _ in range(20)]

    assert sum(not task.done() for task, _ in tasks) == 17
    for _ in range(20):
        await bench.pass_time(0.25)
    await asyncio.gather(*(task for task, _ in tasks))
    assert {trace.endpoint for _, trace in tasks[:17]} == {"e1", "e2"}


async def test_it_leaves_for_whichever_endpoint_of_the_earlier_tiers_has_room_first() -> None:
    bench = bench_of((0, 1, 2))
    limit(bench, 1, 4.0)
    limit(bench, 2, 2.0)
    task, trace = await begun(bench)
    await bench.pass_time(2.1)

    await task
    assert trace.endpoint == "e2"


async def test_where_no_tier_has_room_the_first_refill_of_any_takes_it() -> None:
    bench = bench_of()
    limit(bench, 1, 4.0)
    limit(bench, 2, 2.0)
    task, trace = await begun(bench)
    await bench.pass_time(2.1)

    await task
    assert trace.endpoint == "e2"


async def test_a_request_that_was_told_429_by_the_first_tier_waits_for_it_too() -> None:
    limited = Failure(FailureKind.RATE_LIMITED, retry_after_s=2.0)
    bench = Tiers([lambda: limited, good], [good], priorities=(0, 1))
    task, trace = await begun(bench)
    await bench.pass_time(2.1)

    await task
    assert [attempt.endpoint for attempt in trace.attempts] == ["e1", "e1"]


@pytest.mark.parametrize(("wait_s", "asked"), [(0.0, "e2"), (5.0, "e1")])
async def test_who_may_wait_for_the_first_tier_takes_what_is_scarce_there_at_once(wait_s: float, asked: str) -> None:
    bench = bench_of(wait_s=wait_s)
    read(bench, 1, Readings(Reading(1000, 10, 60.0)))
    await bench.ask()

    assert bench.asked == [asked]


async def test_a_client_that_leaves_while_it_waits_leaves_nothing_behind() -> None:
    bench = bench_of()
    limit(bench, 1, 2.0)
    task, _ = await begun(bench)
    task.cancel()
    await settled()

    assert bench.waiting.waiting("g") == 0
    assert bench.nothing_is_left()
