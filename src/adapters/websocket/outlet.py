"""Where the messages of a socket go, how many have gone, and the short way there for most of a server's."""

import asyncio

from adapters.websocket.wire import TEXT_HEADS


class Outlet:
    """What a message touches is all here: thousands of sockets take turns, and each finds the processor's cache full
    of the others."""

    __slots__ = ("bytes", "frames", "to")

    def __init__(self) -> None:
        self.frames = self.bytes = 0
        """Of messages that were sent, without what is around them."""
        self.to: asyncio.Transport | None = None
        """None = messages do not go straight out: the peer takes none for now, the connection is not open, or another
        message has begun."""

    def send(self, text: bytes) -> bool:
        """A whole text of a server, shorter than `USUAL_BYTES`. False = it is not sent, and may be sent the long way."""
        transport = self.to
        if transport is None:
            return False
        size = len(text)
        self.frames += 1
        self.bytes += size
        transport.write(TEXT_HEADS[size] + text)
        return True
