"""One request and its reply: what the application asks of a client, in ASGI's way and in shorter ones."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

from adapters.http.server.client import Application
from adapters.http.server.error_body import error_body, status_of
from adapters.http.server.reply_head import CHUNKED, CLOSE, LENGTH, NONE, reply_head, whole_head
from adapters.http.server.request.body import ClientTransport, RequestBody
from adapters.http.server.request.head import RequestHead
from application.errors import ProxyError
from application.ready import Ready

_COPIED_BYTES = 16 * 1024
"""A piece of a chunked body up to this size is copied together with its frame; that costs less than three writes."""
_BODILESS = frozenset({204, 304})


_DONE = Ready(None)


class RequestCycle(RequestBody):
    """`Client` for the application; `BodySink` for the reader."""

    __slots__ = ("_framing", "_left", "_work", "added", "head", "keeps", "length")

    def __init__(self, line: ClientTransport, head: RequestHead, length: int | None, *, keeps: bool) -> None:
        """`keeps`: another request may follow on the connection."""
        super().__init__(line, waits_for_100=head.waits_for_100)
        self.head = head
        self.length = length
        self.keeps = keeps
        self.added: Sequence[tuple[bytes, bytes]] = ()
        self._framing = NONE
        self._left = 0
        self._work: Awaitable[None] | None = None

    @property
    def addresses(self) -> dict[str, Any]:
        """See `Client`."""
        return self._line.addresses

    def begin(self, app: Application) -> Exception | None:
        """Have the application answer, at once if it can; returns what it raised. If it is not `is_over` then, `run`
        does the rest."""
        try:
            self._work = app.begin(self)
        except Exception as error:  # no reason to let the client wait
            self._end()
            return error  # and no variable keeps it: its traceback holds on to this frame
        if self._work is None:
            self._end()
        return None

    async def run(self, app: Application) -> Exception | None:
        """Have the application answer, or go on with it; returns what it raised."""
        if self._work is None:
            error = self.begin(app)
            if self._work is None:
                return error
        work, self._work = self._work, None
        try:
            await work
        except Exception as error:
            return error
        finally:
            self._end()
        return None

    def _end(self) -> None:
        """The application is done. What it leaves unfinished is cut, so that nobody takes it for whole."""
        if not self._is_finished and not self._is_gone:
            self._give_up()

    @property
    def is_over(self) -> bool:
        """Has nobody anything to wait for any more?"""
        return self._work is None

    @property
    def is_cut_short(self) -> bool:
        """Can nobody tell where its request ends, or only its end tell the client that the reply is complete?"""
        return self._breakage is not None or self._framing is CLOSE

    # What goes.

    def send(self, message: dict[str, Any]) -> Awaitable[None]:
        """ASGI's: the start of the reply, then its body. To a client that has left it sends nothing."""
        if self._is_gone:
            return asyncio.sleep(0)  # a writer without pause would keep all others waiting
        if message["type"] == "http.response.body":
            self._send_body(message.get("body", b""), more=message.get("more_body", False))
        else:
            self._start(message["status"], message.get("headers", ()))
        return self._line.writable() or _DONE

    def reply(self, status: int, fields: Sequence[str], body: bytes) -> Awaitable[None] | None:
        """See `Client`."""
        line = self._line
        if self._is_gone:
            return line.writable()
        if self._is_started:
            raise RuntimeError("this reply has been started already")
        # Before all of a request was read nobody knows where the next one begins.
        self.keeps = self.keeps and self.is_complete
        if self.added:
            fields = [*fields, *(f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in self.added)]
        asked = self.head
        head = whole_head(status, fields, is_http10=asked.http_version == "1.0", keeps=self.keeps)
        self._is_started = True
        if not body or asked.method == "HEAD" or status in _BODILESS:
            line.write(head)
        elif len(body) <= _COPIED_BYTES:
            line.write(head + body)
        else:
            line.write(head)
            line.write(body)
        self._finish()
        return line.writable()

    def put(self, piece: bytes) -> Awaitable[None] | None:
        """See `Client`."""
        if self._is_gone:
            return asyncio.sleep(0)
        if self._framing is CHUNKED and not self._is_finished and 0 < len(piece) <= _COPIED_BYTES:
            self._line.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        else:
            self._send_body(piece, more=True)
        return self._line.writable()

    def _start(self, status: int, headers: Any) -> None:
        if self._is_started:
            raise RuntimeError("this reply has been started already")
        # Before all of a request was read nobody knows where the next one begins.
        self.keeps = self.keeps and self.is_complete
        if self.added:
            headers = [*headers, *self.added]
        asked = self.head
        is_http10 = asked.http_version == "1.0"
        head = reply_head(status, headers, is_head=asked.method == "HEAD", is_http10=is_http10, keeps=self.keeps)
        self._is_started = True
        self._framing = head.framing
        self._left = head.length
        if head.framing is CLOSE:
            self.keeps = False
        self._line.write(head.raw)

    def _send_body(self, body: bytes, *, more: bool) -> None:
        if not self._is_started or self._is_finished:
            raise RuntimeError("there is no reply that this could be the body of")
        framing = self._framing
        if framing is LENGTH:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("the body of the reply has not the length that its head says")
            if body:
                self._line.write(body)
        elif framing is CHUNKED:
            self._send_chunk(body, more)
        elif framing is CLOSE and body:
            self._line.write(body)
        if not more:
            self._finish()

    def _finish(self) -> None:
        self._is_finished = True
        if self._pieces:  # which nobody asked for
            self._pieces, self.bytes_waiting = None, 0
        self._line.finished(self)

    def _send_chunk(self, body: bytes, more: bool) -> None:
        write = self._line.write
        if len(body) > _COPIED_BYTES:
            write(b"%x\r\n" % len(body))
            write(body)
            write(b"\r\n" if more else b"\r\n0\r\n\r\n")
        elif body:
            write((b"%x\r\n%b\r\n" if more else b"%x\r\n%b\r\n0\r\n\r\n") % (len(body), body))
        elif not more:
            write(b"0\r\n\r\n")

    def _give_up(self) -> None:
        if self._is_started:
            self._is_finished = True
            self._line.cut()
            return
        self.refuse(self._breakage or ProxyError("The proxy failed to handle this request."))

    def refuse(self, error: ProxyError) -> None:
        """Answer in the application's place; the connection is closed after it."""
        self.keeps = False
        self._breakage = error
        body = error_body(error)
        self.reply(status_of(error), ("content-type: application/json", f"content-length: {len(body)}"), body)
