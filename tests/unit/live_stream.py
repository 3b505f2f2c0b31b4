"""A stream whose pieces come when a test says so."""

import asyncio

from application.flow import Take, TakeFramed, pulled
from application.messages import Headers
from domain.failure import Failure


class LiveStream:
    """A stream that says what it is fed, as an upstream's would."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: Headers = (("content-type", "text/event-stream"),)
        self.failure: Failure | None = None
        self.queue: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self.taken = 0
        self.closed = False
        self.complete = False
        self.ahead_bytes = 0

    def feed(self, *pieces: bytes | Exception) -> None:
        for piece in pieces:
            self.queue.put_nowait(piece)

    async def flow(self, take: Take, _: TakeFramed | None = None, /) -> bool:
        return await pulled(self._receive, take)

    async def _receive(self) -> bytes:
        piece = await self.queue.get()
        self.taken += 1
        if isinstance(piece, Exception):
            raise piece
        return piece

    def error_frame(self, message: str, code: str) -> bytes:
        return f"error {code}".encode()

    def close(self) -> None:
        self.closed = True


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
