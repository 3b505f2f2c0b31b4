"""What has come of messages and is not taken yet."""

import asyncio
from collections import deque
from collections.abc import Callable

from adapters.websocket.messages import Closed, Piece

MOST_WAITING_BYTES = 256 * 1024
"""When more than this waits to be taken, no more is read."""
PIECE_BYTES = 128
"""What a piece takes besides its data; a flood of empty messages is nothing else."""


class Inbox:
    """Pieces in their order, and the waiter for the next one."""

    __slots__ = ("_closed", "_loop", "_pieces", "_taken", "_unfinished_bytes", "_waiter", "waiting_bytes")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, taken: Callable[[], None], closed: Callable[[], Closed | None]
    ) -> None:
        """`taken` is called when less is held; `closed` says why nothing more comes, None = it may."""
        self.waiting_bytes = 0
        self._loop = loop
        self._taken = taken
        self._closed = closed
        self._pieces: deque[Piece] = deque()
        self._unfinished_bytes = 0
        self._waiter: asyncio.Future[None] | None = None

    @property
    def held_bytes(self) -> int:
        """Of pieces that wait, and of the message that is being put together."""
        return self.waiting_bytes + self._unfinished_bytes

    @property
    def is_full(self) -> bool:
        """Is nothing more to be read for now?"""
        return self.waiting_bytes > MOST_WAITING_BYTES

    def put(self, piece: Piece) -> None:
        """The next one."""
        self._pieces.append(piece)
        self.waiting_bytes += PIECE_BYTES + len(piece.data)

    def wake(self) -> None:
        """Have it looked at, if it is waited for."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def message(self) -> Piece | Closed:
        """The next message as a whole, or why there is none."""
        parts: list[bytes] = []
        try:
            while True:
                piece = await self.piece()
                if isinstance(piece, Closed) or (piece.is_first and piece.is_last):
                    return piece
                parts.append(piece.data)
                self._unfinished_bytes += len(piece.data)
                if piece.is_last:
                    return Piece(b"".join(parts), piece.is_text)
        finally:
            if parts:
                self._unfinished_bytes = 0
                self._taken()

    async def piece(self) -> Piece | Closed:
        """The next piece as its sender cut it, or why there is none."""
        while not self._pieces:
            closed = self._closed()
            if closed is not None:
                return closed
            self._waiter = self._loop.create_future()
            await self._waiter
        piece = self._pieces.popleft()
        self.waiting_bytes -= PIECE_BYTES + len(piece.data)
        self._taken()
        return piece
