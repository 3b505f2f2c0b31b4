"""A socket that says what it is told to, and what endpoints say on Responses sockets."""

import asyncio
from collections.abc import Callable

from adapters.websocket.messages import Closed, Piece

CREATED = b'{"type":"response.created","response":{"id":"r"}}'
DELTA = b'{"type":"response.output_text.delta","delta":"x"}'
DONE = b'{"type":"response.completed","response":{"usage":{"input_tokens":20,"output_tokens":10}}}'
OVERLOADED = b'{"type":"error","status":503,"error":{"code":"server_is_overloaded"}}'
INVALID = b'{"type":"error","status":400,"error":{"code":"invalid_value"}}'


def in_lane(event: bytes, lane: str) -> bytes:
    return b'{"stream_id":"%b",%b' % (lane.encode(), event[1:])


class FakeSocket:
    """Says what it is told, and keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[Piece] = []
        self.closed: Closed | None = None
        self.told: tuple[int, str] | None = None
        self.is_cut = False
        self.when_stopping: Callable[[], None] | None = None
        self.full: asyncio.Future[None] | None = None
        self._said: asyncio.Queue[Piece | Closed] = asyncio.Queue()

    def say(self, *said: Piece | Closed | bytes) -> None:
        for each in said:
            self._said.put_nowait(Piece(each, True) if isinstance(each, bytes) else each)

    async def next_piece(self) -> Piece | None:
        said = await self._said.get()
        if isinstance(said, Piece):
            return said
        self.closed = said
        self._said.put_nowait(said)
        return None

    def send(self, data: bytes, *, is_text: bool = True, is_first: bool = True, is_last: bool = True) -> None:
        self.sent.append(Piece(data, is_text, is_first, is_last))

    def writable(self) -> asyncio.Future[None] | None:
        return self.full

    def close(self, code: int, reason: str = "") -> None:
        if self.told is None:
            self.told = code, reason
            self.say(Closed(code, reason, "us"))

    def abort(self) -> None:
        self.is_cut = True
