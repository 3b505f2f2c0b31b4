"""One request: its head, what comes of its body, and whether its client is still there."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from adapters.http.server.reply_head import NONE
from adapters.http.server.request.head import RequestHead
from application.errors import ProxyError

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_END = {"type": "http.request", "body": b"", "more_body": False}
_DISCONNECT = {"type": "http.disconnect"}
_MANY_PIECES = 512
"""So many pieces of a body are put together: one of two bytes takes twenty times as much by itself."""


class ClientTransport(Protocol):
    """The connection that a request came on."""

    cycle: Any
    """The request that is answered now; None = there is none."""
    loop: asyncio.AbstractEventLoop
    addresses: dict[str, Any]
    transport: asyncio.Transport | None
    """None = it is lost."""
    can_write: bool
    """Does the client take what is written?"""

    def write(self, data: bytes) -> None:
        """To the client, in the order of the calls."""

    def drain(self) -> Awaitable[None] | None:
        """To be awaited before more is written; None = no need."""

    def body_taken(self) -> None:
        """Some of the body was taken."""

    def finished(self, cycle: Any) -> None:
        """Its reply is complete."""

    def switch(self, guest: Any) -> None:
        """Leave the connection to it."""

    def abort(self) -> None:
        """Close at once, so that the client knows that the reply is not complete."""

    def crashed(self, error: Exception) -> None:
        """The application raised."""


class RequestBody:
    """`BodySink` for the reader. What answers the request says when it `_is_started` and when it `_is_finished`."""

    __slots__ = (
        "_breakage", "_chunks_to", "_framing", "_is_disconnected", "_is_finished", "_is_started", "_left", "_line",
        "_on_disconnect", "_pieces", "_said_end", "_waiter", "added", "addresses", "bytes_waiting", "head",
        "is_complete", "keeps", "length", "sent_bytes", "task", "waits_for_100",
    )  # fmt: skip

    def __init__(
        self, line: ClientTransport, head: RequestHead, length: int | None, body: bytes | None, keeps: bool
    ) -> None:
        """`length`: of the body; None = only its end will tell. `body`: all of it; None = it is to come. `keeps`:
        another request may follow on the connection."""
        self._line = line
        self.head = head
        self.length = length
        self.keeps = keeps
        self.addresses = line.addresses
        self.waits_for_100 = head.waits_for_100
        """Does the client keep its body back until it is told to go on?"""
        self.is_complete = body is not None
        """Has all of the request come?"""
        self._pieces: list[bytes] | None = [body] if body else None
        self.bytes_waiting = len(body) if body else 0
        """How much of the body has come that the application has not taken."""
        self._said_end = self._is_disconnected = self._is_started = self._is_finished = False
        self._waiter: asyncio.Future[dict[str, Any]] | None = None
        self._on_disconnect: Callable[[], None] | None = None
        self._breakage: ProxyError | None = None
        self.task: asyncio.Task[None] | None = None
        """The one that answers it; None = none does (yet)."""
        # Of the reply.
        self.added: Sequence[str] = ()
        self.sent_bytes = self._left = 0
        self._framing = NONE
        self._chunks_to: asyncio.Transport | None = None
        """Where chunks go as long as nothing is in the way; None = something is, or there are none."""

    def feed(self, piece: bytes) -> None:
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
        self.is_complete = True
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            self._waiter = None
            self._said_end = True
            waiter.set_result(_END)

    def disconnect(self) -> None:
        """The client has left."""
        self._is_disconnected = True
        self.stop_chunks()
        self._tell_disconnect()

    def stop_chunks(self) -> None:
        """No more chunks go straight to the transport: it is about to close."""
        self._chunks_to = None

    def broken(self, error: ProxyError) -> None:
        """The rest of the request will not come, but the client may still read why."""
        self._breakage = error
        self._tell_disconnect()

    def _tell_disconnect(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(_DISCONNECT)
        tell, self._on_disconnect = self._on_disconnect, None
        if tell is not None:
            tell()

    def on_disconnect(self, tell: Callable[[], None] | None) -> None:
        self._on_disconnect = tell
        if tell is not None and (self._is_disconnected or self._breakage is not None):
            self._tell_disconnect()

    def body_now(self) -> bytes | None:
        if not self.is_complete or self._said_end or self._is_disconnected:
            return None
        pieces, self._pieces = self._pieces, None
        self._said_end = True
        if pieces is None:
            return b""
        self.bytes_waiting = 0
        self._line.body_taken()
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
            self._line.write(_CONTINUE)
        self._waiter = waiter
        return waiter

    def _next(self) -> dict[str, Any] | None:
        if self._pieces:
            # Each by itself, many tiny ones would cost far more than they are worth.
            piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces.clear()
            self.bytes_waiting = 0
            self._line.body_taken()
            self._said_end = self.is_complete
            return {"type": "http.request", "body": piece, "more_body": not self._said_end}
        if self._is_disconnected or self._is_finished or self._breakage is not None:
            return _DISCONNECT
        if self.is_complete and not self._said_end:
            self._said_end = True
            return _END
        return None
