"""What is read off a client's socket: not more than is taken, and not without end what is thrown away."""

import asyncio


class Inflow:
    """The reading side of a connection."""

    def __init__(self, most_discarded_bytes: int) -> None:
        """When more than that is thrown away, the connection is cut."""
        self.transport: asyncio.Transport | None = None
        """None = there is none yet, or no more."""
        self.is_open = True
        """Is anything read?"""
        self._most_discarded_bytes = most_discarded_bytes
        self._discarded_bytes = 0

    def pause(self) -> None:
        """Read no more: what comes stays with the kernel, and then with the client."""
        if self.is_open and self.transport is not None:
            self.is_open = False
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if not self.is_open and self.transport is not None and not self.transport.is_closing():
            self.is_open = True
            self.transport.resume_reading()

    def discard(self, data: bytes) -> None:
        """Throw it away."""
        self._discarded_bytes += len(data)
        if self._discarded_bytes > self._most_discarded_bytes and self.transport is not None:
            self.transport.abort()
