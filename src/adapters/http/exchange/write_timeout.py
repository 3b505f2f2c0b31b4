"""Notices a client that stops reading its stream: what it does not take is held upstream, and somebody generates it."""

import asyncio
from collections.abc import Callable
from types import TracebackType


class WriteWatch:
    """Calls `stalled` when one write takes longer than `timeout_s` seconds. One timer per stream, not one per write."""

    __slots__ = ("_loop", "_stalled", "_timeout_s", "_timer", "began")

    def __init__(self, timeout_s: float, stalled: Callable[[], None]) -> None:
        self._timeout_s = timeout_s
        self._stalled = stalled
        self._loop = asyncio.get_running_loop()
        self.began: float | None = None
        """When the write began that is under way, in the loop's time; None = there is none. Set by the writer."""

    def __enter__(self) -> "WriteWatch":
        self._arm(self._timeout_s)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._stalled = _nobody  # lets go of the listener

    def _arm(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        waited_s = 0.0 if self.began is None else self._loop.time() - self.began
        if waited_s >= self._timeout_s:
            self._stalled()
        else:
            self._arm(self._timeout_s - waited_s)


def _nobody() -> None:
    """Is told nothing."""
