"""A flow: each piece of a body goes to its taker at the moment it comes, and no task is woken for it.

The task that asked for the flow sleeps until there is something to decide: the taker wants no more for now, the body is
over, or something broke.
"""

import asyncio
from collections.abc import Awaitable, Callable

Take = Callable[[bytes], bool]
"""Takes one piece, never an empty one. False = it is taken, but nothing more for now: the flow stops. An exception ends
the flow, and is raised where that was asked for."""

TakeFramed = Callable[[bytes, bytes, int], bool]
"""Is offered what came in the framing of HTTP/1.1 (RFC 9112, 7.1), before a `Take` gets the piece in it. The arguments
are what came and, if that is one whole chunk, the line with the size that it begins with and the size of the piece.
True = it is taken, and more may come; False = it is not. Never raises."""


def nowhere(_: bytes) -> bool:
    """The taker of a flow that nobody has asked for yet."""
    return False


async def pulled(receive: Callable[[], Awaitable[bytes]], take: Take) -> bool:
    """A flow of pieces that have to be asked for one by one; b"" is their end. See `UpstreamReply.flow`."""
    while piece := await receive():
        if not take(piece):
            return False
    return True


class Tap:
    """Where one task at a time waits for what others bring."""

    __slots__ = ("_loop", "_waiter", "take", "take_framed")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiter: asyncio.Future[bool] | None = None
        self.take: Take | None = None  # None = nobody waits, or only to be woken: what comes is kept
        self.take_framed: TakeFramed | None = (
            None  # offered pieces before, where they come in chunks; None = nothing is
        )

    def news(self) -> asyncio.Future[bool]:
        """Done when `wake` is called. Pieces go nowhere until then."""
        self._waiter = waiter = self._loop.create_future()
        return waiter

    async def wait(self, take: Take | None = None, take_framed: TakeFramed | None = None) -> bool:
        """Have pieces go to `take`, until it wants no more (False) or `wake` is called (True)."""
        self.take, self.take_framed = take, take_framed
        self._waiter = self._loop.create_future()
        try:
            return await self._waiter
        finally:
            self.take = self.take_framed = self._waiter = None

    def give(self, piece: bytes) -> bool:
        """Hand a piece to `take`; False = nobody waits for pieces (any more), and it is not taken."""
        take, waiter = self.take, self._waiter
        if take is None or waiter is None or waiter.done():
            return False
        try:
            if take(piece):
                return True
        except Exception as error:  # it is the affair of the task that waits, not of what brings the piece
            if not waiter.done():
                waiter.set_exception(error)
        else:
            if not waiter.done():
                waiter.set_result(False)
        self.take = self.take_framed = None
        return True

    def wake(self) -> None:
        """Whoever waits is to look again."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            self.take = self.take_framed = None
            waiter.set_result(True)
