"""What is written to a client's socket and not taken: counted as held, and waited for."""

import asyncio

from application.held_bytes import HeldBytes, Holding


class Outflow:
    """The writing side of a connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, budget: HeldBytes) -> None:
        self._loop = loop
        self._holding = Holding(budget)
        self.room: asyncio.Future[None] | None = None
        """Done when more may be written; None = it may."""

    @property
    def held_bytes(self) -> int:
        """How much was not taken when writing was paused; 0 = it is not."""
        return self._holding.held_bytes

    def pause(self, unsent_bytes: int) -> None:
        """The client does not take what is written: so much of it waits."""
        if self.room is None:
            self.room = self._loop.create_future()
        self.count(unsent_bytes)

    def count(self, unsent_bytes: int) -> None:
        """So much of it waits for the client."""
        self._holding.count(unsent_bytes - self._holding.held_bytes)

    def resume(self) -> None:
        """The client has taken most of it, or never will."""
        self.count(0)
        room, self.room = self.room, None
        if room is not None and not room.done():
            room.set_result(None)
