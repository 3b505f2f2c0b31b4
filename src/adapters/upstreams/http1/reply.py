"""What one exchange brings: a buffer between the connection, which fills it, and its reader."""

import asyncio
from typing import Protocol

from adapters.upstreams.http1.failures import LOST
from application.flow import Take, Tap
from application.messages import Headers
from application.ports import UpstreamFailed
from domain.failure import Failure

_MANY = 64
_PIECE_BYTES = 48
"""What a piece takes beside its bytes: many tiny ones take far more than they bring."""


class Line(Protocol):
    """The connection a reply comes over, as its reader sees it."""

    loop: asyncio.AbstractEventLoop

    def wait_until(self, deadline: float) -> None:
        """Somebody waits for more of the reply; at `deadline` (of the loop's clock) it has failed."""

    def go_on(self) -> None:
        """There is room again: read from the socket."""

    def abort(self) -> None:
        """Cut at once."""


class Http1Reply:
    """See `UpstreamReply`. A reply that has come completely has let go of its connection."""

    __slots__ = (
        "_failure",
        "_idle_s",
        "_is_whole",
        "_line",
        "_pieces",
        "_tap",
        "headers",
        "status",
        "waiting_bytes",
    )

    def __init__(self, line: Line, idle_s: float) -> None:
        self.status = 0
        """0 = the headers have not come."""
        self.headers: Headers = ()
        self.waiting_bytes = 0
        """How much of the body waits for its reader, with what holding its pieces costs."""
        self._idle_s = idle_s
        self._line: Line | None = line
        self._pieces: list[bytes] = []
        self._tap = Tap(line.loop)
        self._is_whole = False
        self._failure: Failure | None = None

    # What the connection says. Nobody is woken before it has said all it has to say.

    @property
    def last_piece(self) -> bytes:
        """The piece that came last; b"" = there is none."""
        return self._pieces[-1] if self._pieces else b""

    def feed(self, piece: bytes) -> None:
        """More of the body."""
        self._pieces.append(piece)
        self.waiting_bytes += len(piece) + _PIECE_BYTES

    def put_together(self) -> None:
        """Make one piece of those that wait, if they are many."""
        if len(self._pieces) > _MANY:
            self._pieces = [b"".join(self._pieces)]
            self.waiting_bytes = len(self._pieces[0])

    def complete(self) -> None:
        """The body has come to its end, and the connection is the pool's."""
        self._is_whole = True
        self._line = None

    def fail(self, failure: Failure) -> None:
        """No more will come."""
        self._failure = failure
        self._line = None
        self.wake()

    def wake(self) -> None:
        """There is something new. What a flow waits for goes on at once; a task is woken where that is not all."""
        tap = self._tap
        if self._pieces and tap.take is not None:
            tap.give(self._all_waiting())
            if tap.take is not None and self._line is not None:
                self._expect_more(self._line)
                return
        tap.wake()

    # What the reader asks for.

    async def head(self) -> None:
        """Wait for the headers. Raises `UpstreamFailed`."""
        while not self.status:
            if self._failure is not None:
                raise UpstreamFailed(self._failure)
            await self._news()

    def whole_now(self) -> bytes | None:
        """See `UpstreamReply.whole_now`."""
        return self._all_waiting() if self._is_whole and self._pieces else None

    async def receive(self) -> bytes:
        """See `UpstreamReply.receive`. Cancelled, it cuts the connection."""
        while True:
            if self._pieces:
                return self._taken()
            if self._is_whole:
                return b""
            self._expect_more(self._line)
            await self._news()

    async def flow(self, take: Take) -> bool:
        """See `UpstreamReply.flow`. Cancelled, or when `take` raises, it cuts the connection."""
        while True:
            if self._pieces:
                if not take(self._taken()):
                    return False
            elif self._is_whole:
                return True
            else:
                self._expect_more(self._line)
                if not await self._news(take):
                    return False

    def _taken(self) -> bytes:
        """All that waits, which is more than nothing; now there is room again."""
        if self._line is not None:
            self._line.go_on()
        return self._all_waiting()

    def _all_waiting(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        self.waiting_bytes = 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _expect_more(self, line: Line | None) -> None:
        if line is None:
            raise UpstreamFailed(self._failure or LOST)
        line.wait_until(line.loop.time() + self._idle_s)

    async def _news(self, take: Take | None = None) -> bool:
        """See `Tap.wait`."""
        if self._line is None:
            raise UpstreamFailed(self._failure or LOST)
        try:
            return await self._tap.wait(take)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """See `UpstreamReply.close`."""
        line, self._line = self._line, None
        if line is not None:
            self._failure = LOST
            line.abort()
            self.wake()
        self._pieces = []
