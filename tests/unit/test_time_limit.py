"""A deadline that is put off costs no second timer, and one that is brought forward is kept."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from adapters.time_limit import TimeLimit


class Timer:
    def __init__(self, at: float, ring: Callable[[], None]) -> None:
        self._at = at
        self.ring = ring
        self.is_cancelled = False

    def when(self) -> float:
        return self._at

    def cancel(self) -> None:
        self.is_cancelled = True


class StillLoop:
    """Its time passes when a timer is let ring."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, ring: Callable[[], None]) -> Timer:
        self.timers.append(Timer(at, ring))
        return self.timers[-1]

    def call_later(self, seconds: float, ring: Callable[[], None]) -> Timer:
        return self.call_at(self.now + seconds, ring)

    def ring(self) -> float:
        """The next one that is due; when that is."""
        timer = min((each for each in self.timers if not each.is_cancelled), key=Timer.when)
        self.timers.remove(timer)
        self.now = timer.when()
        timer.ring()
        return self.now


async def ends_at(*reschedules: float | None) -> tuple[float, int]:
    """When work is cancelled that is given 10 s and then, 1 s after each other, those; and the timers that took."""
    loop: Any = StillLoop()
    limit = TimeLimit(None)
    started = 0
    with pytest.raises(TimeoutError), limit:
        limit._loop = loop
        limit.reschedule(10.0)
        for seconds in reschedules:
            loop.now += 1.0
            limit.reschedule(seconds)
        task = asyncio.current_task()
        assert task is not None
        while not task.cancelling():
            started += 1
            loop.ring()
        await asyncio.sleep(0)
    return loop.now - 100.0, started


@pytest.mark.parametrize(
    ("reschedules", "end", "timers"),
    [
        ((), 10.0, 1),
        ((600.0,), 601.0, 2),
        ((600.0, 30.0), 32.0, 2),
        ((600.0, 3.0), 5.0, 1),
        ((3.0, 600.0), 602.0, 2),
        ((None, 7.0), 9.0, 1),
        ((600.0, None, 7.0), 10.0, 1),
    ],
)
async def test_the_last_word_counts(reschedules: tuple[float | None, ...], end: float, timers: int) -> None:
    assert await ends_at(*reschedules) == (end, timers)
