"""Time that is over ends an operation; a loop that was held up gives it a little more, and says so."""

import asyncio

import pytest

from adapters.stores.redis.deadline import Deadline
from tests.fakes import FakeClock

HOUR_S = 3600.0


async def test_what_takes_too_long_is_ended() -> None:
    deadline = Deadline(FakeClock(), 0.01)

    with pytest.raises(TimeoutError):
        async with deadline:
            await asyncio.Event().wait()

    assert not deadline.was_late


async def test_what_takes_too_long_is_ended_though_the_loop_was_held_up() -> None:
    clock = FakeClock()
    deadline = Deadline(clock, 0.01)

    with pytest.raises(TimeoutError):
        async with deadline:
            clock.advance(10.0)
            await asyncio.Event().wait()

    assert deadline.was_late


async def test_an_answer_that_came_while_the_loop_was_held_up_is_read() -> None:
    clock = FakeClock()
    deadline = Deadline(clock, HOUR_S)

    async with deadline:
        clock.advance(1.5 * HOUR_S)
        deadline._passed()
        for _ in range(10):
            await asyncio.sleep(0)

    assert deadline.was_late


@pytest.mark.parametrize("late_s", [0.0, 0.1 * HOUR_S])
async def test_a_little_late_is_not_held_up(late_s: float) -> None:
    clock = FakeClock()
    deadline = Deadline(clock, HOUR_S)

    with pytest.raises(TimeoutError):
        async with deadline:
            clock.advance(HOUR_S + late_s)
            deadline._passed()
            await asyncio.Event().wait()

    assert not deadline.was_late


async def test_a_cancelled_caller_stays_cancelled() -> None:
    async def wait() -> None:
        async with Deadline(FakeClock(), HOUR_S):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_other_errors_pass_and_no_timer_is_left() -> None:
    deadline = Deadline(FakeClock(), HOUR_S)

    with pytest.raises(KeyError):
        async with deadline:
            raise KeyError

    assert deadline._timer.cancelled()
