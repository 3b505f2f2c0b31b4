"""One request and its reply."""

import asyncio
from collections.abc import Awaitable

from adapters.http.server.client import Application, Guest
from adapters.http.server.error_body import error_body, status_of
from adapters.http.server.reply_head import (
    BODILESS,
    CHUNKED,
    CLOSE,
    LENGTH,
    NONE,
    Fields,
    framing_of,
    reply_head,
    switching_head,
)
from adapters.http.server.request.body import RequestBody
from application.errors import ProxyError

_COPIED_BYTES = 16 * 1024
"""A piece of a body up to this size is copied together with its head or frame: more writes cost more."""

_USUAL_BYTES = 2048
_SIZE_LINES = tuple(b"%x\r\n" % size for size in range(_USUAL_BYTES))
"""How the chunks of such pieces begin: joined faster than formatted."""


class RequestCycle(RequestBody):
    """`Client` for the application; `BodySink` for the reader."""

    __slots__ = ()

    def begin(self, app: Application) -> Awaitable[None] | None:
        """Have the application answer, at once if it can. What is returned is to be awaited, and `end` called then;
        None = it is done."""
        try:
            work = app.begin(self)
        except Exception as error:  # no reason to let the client wait
            work = None
            self._line.crashed(error)  # and no variable keeps it: its traceback holds on to this frame
        if work is None and not self._is_finished:
            self.end()
        return work

    def end(self) -> None:
        """The application is done. What it leaves unfinished is cut, so that nobody takes it for whole."""
        if self._is_finished or self._is_disconnected:
            return
        if self._is_started:
            self._is_finished = True
            self._chunks_to = None
            self._line.abort()
        else:
            self.refuse(self._breakage or ProxyError("The proxy failed to handle this request."))

    @property
    def is_cut_short(self) -> bool:
        """Can nobody tell where its request ends, or only its end tell the client that the reply is complete?"""
        return self._breakage is not None or self._framing is CLOSE

    # What goes.

    def reply(self, status: int, fields: Fields, body: bytes) -> Awaitable[None] | None:
        line = self._line
        self.sent_bytes = len(body)
        if self._is_disconnected:
            return line.drain()
        data = self._head(status, fields)
        if body and status not in BODILESS and self.head.method != "HEAD":
            if self.sent_bytes <= _COPIED_BYTES:
                data += body
            else:
                line.write(data)
                data = body
        line.write(data)
        self._finish()
        return None if line.can_write else line.drain()

    def start(self, status: int, fields: Fields) -> None:
        if self._is_disconnected:
            return
        asked = self.head
        framing, self._left = framing_of(status, fields, is_head=asked.method == "HEAD", is_http10=asked.is_http10)
        if framing is CHUNKED:
            fields = [*fields, "transfer-encoding: chunked"]
        elif framing is CLOSE:
            self.keeps = False
        head = self._head(status, fields)
        self._framing = framing
        self._line.write(head)
        if framing is CHUNKED:
            self._chunks_to = self._line.transport

    def _head(self, status: int, fields: Fields) -> bytes:
        if self._is_started:
            raise RuntimeError("this reply has been started already")
        # Before all of a request was read nobody knows where the next one begins.
        keeps = self.keeps = self.keeps and self.is_complete
        if self.added:
            fields = [*fields, *self.added]
        head = reply_head(status, fields, self.head.is_http10, keeps)
        self._is_started = True
        return head

    def send_chunk(self, piece: bytes) -> bool:
        """See `Client`. To a client that has left it sends nothing."""
        size = len(piece)
        self.sent_bytes += size
        transport = self._chunks_to
        if transport is None or size >= _USUAL_BYTES or not size:
            return self._send_piece(piece)
        transport.write(_SIZE_LINES[size] + piece + b"\r\n")
        return self._line.can_write

    def send_framed(self, framed: bytes, _line: bytes, size: int, /) -> bool:
        transport = self._chunks_to
        if transport is None or not self._line.can_write:
            return False
        self.sent_bytes += size
        transport.write(framed)
        return True

    def ask_to_be_last(self) -> None:
        """The connection is to be closed after it. Where its head has said otherwise, the client may have sent the next
        request already."""
        if not self._is_started:
            self.keeps = False

    def _send_piece(self, piece: bytes) -> bool:
        """One that is no chunk, or not a usual one."""
        line, framing = self._line, self._framing
        if self._is_disconnected:
            return False
        if not self._is_started or self._is_finished:
            raise RuntimeError("there is no reply that this could be the body of")
        if framing is LENGTH:
            self._left -= len(piece)
            if self._left < 0:
                raise RuntimeError("the body of the reply is longer than its head says")
        if framing is NONE or not piece:
            return line.can_write
        if framing is not CHUNKED:
            line.write(piece)
        elif len(piece) <= _COPIED_BYTES:
            line.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        else:
            line.write(b"%x\r\n" % len(piece))
            line.write(piece)
            line.write(b"\r\n")
        return line.can_write

    def finish(self) -> None:
        if self._is_disconnected:
            return
        if not self._is_started or self._is_finished:
            raise RuntimeError("there is no reply that this could be the end of")
        if self._left:
            raise RuntimeError("the body of the reply is shorter than its head says")
        if self._framing is CHUNKED:
            self._line.write(b"0\r\n\r\n")
        self._finish()

    def switch(self, fields: Fields, guest: Guest) -> bool:
        if self._is_disconnected:
            return False
        if self._is_started or not self.head.upgrades:
            raise RuntimeError("nothing was asked that this could be the answer to")
        self._line.write(switching_head(fields))
        self._is_started = self._is_finished = True
        self._on_disconnect = None
        self._line.switch(guest)
        return True

    def drain(self) -> Awaitable[None] | None:
        """See `Client`. For one that has left it lets others run: a writer without pause would keep them waiting."""
        return asyncio.sleep(0) if self._is_disconnected else self._line.drain()

    def _finish(self) -> None:
        self._is_finished = True
        self._chunks_to = None
        if self._pieces:  # which nobody asked for
            self._pieces, self.bytes_waiting = None, 0
        self._line.finished(self)

    def refuse(self, error: ProxyError) -> None:
        """Answer in the application's place; the connection is closed after it."""
        self.keeps = False
        self._breakage = error
        body = error_body(error)
        self.reply(status_of(error), ("content-type: application/json", f"content-length: {len(body)}"), body)
