"""When those that wait are looked at again though nothing happens: a limit refills, or a cooldown ends."""

import asyncio
import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush

from application.endpoints.waiting_lines import SPARE, Door, Line
from application.ports import Clock


class Timers:
    """Of lines and doors: one entry that counts for each at most, some that mean nothing, and one task that sleeps."""

    def __init__(self, clock: Clock, on_ring: Callable[[], None]) -> None:
        self._clock = clock
        self._on_ring = on_ring
        self._heap: list[tuple[float, int, Line | Door]] = []
        self._set = 0
        self._serial = 0
        self._sleeper: asyncio.Task[None] | None = None
        self._sleeps_until = 0.0

    def set(self, target: Line | Door, due: float) -> None:
        """Not later than at `due`. It may ring earlier, if it was set to that before."""
        if due >= target.due:
            return
        self.drop(target)
        target.due = due
        self._set += 1
        self._serial += 1
        heappush(self._heap, (due, self._serial, target))

    def drop(self, target: Line | Door) -> None:
        """It is not due any more."""
        self._set -= target.due < math.inf
        target.due = math.inf
        if len(self._heap) > 2 * self._set + SPARE:
            self._heap = list({entry[2]: entry for entry in self._heap if entry[2].due == entry[0]}.values())
            heapify(self._heap)

    def ring(self, now: float) -> Line | Door | None:
        """One that is due at `now`, and no more from then on; None = there is none."""
        if self._next_due() > now:
            return None
        target = heappop(self._heap)[2]
        self.drop(target)
        return target

    def sleep(self) -> None:
        """Until the first is due, unless it is slept until then or earlier already; not at all if there is none."""
        due, sleeper = self._next_due(), self._sleeper
        if sleeper is not None and self._sleeps_until <= due < math.inf:
            return
        if sleeper is not None:
            sleeper.cancel()
            self._sleeper = None
        if due < math.inf:
            self._sleeps_until = due
            self._sleeper = asyncio.ensure_future(self._sleep(due - self._clock.now()))

    async def _sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._sleeper = None
        self._on_ring()

    def _next_due(self) -> float:
        heap = self._heap
        while heap and heap[0][2].due != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else math.inf
