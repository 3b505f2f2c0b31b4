"""Signs of life that a worker gives its parent, and when there have been none for too long.

A process that was stopped (SIGSTOP), or whose event loop is stuck, does not end: its connections would wait for ever.
"""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

BEAT_S = 1.0
"""How often a worker gives a sign of life, and how often its parent looks for it."""

SILENT_S = 15.0
"""So long a worker may give none before it is replaced. What holds an event loop longer than a second is a fault, and a
machine that swaps is slow for some seconds; gunicorn's timeout is 30 s, uvicorn's 5 s."""

START_S = 60.0
"""The same before it takes requests: all is imported and composed meanwhile, and a cold disk takes its time."""

_ASLEEP_S = 3 * BEAT_S
"""A parent that looks so late has been stopped itself, and whatever stopped it may have stopped its workers too: a
suspended machine, a paused container, a debugger, Ctrl-Z."""

_BEAT = b"."
_READY = b"!"


class Pulse:
    """A worker's side. `pipe`: where its parent reads."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        os.set_blocking(pipe, False)

    def start(self) -> None:
        """From here on, as long as the running loop turns."""
        loop = asyncio.get_running_loop()
        self._say(_BEAT)
        loop.call_later(BEAT_S, self.start)

    def ready(self) -> None:
        """Requests are taken."""
        self._say(_READY)

    def _say(self, word: bytes) -> None:
        # A parent that is stopped does not read, and one that has gone does not have to be told.
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(self._pipe, word)


class Heard(Struct, frozen=True):
    """What a parent hears when it looks."""

    beats: bool
    """Was there a sign of life since it looked last?"""
    is_ready: bool
    """Did one of them say that requests are taken?"""
    is_over: bool
    """Is there nobody left who could give another?"""

    @classmethod
    def on(cls, pipe: int) -> "Heard":
        """All that is in the pipe, which must not block."""
        words = b""
        with suppress(BlockingIOError):
            while some := os.read(pipe, 4096):
                words += some
            return cls(bool(words), _READY in words, is_over=True)
        return cls(bool(words), _READY in words, is_over=False)


class Silence(Struct, frozen=True):
    """How long a worker has given no sign of life, in seconds of its parent's waking hours."""

    looked: float
    """When its parent looked last, by the monotonic clock."""
    seconds: float = 0.0
    is_ready: bool = False
    """Has it ever said that it takes requests?"""

    def after(self, heard: Heard, now: float) -> "Silence":
        """`heard`: at this look."""
        passed = now - self.looked
        is_ready = self.is_ready or heard.is_ready
        if heard.beats or passed > _ASLEEP_S:
            return Silence(now, 0.0, is_ready)
        return Silence(now, self.seconds + passed, is_ready)

    @property
    def is_too_long(self) -> bool:
        """Is the worker to be replaced?"""
        return self.seconds >= (SILENT_S if self.is_ready else START_S)


def is_traced(pid: int) -> bool:
    """Does a debugger have the process, and may have stopped it? Known only on Linux (proc_pid_status(5))."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in status.splitlines())
