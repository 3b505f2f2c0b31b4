"""One connection: what was asked goes out, llhttp reads what comes back, and its end is never mistaken.

It is used again only if its last reply came to a clean end: complete, wanted to be kept open, after the whole request,
and with not a byte behind it.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol, cast

import httptools

from adapters.upstreams.http1.failures import (
    CUT_IN_BODY,
    CUT_IN_HEAD,
    HEAD_TOO_LARGE,
    NOT_HTTP,
    SLOW_BODY,
    SLOW_HEAD,
    SWITCHED,
    UNANSWERED,
    lost,
)
from adapters.upstreams.http1.reply import Http1Reply
from domain.failure import Failure

_READ_AHEAD_BYTES = 128 * 1024
"""When more than this of a body waits for its reader, nothing is read from the socket."""

_MAX_HEADERS = 256
_NEVER = float("inf")


class Owner(Protocol):
    """Who a connection belongs to between two exchanges."""

    def released(self, connection: "Connection") -> None:
        """It can be used again."""

    def left(self, connection: "Connection") -> None:
        """It is lost or was cut."""


class _Refused(Exception):
    """Stops the parser; what is wrong is kept by the connection."""


class Connection(asyncio.Protocol):
    """An HTTP/1.1 connection with one exchange at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, max_head_bytes: int) -> None:
        self.loop = loop
        self.owner: Owner | None = None
        """None = it belongs to nobody (yet): then a reply that has no body leaves it open."""
        self.transport: asyncio.Transport | None = None
        self.opened = self.idle_since = loop.time()
        self.exchanges = 0
        self.is_sending = False
        """Is a body being sent that is not handed over completely?"""
        self.was_lost_unanswered = False
        """Did the other side end it before a byte of the current reply?"""
        self.writing_paused = False
        self.on_settled: Callable[[], None] | None = None
        """Called when the headers have come, or it is certain that they will not; None = nobody needs to be told."""
        self.on_writable: Callable[[], None] | None = None
        self._max_head_bytes = max_head_bytes
        self._parser = httptools.HttpResponseParser(self)
        self._reply: Http1Reply | None = None
        self._reading_paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = _NEVER
        self._early = b""
        self._has_ended_early = False
        self._reset(has_body=True)

    def _reset(self, *, has_body: bool) -> None:
        self._has_body = has_body
        self._fields: list[tuple[str, str]] = []
        self._overhead_bytes = 0
        """What has come since the exchange began, or since the last piece of its body."""
        self._field_bytes = 0
        self._in_head = True
        self._is_interim = False
        self._is_chunked = False
        self._is_whole = False
        self._is_kept = False
        self._is_followed = False
        """Did anything come after the end of the reply?"""
        self._refusal: Failure | None = None

    # What the adapter does with it.

    @property
    def is_open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    @property
    def was_spoken_to(self) -> bool:
        """Has anything come before the first request?"""
        return bool(self._early)

    def start(self, idle_s: float, deadline: float, *, has_body: bool = True) -> Http1Reply:
        """A request goes out now; what comes from here on is its reply, and its headers are due at `deadline`."""
        self.exchanges += 1
        reply = self._reply = Http1Reply(self, idle_s)
        self._reset(has_body=has_body)
        if self._early or self.is_open:
            self.wait_until(deadline)
            self._hear_early()
        else:
            self.was_lost_unanswered = True
            self.fail(UNANSWERED)
        return reply

    def _hear_early(self) -> None:
        """A server may say before it has seen a request that it has no time for one."""
        early, self._early = self._early, b""
        if early:
            self.is_sending = True  # nothing has been sent: if all of the reply is here, this was its only exchange
            self.data_received(early)
            self.is_sending = False
            if self._has_ended_early:
                self.eof_received()

    def wait_until(self, deadline: float) -> None:
        """See `Line`. The timer is moved only if it would be too late: mostly it need not be touched."""
        self._deadline = deadline
        if self._timer is None:
            self._timer = self.loop.call_at(deadline, self._look_at_clock)
        elif self._timer.when() > deadline:
            self._timer.cancel()
            self._timer = self.loop.call_at(deadline, self._look_at_clock)

    def expect_head(self, deadline: float) -> None:
        """The headers are due at `deadline`, unless they have come."""
        if self._reply is not None and self._in_head:
            self.wait_until(deadline)

    def hold_deadline(self) -> None:
        """Let the time stand still for the reply."""
        self._deadline = _NEVER

    def _look_at_clock(self) -> None:
        self._timer = None
        if self._deadline <= self.loop.time():
            self.fail(SLOW_HEAD if self._in_head else SLOW_BODY)
        elif self._deadline < _NEVER:
            self.wait_until(self._deadline)

    def go_on(self) -> None:
        """See `Line`."""
        if self._reading_paused and self.transport is not None:
            self._reading_paused = False
            self.transport.resume_reading()

    def fail(self, failure: Failure) -> None:
        """Cut, and tell whoever waits."""
        reply = self._reply
        self.abort()
        if reply is not None:
            reply.fail(failure)
        self._settle()

    def abort(self) -> None:
        """Cut at once; the reply is not told."""
        self._reply = None
        self._leave()
        if self.transport is not None:
            self.transport.abort()

    def _leave(self) -> None:
        self._deadline = _NEVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        owner, self.owner = self.owner, None
        if owner is not None:
            owner.left(self)

    def _settle(self) -> None:
        if self.on_settled is not None:
            self.on_settled()

    # What asyncio tells us.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def pause_writing(self) -> None:
        self.writing_paused = True

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self.on_writable is not None:
            self.on_writable()

    def eof_received(self) -> bool:
        if self._early:
            self._has_ended_early = True
            return True
        self._end(None)
        # The transport would first send what is left of the request, and a server that has gone reads no more.
        self.abort()
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        self._end(exc)
        self._leave()
        self.transport = None
        if self.on_writable is not None:
            self.on_writable()

    def _end(self, exc: BaseException | None) -> None:
        """Nothing more will come."""
        reply = self._reply
        if reply is None:
            return
        self.was_lost_unanswered = self._in_head and not self._overhead_bytes
        if exc is not None:
            self.fail(lost(exc))
        elif self._in_head:
            self.fail(CUT_IN_HEAD if self._overhead_bytes else UNANSWERED)
        elif self._is_chunked or any(name == "content-length" for name, _ in reply.headers):
            self.fail(CUT_IN_BODY)
        else:
            self._reply = None
            reply.complete()
            reply.wake()

    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None:
            self._hear_unasked(data)
            return
        self._overhead_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if not self._is_whole:
                self.fail(self._refusal or NOT_HTTP)
                return
            self._is_followed = True
        if self._overhead_bytes > self._max_head_bytes and not self._is_whole:
            self.fail(HEAD_TOO_LARGE)
            return
        if self._in_head:
            return
        if self._is_whole:
            self._finish(reply, data)
        else:
            self._deadline = _NEVER
            if reply.waiting_bytes > _READ_AHEAD_BYTES and not self._reading_paused and self.transport is not None:
                self._reading_paused = True
                self.transport.pause_reading()
        reply.wake()
        self._settle()

    def _hear_unasked(self, data: bytes) -> None:
        self._early += data
        if self.exchanges or len(self._early) > self._max_head_bytes:
            self._early = b""
            self.abort()

    def _finish(self, reply: Http1Reply, data: bytes) -> None:
        self._reply = None
        self._deadline = _NEVER
        is_clean = not (self._is_followed or (data[-1] in b"\r\n" and self._has_blank_lines_after(reply, data)))
        reply.complete()
        if not self._has_body:
            self._parser = httptools.HttpResponseParser(self)  # the old one waits for a body
        if self.owner is None:
            if not is_clean:
                self.abort()
        elif is_clean and self._is_kept and not self.is_sending and self._is_all_sent():
            self.owner.released(self)
        else:
            self.abort()

    def _is_all_sent(self) -> bool:
        """The reply may come before the request is sent completely; the rest would precede the next one."""
        return self.transport is not None and self.transport.get_write_buffer_size() == 0

    def _has_blank_lines_after(self, reply: Http1Reply, data: bytes) -> bool:
        """llhttp skips line breaks before a reply, and so does not tell of those after one."""
        breaks = len(data) - len(data.rstrip(b"\r\n"))
        piece = b"" if self._is_chunked else reply.last_piece
        own = len(piece) - len(piece.rstrip(b"\r\n"))
        return breaks > (own if own < len(piece) else own + 4)

    # What llhttp tells us.

    def on_message_begin(self) -> None:
        if self._is_whole:
            self._is_followed = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # trailers mean nothing to anybody here
        self._field_bytes += len(name) + len(value) + 4
        if self._field_bytes > self._max_head_bytes or len(self._fields) >= _MAX_HEADERS:
            self._refuse(HEAD_TOO_LARGE)
        field = (name.decode("latin-1").lower(), value.decode("latin-1").rstrip(" \t"))
        self._fields.append(field)
        if field[0] == "transfer-encoding":
            self._is_chunked = True
            if field[1].lower() != "chunked":
                self._refuse(NOT_HTTP)  # no other coding was offered, and its end could be mistaken

    def on_headers_complete(self) -> None:
        if self._is_whole:
            return  # of a second reply; it ends the connection
        status = self._parser.get_status_code()
        if status < 200:
            if status == 101 or status < 100:
                self._refuse(SWITCHED if status == 101 else NOT_HTTP)
            self._fields = []
            self._is_chunked = False
            self._is_interim = True
            return
        self._in_head = False
        self._overhead_bytes = 0
        if self._reply is not None:
            self._reply.status = status
            self._reply.headers = tuple(self._fields)
        if not self._has_body:
            self._is_whole = True
            self._is_kept = self._parser.should_keep_alive() and not self._is_chunked

    def on_body(self, piece: bytes) -> None:
        if self._is_whole:
            self._is_followed = True
            return
        self._overhead_bytes = 0
        if self._reply is not None:
            self._reply.feed(piece)

    def on_message_complete(self) -> None:
        if self._is_interim:
            self._is_interim = False
        elif not self._is_whole:
            self._is_whole = True
            self._is_kept = self._parser.should_keep_alive()

    def _refuse(self, failure: Failure) -> None:
        self._refusal = failure
        raise _Refused
