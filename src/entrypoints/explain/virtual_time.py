"""Time that passes only where somebody waits for it: a wait of a minute takes none."""

import asyncio
import selectors
import time
from collections.abc import Callable
from functools import partial

from adapters.clock import Timeout, Timeouts

_START_S = 10_000.0
"""Well above 0, which means "never" in many places, and small enough for fractions to be exact."""


class _NoWait(selectors.SelectSelector):
    """What would be waited for is counted instead."""

    waited_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits, and for nothing that time brings")
        self.waited_s += max(0.0, timeout)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to its next timer whenever nothing is left to do. It is for work without I/O."""

    def __init__(self) -> None:
        self._no_wait = _NoWait()
        super().__init__(self._no_wait)

    def time(self) -> float:
        """Seconds; begins at the same moment in every loop."""
        return _START_S + self._no_wait.waited_s


class VirtualClock:
    """The `Clock` port over such a loop."""

    sleep = staticmethod(asyncio.sleep)
    unix = staticmethod(time.time)

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self.now = loop.time
        self.timeout_at = partial(Timeout, Timeouts(loop.time))
        self._loop = loop

    def call_at(self, when: float, work: Callable[[], object]) -> asyncio.TimerHandle:
        """See `application.ports.Clock`."""
        return self._loop.call_at(when, work)
