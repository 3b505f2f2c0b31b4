"""Short reads: what a connection reads with while the client that its reply is for does not keep up.

An event loop reads up to 256 KiB in one go, whatever was asked of it, unless its protocol brings the buffer
(`asyncio.BufferedProtocol`). That costs more for each read, so only the replies of slow clients are read this way.
"""

import asyncio
from typing import Protocol

SHORT_READ_BYTES = 32 * 1024


class Line(Protocol):
    """The connection that is read."""

    def data_received(self, data: bytes) -> None:
        """As all below: see `asyncio.Protocol`."""

    def eof_received(self) -> bool: ...

    def connection_lost(self, exc: BaseException | None) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class ShortReads(asyncio.BufferedProtocol):
    """Hands all that a transport tells to its `Line`, no more than `SHORT_READ_BYTES` at a time."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._buffer = memoryview(b"")

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio names it
        """See `asyncio.BufferedProtocol`."""
        if not self._buffer:  # not before it is read on: what was read in one go is taken by then
            self._buffer = memoryview(bytearray(SHORT_READ_BYTES))
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        self._line.data_received(bytes(self._buffer[:nbytes]))

    def eof_received(self) -> bool:
        return self._line.eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._line.connection_lost(exc)

    def pause_writing(self) -> None:
        self._line.pause_writing()

    def resume_writing(self) -> None:
        self._line.resume_writing()
