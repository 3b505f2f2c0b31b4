"""What comes of one request after its head, and whether its client is still there."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from application.errors import ProxyError

_GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
_END = {"type": "http.request", "body": b"", "more_body": False}
_GONE = {"type": "http.disconnect"}
_MANY_PIECES = 512
"""So many pieces of a body are put together: one of two bytes takes twenty times as much by itself."""


class ClientTransport(Protocol):
    """The connection that a turn belongs to."""

    loop: asyncio.AbstractEventLoop
    addresses: dict[str, Any]

    def write(self, data: bytes) -> None:
        """To the client, in the order of the calls."""

    def writable(self) -> Awaitable[None] | None:
        """To be awaited before more is written; None = no need."""

    def taken(self) -> None:
        """Some of the body was taken."""

    def finished(self, cycle: Any) -> None:
        """Its reply is complete."""

    def cut(self) -> None:
        """Close at once, so that the client knows that the reply is not complete."""


class RequestBody:
    """`BodySink` for the reader. Whoever answers the request says when it `_is_started` and when it `_is_finished`."""

    __slots__ = (
        "_breakage", "_is_finished", "_is_gone", "_is_started", "_line", "_on_gone", "_pieces", "_said_end", "_waiter",
        "bytes_waiting", "is_complete", "waits_for_100",
    )  # fmt: skip

    def __init__(self, line: ClientTransport, *, waits_for_100: bool) -> None:
        self.waits_for_100 = waits_for_100
        """Does the client keep its body back until it is told to go on?"""
        self.bytes_waiting = 0
        """How much of the body has come that the application has not taken."""
        self.is_complete = False
        """Has all of the request come?"""
        self._line = line
        self._pieces: list[bytes] | None = None
        self._said_end = False
        self._waiter: asyncio.Future[dict[str, Any]] | None = None
        self._on_gone: Callable[[], None] | None = None
        self._is_gone = False
        self._breakage: ProxyError | None = None
        self._is_started = False
        self._is_finished = False

    def feed(self, piece: bytes) -> None:
        """See `BodySink`."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            self._waiter = None
            waiter.set_result({"type": "http.request", "body": piece, "more_body": True})
        elif not self._is_finished:
            if self._pieces is None:
                self._pieces = []
            elif len(self._pieces) >= _MANY_PIECES:
                self._pieces = [b"".join(self._pieces)]
            self._pieces.append(piece)
            self.bytes_waiting += len(piece)

    def complete(self) -> None:
        """See `BodySink`."""
        self.is_complete = True
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            self._waiter = None
            self._said_end = True
            waiter.set_result(_END)

    def gone(self) -> None:
        """The client has left."""
        self._is_gone = True
        self._tell_gone()

    def broken(self, error: ProxyError) -> None:
        """The rest of the request will not come, but the client may still read why."""
        self._breakage = error
        self._tell_gone()

    def _tell_gone(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(_GONE)
        on_gone, self._on_gone = self._on_gone, None
        if on_gone is not None:
            on_gone()

    def when_gone(self, tell: Callable[[], None] | None) -> None:
        """See `Client`."""
        self._on_gone = tell
        if tell is not None and (self._is_gone or self._breakage is not None):
            self._tell_gone()

    def body_now(self) -> bytes | None:
        """See `Client`."""
        if not self.is_complete or self._said_end or self._is_gone:
            return None
        pieces, self._pieces = self._pieces, None
        self._said_end = True
        if pieces is None:
            return b""
        self.bytes_waiting = 0
        self._line.taken()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def receive(self) -> Awaitable[dict[str, Any]]:
        """ASGI's: the next piece of the body, and after the last one that the client has left."""
        waiter = self._line.loop.create_future()
        message = self._next()
        if message is not None:
            waiter.set_result(message)
            return waiter
        if self.waits_for_100 and not self.is_complete and not self._is_started:
            self.waits_for_100 = False
            self._line.write(_GO_ON)
        self._waiter = waiter
        return waiter

    def _next(self) -> dict[str, Any] | None:
        if self._pieces:
            # Each by itself, many tiny ones would cost far more than they are worth.
            piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces.clear()
            self.bytes_waiting = 0
            self._line.taken()
            self._said_end = self.is_complete
            return {"type": "http.request", "body": piece, "more_body": not self._said_end}
        if self._is_gone or self._is_finished or self._breakage is not None:
            return _GONE
        if self.is_complete and not self._said_end:
            self._said_end = True
            return _END
        return None
