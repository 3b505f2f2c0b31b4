"""Real time, behind the `Clock` port: time, and time limits that share one timer."""

import asyncio
import time
from asyncio import current_task
from collections.abc import Callable
from functools import partial
from math import inf
from operator import attrgetter
from types import TracebackType
from typing import Any

_COARSE_S = 0.005  # after one limit was reached the next is looked for no sooner: many may end about the same time


class Timeouts:
    """The time limits that run in one loop, with one timer: mostly the work is over before it rings."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._timer: asyncio.TimerHandle | None = None
        self.loop: asyncio.AbstractEventLoop | None = None  # the running one: before Python 3.12 asking is slow
        self.running: dict[Timeout, None] = {}  # in the order in which they began
        self.next_at = inf  # when the timer rings; inf = it is not set

    def task(self) -> "asyncio.Task[Any]":
        """The task that runs now, where that is not known by `loop`."""
        if self._timer is not None:
            self._timer.cancel()
        self.loop, self._timer, self.next_at = asyncio.get_running_loop(), None, inf
        self.running.clear()
        task = current_task()
        if task is None:
            raise RuntimeError("a time limit needs a task to cancel")
        return task

    def arm(self, when: float, at_least_s: float = 0.0) -> None:
        """Have the timer ring at that time, if it does not earlier."""
        if when >= self.next_at or self.loop is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self.next_at = when
        self._timer = self.loop.call_later(max(at_least_s, when - self._now()), self._ring)

    def expire(self) -> None:
        """End the work whose time is up, the earliest first: what is done again in the same order ends as it did."""
        now = self._now()
        for timeout in sorted((each for each in self.running if each.when <= now), key=attrgetter("when")):
            self.running.pop(timeout, None)
            timeout.expire()

    def _ring(self) -> None:
        self._timer, self.next_at = None, inf
        self.expire()
        self.arm(min((each.when for each in self.running), default=inf), _COARSE_S)


class Timeout:
    """As `asyncio.timeout_at`, but that entering and leaving it is no coroutine. See `application.ports.Timeout`."""

    __slots__ = ("_cancelling", "_is_over", "_task", "_timeouts", "when")

    def __init__(self, timeouts: Timeouts, when: float) -> None:
        self.when = when
        self._timeouts = timeouts
        self._is_over = False

    def __enter__(self) -> "Timeout":
        timeouts = self._timeouts
        loop = timeouts.loop
        self._task = task = (loop and current_task(loop)) or timeouts.task()
        self._cancelling = task.cancelling()
        timeouts.running[self] = None
        if self.when < timeouts.next_at:
            timeouts.arm(self.when)
        return self

    def reschedule(self, when: float) -> None:
        self.when = when
        self._timeouts.arm(when)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timeouts.running.pop(self, None)
        if self._is_over and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        self._is_over = True
        self._task.cancel()


class SystemClock:
    """The monotonic clock; uvloop and asyncio take their loop time from the same one."""

    now = staticmethod(time.monotonic)  # seconds
    unix = staticmethod(time.time)  # Unix seconds
    sleep = staticmethod(asyncio.sleep)

    def __init__(self) -> None:
        self.timeout_at = partial(Timeout, Timeouts(self.now))  # see `application.ports.Clock`

    def call_at(self, when: float, work: Callable[[], object]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(max(0.0, when - self.now()), work)
