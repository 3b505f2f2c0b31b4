"""An open WebSocket over a transport that only takes notes, on a clock that stands still."""

import asyncio
from typing import Any, Literal, cast

from adapters.websocket.connection import WebSocket
from tests.websocket_frames import Frame, frames_in

MAX_BYTES = 8 * 1024 * 1024
WRITE_S = 30.0


class StillLoop:
    """Says what time it is, and makes futures."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.later: list[tuple[float, Any]] = []

    def time(self) -> float:
        return self.now

    def create_future(self) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().create_future()

    def call_soon(self, call: Any) -> None:
        asyncio.get_running_loop().call_soon(call)

    def call_later(self, seconds: float, call: Any) -> None:
        self.later.append((seconds, call))


class Transport:
    """Keeps what is written."""

    def __init__(self, *, half_closes: bool = True) -> None:
        self.written = b""
        self.is_reading = True
        self.is_half_closed = self.is_closed = self.is_aborted = False
        self._half_closes = half_closes
        self.high = self.unsent = 0

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def write(self, data: bytes) -> None:
        assert not self.is_half_closed
        self.written += data

    def can_write_eof(self) -> bool:
        return self._half_closes

    def write_eof(self) -> None:
        self.is_half_closed = True

    def is_closing(self) -> bool:
        return self.is_closed or self.is_aborted

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = True

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True


class Line:
    """A socket of ours, and its peer's end of it."""

    def __init__(self, side: Literal["server", "client"] = "server", may_hold: Any = None, **transport: bool) -> None:
        self.side = side
        self.loop = StillLoop()
        options = {} if may_hold is None else {"may_hold": may_hold}
        self.socket = WebSocket(side, cast("asyncio.AbstractEventLoop", self.loop), MAX_BYTES, WRITE_S, **options)
        self.transport = Transport(**transport)
        self.socket.connection_made(cast("asyncio.Transport", self.transport))

    def comes(self, *frames: Frame) -> None:
        self.socket.data_received(b"".join(frame.to(self.side) for frame in frames))

    def sent(self) -> list[tuple[int, bytes]]:
        written, self.transport.written = self.transport.written, b""
        return frames_in(written, self.side)

    def tick(self, seconds: float) -> None:
        """As its owner does."""
        self.loop.now += seconds
        if self.socket.deadline <= self.loop.now:
            self.socket.expire()
