"""The end of an operation's time, told apart from a loop that had no time for it.

When somebody's computing holds the loop for 150 ms, the answers of a Redis that is well lie in the sockets, unread;
but the timers are due as well, and would end every operation under way: with that the breaker would open.
"""

import asyncio
from types import TracebackType

from application.ports import Clock

_LATE = 0.2  # a timer that comes later than this part of the time it was set to was held up by the loop
_GRACE = 0.2  # as much more, once, to read what has come meanwhile


class Deadline:
    """`async with Deadline(clock, 0.1) as deadline:` raises `TimeoutError` when the block takes longer."""

    __slots__ = ("_clock", "_due", "_scope", "_seconds", "_timer", "was_late")

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._scope = asyncio.timeout(None)
        self.was_late = False  # True = the loop was held up: a `TimeoutError` says nothing about the other side

    async def __aenter__(self) -> "Deadline":
        await self._scope.__aenter__()
        self._due = self._clock.now() + self._seconds
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._passed)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._scope.__aexit__(kind, error, trace)

    def _passed(self) -> None:
        # The clock itself: uvloop's time stands still while its callbacks run.
        self.was_late = self._clock.now() - self._due > _LATE * self._seconds
        now = asyncio.get_running_loop().time()
        self._scope.reschedule(now + _GRACE * self._seconds if self.was_late else now)
