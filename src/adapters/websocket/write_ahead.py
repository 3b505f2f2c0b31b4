"""What may wait for a peer that does not read: so many bytes, and so many writes, which cost memory of their own."""

import asyncio

WRITE_AHEAD_BYTES = 128 * 1024
"""When more than this waits to be sent, no more is written."""
MOST_WRITES = 512
"""As many wait at most. Loops keep each apart, for some hundred bytes: of tiny frames, `WRITE_AHEAD_BYTES` would take
several MiB."""


class WriteAhead:
    """Of one socket."""

    __slots__ = ("_is_over", "_writes")

    def __init__(self) -> None:
        self._writes = 0
        """Since it was looked whether any waits."""
        self._is_over = False
        """Do so many wait that all have to be taken before more is written?"""

    def begin(self, to: asyncio.Transport) -> None:
        """From now on `to` says when too much waits; see `asyncio.Protocol.pause_writing`."""
        to.set_write_buffer_limits(high=WRITE_AHEAD_BYTES)

    def write(self, to: asyncio.Transport, frames: bytes) -> None:
        """Behind what waits."""
        to.write(frames)
        self._writes += 1
        if self._writes >= MOST_WRITES:
            self._writes = 0
            if to.get_write_buffer_size():
                self._is_over = True
                to.set_write_buffer_limits(high=0)  # it says so at once

    def resume(self, to: asyncio.Transport | None) -> None:
        """The peer has taken enough; None = it is gone."""
        if self._is_over and to is not None:
            self._is_over = False
            self._writes = 0
            self.begin(to)
