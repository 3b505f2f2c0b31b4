"""A deadline over a piece of work: `asyncio.timeout` for the hot path, without its coroutines."""

import asyncio
from types import TracebackType


class TimeLimit:
    """Cancels the work in its `with` block when the time is up, and raises TimeoutError instead.

    As `asyncio.timeout`, but that entering and leaving it is no coroutine. To be entered once, in a task.
    """

    __slots__ = ("_asked_loop", "_cancelling", "_expired", "_later", "_loop", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float | None, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """None = there is no limit. What is due already is cancelled at its first wait.

        `loop` is the running one, where the caller has it: to ask for it is a system call before Python 3.12.
        """
        self._seconds = seconds
        self._asked_loop = loop
        self._expired = False
        self._timer: asyncio.TimerHandle | None = None
        self._later: float | None = None
        """When it ends, in the loop's time, if that is later than the timer rings; None = it is not."""

    def __enter__(self) -> "TimeLimit":
        task = asyncio.current_task(self._asked_loop)
        if task is None:
            raise RuntimeError("a time limit needs a task to cancel")
        self._task = task
        self._cancelling = task.cancelling()
        self._loop = loop = task.get_loop()
        seconds = self._seconds
        if seconds is not None:
            self._timer = loop.call_later(seconds if seconds > 0.0 else 0.0, self._expire)
        return self

    def reschedule(self, seconds: float | None) -> None:
        """The limit is so many seconds from now instead; None = there is none any more."""
        if self._timer is not None:
            if seconds is not None and (end := self._loop.time() + seconds) >= self._timer.when():
                self._later = end  # mostly the work is over before the timer rings
                return
            self._timer.cancel()
        self._later = None
        self._timer = None if seconds is None else self._loop.call_later(max(0.0, seconds), self._expire)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _expire(self) -> None:
        if self._later is not None:
            self._timer = self._loop.call_at(self._later, self._expire)
            self._later = None
            return
        self._expired = True
        self._task.cancel()
