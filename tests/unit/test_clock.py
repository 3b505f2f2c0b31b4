"""Time limits of the clock: one timer for all, and the same rules for real time and for time that stands still."""

import asyncio
from math import inf

import pytest

from adapters.clock import SystemClock, Timeout
from application.ports import Clock
from tests.fakes import FakeClock

Clocks = pytest.mark.parametrize("make", [SystemClock, FakeClock], ids=["real", "fake"])


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


@Clocks
async def test_what_is_due_already_ends_at_its_first_wait(make: type[Clock]) -> None:
    clock = make()
    with pytest.raises(TimeoutError), clock.timeout_at(clock.now() - 1.0):
        await forever()


@Clocks
async def test_what_waits_for_nothing_is_never_ended(make: type[Clock]) -> None:
    clock = make()
    with clock.timeout_at(clock.now() - 1.0):
        done = True
    await settled()

    assert done


@Clocks
async def test_a_limit_that_is_put_off_or_taken_away_ends_nothing(make: type[Clock]) -> None:
    clock = make()
    with clock.timeout_at(clock.now()) as limit:
        limit.reschedule(inf)
        await settled()
    with clock.timeout_at(inf):
        await settled()


@Clocks
async def test_a_limit_that_is_brought_forward_is_kept(make: type[Clock]) -> None:
    clock = make()
    with pytest.raises(TimeoutError), clock.timeout_at(clock.now() + 1000.0) as limit:
        limit.reschedule(clock.now())
        await forever()


@Clocks
async def test_a_cancellation_from_outside_stays_one(make: type[Clock]) -> None:
    clock = make()

    async def work() -> None:
        with clock.timeout_at(clock.now() + 1000.0):
            await forever()

    task = asyncio.ensure_future(work())
    await settled()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


@Clocks
async def test_of_two_limits_the_outer_one_passes_through_the_inner(make: type[Clock]) -> None:
    clock = make()
    with pytest.raises(TimeoutError), clock.timeout_at(clock.now()):
        with clock.timeout_at(clock.now() + 1000.0):
            await forever()
        raise AssertionError("the inner limit was not reached")


@Clocks
async def test_a_call_that_is_called_off_is_not_made(make: type[Clock]) -> None:
    clock = make()
    made: list[str] = []
    clock.call_at(clock.now() - 1.0, lambda: made.append("no")).cancel()
    clock.call_at(clock.now() - 1.0, lambda: made.append("yes"))
    if isinstance(clock, FakeClock):
        clock.advance(0.0)
    await asyncio.sleep(0.001)

    assert made == ["yes"]


def test_one_clock_serves_one_loop_after_another() -> None:
    clock = SystemClock()

    async def runs_out() -> None:
        with pytest.raises(TimeoutError), clock.timeout_at(clock.now()):
            await forever()

    asyncio.run(runs_out())
    asyncio.run(runs_out())


async def test_all_limits_together_have_one_timer_which_rings_for_the_first() -> None:
    clock = SystemClock()
    loop = asyncio.get_running_loop()
    ends: list[int] = []

    async def work(number: int) -> None:
        try:
            with clock.timeout_at(clock.now() + 0.001 * number):
                await forever()
        except TimeoutError:
            ends.append(number)

    tasks = [loop.create_task(work(number)) for number in (3, 1, 2, 40_000_000)]
    await asyncio.wait(tasks[:3])
    limit = clock.timeout_at(inf)
    assert isinstance(limit, Timeout)

    assert sorted(ends) == [1, 2, 3]
    assert len(limit._timeouts.running) == 1
    tasks[3].cancel()
    await asyncio.wait(tasks)
    assert not limit._timeouts.running
