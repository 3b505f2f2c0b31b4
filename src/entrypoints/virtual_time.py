"""Time that passes at once: an event loop whose clock jumps to the next timer when nothing is left to do, and the
`Clock` port over it. Nothing waits for real: an hour takes as long as its work does."""

import asyncio
import selectors
from collections.abc import Callable
from functools import partial

from adapters.clock import Timeout, Timeouts

START_S = 1_000_000.0
"""When virtual time begins. Below twice that the difference of two times is exact, so that no timer drifts (Sterbenz);
and 0 means "never" to some rules."""
_UNIX_S = 1_800_000_000.0


class Stuck(RuntimeError):
    """Nothing is ready and no timer runs: what is waited for never comes."""


class _Jumps(selectors.SelectSelector):
    """Looks at no file: where the loop would wait for one, time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START_S

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """`timeout`: seconds until the next timer; None = there is none. Raises `Stuck` then."""
        if timeout is None:
            raise Stuck("everything waits, and for nothing that will happen")
        if timeout > 0:
            self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs timers in the order of their times, at once. No work may wait for a socket, a thread or a process."""

    def __init__(self) -> None:
        self._jumps = _Jumps()
        super().__init__(self._jumps)

    def time(self) -> float:
        """Seconds; the same until all that is ready has run."""
        return self._jumps.now


class VirtualClock:
    """The `Clock` port in the time of a loop."""

    sleep = staticmethod(asyncio.sleep)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = loop.time
        """Seconds."""
        self._loop = loop
        self.timeout_at = partial(Timeout, Timeouts(loop.time))
        """See `application.ports.Clock`."""

    def passed_s(self) -> float:
        """Seconds since virtual time began."""
        return self.now() - START_S

    def unix(self) -> float:
        return _UNIX_S + self.passed_s()

    def call_at(self, when: float, work: Callable[[], object]) -> asyncio.TimerHandle:
        return self._loop.call_at(when, work)
