"""Flow control of one connection, both ways: no more is read than is taken, and no more written than the client takes.
What waits, on either side, is counted as held."""

import asyncio
from collections.abc import Awaitable, Collection

from adapters.http.server.cycle import RequestCycle
from adapters.http.server.limits import READ_AHEAD_BYTES, READ_AHEAD_REQUESTS
from application.held_bytes import HeldBytes, Holding


def waiting_bytes(cycle: RequestCycle | None, queue: Collection[RequestCycle]) -> int:
    """How much of the bodies of these requests has come that the application has not taken."""
    return (0 if cycle is None else cycle.bytes_waiting) + sum([each.bytes_waiting for each in queue])


def is_enough(cycle: RequestCycle, queue: Collection[RequestCycle]) -> bool:
    """Is no more to be read before some of it was taken?"""
    return waiting_bytes(cycle, queue) > READ_AHEAD_BYTES or is_long(queue)


def is_long(queue: Collection[RequestCycle]) -> bool:
    """Do as many requests wait as may?"""
    return len(queue) >= READ_AHEAD_REQUESTS


class Inflow:
    """The reading side of a connection."""

    def __init__(self, most_discarded_bytes: int, budget: HeldBytes) -> None:
        """When more than that is thrown away, the connection is cut."""
        self.is_quiet = True
        """Is something read, and nothing counted that waits?"""
        self.holding = Holding(budget)
        """How much of what was read waits, as far as it is counted."""
        self.transport: asyncio.Transport | None = None
        """None = there is none yet, or no more."""
        self.is_open = True
        """Is anything read?"""
        self._most_discarded_bytes = most_discarded_bytes
        self._discarded_bytes = 0

    def count(self, waiting_bytes: int) -> None:
        """So much of what was read waits for the application."""
        self.holding.count(waiting_bytes - self.holding.held_bytes)
        self.is_quiet = self.is_open and not waiting_bytes

    def weigh(self, cycle: RequestCycle, queue: Collection[RequestCycle], rest_bytes: int) -> None:
        """Count what waits, with so much that is not even read; if it is enough, no more is taken off the socket."""
        self.count(waiting_bytes(cycle, queue) + rest_bytes)
        if rest_bytes or is_enough(cycle, queue):
            self.pause()

    def pause(self) -> None:
        """Read no more: what comes stays with the kernel, and then with the client."""
        if self.is_open and self.transport is not None:
            self.is_open = self.is_quiet = False
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if not self.is_open and self.transport is not None and not self.transport.is_closing():
            self.is_open = True
            self.is_quiet = not self.holding.held_bytes
            self.transport.resume_reading()

    def discard(self, data: bytes) -> None:
        """Throw it away."""
        self._discarded_bytes += len(data)
        if self._discarded_bytes > self._most_discarded_bytes and self.transport is not None:
            self.transport.abort()


class Outflow:
    """The writing side of a connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, budget: HeldBytes) -> None:
        self._loop = loop
        self.holding = Holding(budget)
        """How much was not taken when writing was paused; 0 = it is not."""
        self.drained: asyncio.Future[None] | None = None
        """Done when more may be written; None = it may."""

    def pause(self, unsent_bytes: int) -> None:
        """The client does not take what is written: so much of it waits."""
        if self.drained is None:
            self.drained = self._loop.create_future()
        self.count(unsent_bytes)

    def count(self, unsent_bytes: int) -> None:
        """So much of it waits for the client."""
        self.holding.count(unsent_bytes - self.holding.held_bytes)

    def drain(self, transport: asyncio.Transport | None) -> Awaitable[None] | None:
        """Until more may be written; None = it may. `transport` None = it is lost."""
        if self.drained is None:
            return None
        if transport is not None:  # more may have been written since
            self.count(transport.get_write_buffer_size())
        return asyncio.shield(self.drained)

    def resume(self) -> None:
        """The client has taken most of it, or never will."""
        self.count(0)
        drained, self.drained = self.drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)
