"""The short way out for those who send a server's short texts one by one: no look at the socket for each."""

import asyncio


class Outlet:
    """What one sender touches for a text is all here: thousands take turns, and each finds the processor's cache full
    of what the others touched."""

    __slots__ = ("bytes", "frames", "to")

    def __init__(self) -> None:
        self.to: asyncio.Transport | None = None
        """Frames of whole texts may be written to it. None = not now: they go through `WebSocket.send`."""
        self.frames = self.bytes = 0
        """What was written to it, without what is around messages."""


class Outlets:
    """Of one socket."""

    __slots__ = ("_lent", "_to", "bytes", "frames")

    def __init__(self) -> None:
        self._lent: list[Outlet] = []
        self._to: asyncio.Transport | None = None
        self.frames = self.bytes = 0
        """Of messages that were sent, without what is around them; of an outlet when it is taken back."""

    def lend(self, outlet: Outlet) -> None:
        """It leads to the peer whenever that takes what is sent."""
        self._lent.append(outlet)
        outlet.to = self._to

    def take_back(self, outlet: Outlet) -> None:
        """It was lent, and leads nowhere from now on."""
        self._lent.remove(outlet)
        outlet.to = None
        self.frames += outlet.frames
        self.bytes += outlet.bytes

    def lead(self, to: asyncio.Transport | None) -> None:
        """All of them, to there; None = nowhere for now."""
        self._to = to
        for outlet in self._lent:
            outlet.to = to
