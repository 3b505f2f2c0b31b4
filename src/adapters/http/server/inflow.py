"""What is read off a client's socket: not more than is taken, and not without end what is thrown away."""

import asyncio


class Inflow:
    """The reading side of one transport."""

    def __init__(self, transport: asyncio.Transport, discarded_bytes: int) -> None:
        """`discarded_bytes`: how much may be thrown away before the connection is cut."""
        self.is_open = True
        """Is anything read?"""
        self._transport = transport
        self._discarded_bytes = discarded_bytes

    def pause(self) -> None:
        """Read no more: what comes stays with the kernel, and then with the client."""
        if self.is_open:
            self.is_open = False
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if not self.is_open and not self._transport.is_closing():
            self.is_open = True
            self._transport.resume_reading()

    def discard(self, data: bytes) -> None:
        """Throw it away."""
        self._discarded_bytes -= len(data)
        if self._discarded_bytes < 0:
            self._transport.abort()
