"""Notices a client that stops reading its stream: what it does not take is held upstream, and somebody generates it."""

import asyncio
from collections.abc import Callable
from types import TracebackType


class WriteWatch:
    """Calls `stalled` when one write takes longer than `timeout_s` seconds. One timer per stream, not one per write."""

    __slots__ = ("_began", "_now", "_stalled", "_timeout_s", "_timer")

    def __init__(self, timeout_s: float, stalled: Callable[[], None]) -> None:
        self._timeout_s = timeout_s
        self._stalled = stalled
        self._began: float | None = None
        self._now: Callable[[], float] = _never
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._now = asyncio.get_running_loop().time
        self._arm(self._timeout_s)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def begin(self) -> None:
        """A write begins."""
        self._began = self._now()

    def end(self) -> None:
        """It is done."""
        self._began = None

    def forget(self) -> None:
        """Nothing will stall any more: let go of who would have been told."""
        self._stalled = _nobody

    def _arm(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        waited_s = 0.0 if self._began is None else self._now() - self._began
        if waited_s >= self._timeout_s:
            self._stalled()
        else:
            self._arm(self._timeout_s - waited_s)


def _never() -> float:
    """The time before there is a clock."""
    return 0.0


def _nobody() -> None:
    """Is told nothing."""
