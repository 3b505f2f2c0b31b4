"""What one exchange brings: what the connection brings goes to its reader, or waits for it."""

import asyncio
from typing import Protocol

from adapters.upstreams.http1.failures import LOST
from application.flow import Take, TakeFramed, Tap
from application.messages import Headers
from application.ports import UpstreamFailed
from domain.failure import Failure

_NEVER = float("inf")
_WRITTEN_AT_ONCE_BYTES = 16 * 1024
"""About so much of what waits is joined for whoever takes it: more may be more than its client takes."""
_PIECE_BYTES = 48
"""What a piece takes beside its bytes: many tiny ones take far more than they bring."""


class Line(Protocol):
    """The connection a reply comes over, as its reader sees it."""

    loop: asyncio.AbstractEventLoop

    def wait_until(self, deadline: float) -> None:
        """Somebody waits for more of the reply; at `deadline` (of the loop's clock) it has failed. inf = nobody."""

    def go_on(self) -> None:
        """More is wanted: read from the socket."""

    def rest(self) -> None:
        """Its client does not keep up: read nothing until `go_on`, and little at a time from then on."""

    def abort(self) -> None:
        """Cut at once."""


class Http1Reply(Tap):
    """See `UpstreamReply`. A reply that has come completely has let go of its connection."""

    __slots__ = ("_failure", "_is_whole", "_line", "_pieces", "headers", "idle_s", "status", "waiting_bytes")

    def __init__(self, line: Line, idle_s: float) -> None:
        super().__init__(line.loop)
        self.status = 0
        """0 = the headers have not come."""
        self.headers: Headers = ()
        self.waiting_bytes = 0
        """How much of the body waits for its reader, with what holding its pieces costs."""
        self.idle_s = idle_s
        """How long a reader waits for the next piece."""
        self._line: Line | None = line
        self._pieces: list[bytes] = []
        self._is_whole = False
        self._failure: Failure | None = None

    # What the connection says.

    def keep(self, piece: bytes) -> None:
        """More of the body, for which nobody waits at the moment."""
        self._pieces.append(piece)
        self.waiting_bytes += len(piece) + _PIECE_BYTES

    def complete(self) -> None:
        """The body has come to its end, and the connection is the pool's."""
        self._is_whole = True
        self._line = None

    def fail(self, failure: Failure) -> None:
        """No more will come."""
        self._failure = failure
        self._line = None
        self.wake()

    # What the reader asks for.

    @property
    def is_settled(self) -> bool:
        """Have the headers come, or is it certain that they will not?"""
        return self.status != 0 or self._failure is not None

    def news(self) -> asyncio.Future[bool]:
        """See `Tap.news`. Raises `UpstreamFailed` when nothing more will come."""
        if self._line is None:
            raise UpstreamFailed(self._failure or LOST)
        return super().news()

    def whole_now(self) -> bytes | None:
        return self._taken() if self._is_whole and self._pieces else None

    async def receive(self) -> bytes:
        """See `UpstreamReply.receive`. Cancelled, it cuts the connection."""
        while True:
            if self._pieces:
                return self._taken()
            if self._is_whole:
                return b""
            await self.wait()

    async def flow(self, take: Take, take_framed: TakeFramed | None = None, /) -> bool:
        """See `UpstreamReply.flow`. Cancelled, or when `take` raises, it cuts the connection."""
        while True:
            if self._pieces:
                if not take(self._taken()):
                    return False
            elif self._is_whole:
                return True
            elif not await self.wait(take, take_framed):
                if self._line is not None:
                    self._line.wait_until(_NEVER)
                return False

    def rest(self) -> None:
        if self._line is not None:
            self._line.rest()

    def _taken(self) -> bytes:
        """What waits, which is more than nothing; no more than is written at once where it is in several pieces."""
        pieces, self._pieces = self._pieces, []
        if self.waiting_bytes > _WRITTEN_AT_ONCE_BYTES and len(pieces) > 1:
            self._pieces = pieces
            return self._first_of(pieces)
        self.waiting_bytes = 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _first_of(self, pieces: list[bytes]) -> bytes:
        size = count = 0
        while count < len(pieces) and size < _WRITTEN_AT_ONCE_BYTES:
            size += len(pieces[count])
            count += 1
        first = b"".join(pieces[:count])
        del pieces[:count]
        self.waiting_bytes -= size + count * _PIECE_BYTES
        return first

    async def wait(self, take: Take | None = None, take_framed: TakeFramed | None = None) -> bool:
        """See `Tap.wait`. Raises `UpstreamFailed`; cancelled, it cuts the connection."""
        line = self._line
        if line is None:
            raise UpstreamFailed(self._failure or LOST)
        line.wait_until(line.loop.time() + self.idle_s)
        line.go_on()
        try:
            return await super().wait(take, take_framed)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            self._failure = LOST
            line.abort()
            self.wake()
        self._pieces = []
