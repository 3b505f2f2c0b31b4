"""The requests being answered now, so that a shutdown can wait for them and, when its time is up, end them properly."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from application.held_bytes import HeldBytes

LATE_S = 3.0
"""What a request has that comes when the time of a shutdown is up. The process has five seconds then."""


class Interruptible(Protocol):
    """A request that can be told that the proxy stops."""

    @property
    def is_streaming(self) -> bool:
        """Has a stream begun that answers it?"""

    def interrupt(self) -> None:
        """End soon, and tell the client why."""


class InFlight:
    """Counts what is being answered, and ends what is still there when a shutdown's time is up."""

    def __init__(self, drain_timeout_s: float, held: HeldBytes) -> None:
        """`held` counts what they hold."""
        self.held = held
        self.drain_timeout_s = drain_timeout_s
        self._running: set[Interruptible] = set()
        self.add: Callable[[Interruptible], None] = self._running.add
        """A request begins."""
        self.remove: Callable[[Interruptible], None] = self._running.discard
        """A request is over."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def draining(self) -> bool:
        """Has the shutdown begun?"""
        return self._timer is not None

    def __len__(self) -> int:
        return len(self._running)

    @property
    def streams(self) -> int:
        """How many of them stream already."""
        return sum(request.is_streaming for request in self._running)

    def drain(self) -> None:
        """The shutdown begins: what runs may go on for `drain_timeout_s`. A second call does nothing."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.drain_timeout_s, self._interrupt_all)

    def _interrupt_all(self) -> None:
        self.add = self._add_late
        for request in tuple(self._running):
            request.interrupt()

    def _add_late(self, request: Interruptible) -> None:
        """One that came when the time was up: its client was told that the connection is kept, before a stream that had
        to be ended just now."""
        self._running.add(request)
        asyncio.get_running_loop().call_later(LATE_S, self._interrupt, request)

    def _interrupt(self, request: Interruptible) -> None:
        if request in self._running:
            request.interrupt()
