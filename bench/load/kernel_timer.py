"""A timer that is right to some hundredths of a millisecond, in an event loop whose own are a whole one coarse."""

import asyncio
import ctypes
import os
import struct
import sys
import time
from collections.abc import Callable

_CLOCK_MONOTONIC = 1  # linux/time.h
_NONBLOCKING = 0o4000  # TFD_NONBLOCK
_ABSOLUTE = 1  # TFD_TIMER_ABSTIME


def tick(began: float, period_s: float, on_tick: Callable[[], None]) -> Callable[[], None]:
    """Call `on_tick` at `began` and each period after it, by a timer of the kernel; where there is none, by the event
    loop, whose timers are a millisecond coarse on most systems. Returns how to end it."""
    loop = asyncio.get_running_loop()
    if not sys.platform.startswith("linux"):
        return _tick_by_loop(began, period_s, on_tick)
    libc = ctypes.CDLL(None, use_errno=True)
    timer = libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCKING)
    times = struct.pack("@4l", 0, round(period_s * 1e9), int(began), round(began % 1 * 1e9))
    if timer < 0 or libc.timerfd_settime(timer, _ABSOLUTE, times, None) != 0:
        raise OSError(ctypes.get_errno(), "timerfd")

    def rang() -> None:
        os.read(timer, 8)
        on_tick()

    def end() -> None:
        loop.remove_reader(timer)
        os.close(timer)

    loop.add_reader(timer, rang)
    return end


def _tick_by_loop(began: float, period_s: float, on_tick: Callable[[], None]) -> Callable[[], None]:
    loop = asyncio.get_running_loop()
    handle: asyncio.TimerHandle
    number = 0

    def rang() -> None:
        nonlocal handle, number
        on_tick()
        number += 1
        handle = loop.call_later(max(0.0, began + number * period_s - time.monotonic()), rang)

    handle = loop.call_later(max(0.0, began - time.monotonic()), rang)
    return lambda: handle.cancel()  # noqa: PLW0108 - the handle is another one each time
