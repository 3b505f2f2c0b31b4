"""One turn of a socket, as the rest of the proxy sees it: a client that posts a request and is sent a stream.

So weights, waiting, failover, cache, owners, the log line and the shutdown hold for it as for every other request; only
what is sent is put into other frames.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from adapters.http.server.client import Guest
from adapters.http.server.reply_head import Fields
from adapters.http.server.request.head import RequestHead
from adapters.http.sockets.alike import NO_BEGINNING, AlikeEvents, beginning_of
from adapters.http.sockets.server_frames import (
    BROKEN,
    TERMINAL,
    Event,
    Response,
    cancelled,
    encode,
    event_of,
    events_in,
    in_lane,
    reply_frame,
    response_in,
    with_status,
)
from adapters.websocket.connection import WebSocket
from application.flow import TakeFramed

_OWN_PREFIX = "x-llmproxy-"
_BEGINS = "response.created"
_MEANT = TERMINAL | {_BEGINS, "error"}
"""Types that something follows from."""
_KEEPER_IS_AWAY = frozenset({404, 429, 502, 503, 504})
"""What a request is told whose only account cannot answer it."""
_KEEPER_DENIES = (b'"previous_response_not_found"', b'"invalid_encrypted_content"')


class Turn:
    """`Client` for the application; sends frames."""

    __slots__ = (
        "_body", "_gone", "_is_over", "_lane", "_may_move", "_sent_bytes", "_shows_itself", "_socket",
        "_tell", "added", "addresses", "alike", "answer", "created", "has_ended", "head", "length", "response_id",
        "task", "wants_another",
    )  # fmt: skip

    def __init__(
        self,
        socket: WebSocket,
        head: RequestHead,
        addresses: Mapping[str, Any],
        lane: str,
        body: bytes,
        **options: bool,
    ) -> None:
        """`options`: `shows_itself`, is an event of ours to come first? `may_move`: could another account answer, with
        more in the body?"""
        self.head = head
        self.addresses = addresses
        self.length: int | None = len(body)
        self.added: Fields = ()
        self._sent_bytes = 0
        self.task: asyncio.Task[None] | None = asyncio.current_task()
        """The one that begins it, and awaits it then."""
        self.wants_another = False
        """Was nothing sent, as only another account can answer?"""
        self.has_ended = False
        """Was the client told of its end? Then it is told no more."""
        self.created = b""
        """The event that began its response; empty = none has come."""
        self.response_id = ""
        """Of its response; empty = it has not begun."""
        self.answer: Response | None = None
        """The whole response; None = it did not come to an end, or to a bad one."""
        self._socket = socket
        self.alike = AlikeEvents()
        """Those of its events that are sent as they are; an outlet to be lent by the socket."""
        self._lane = lane
        self._body: bytes | None = body
        self._shows_itself = options.get("shows_itself", False)
        self._may_move = options.get("may_move", False)
        self._tell: Callable[[], None] | None = None
        self._is_over = False
        self._gone: asyncio.Future[dict[str, Any]] | None = None

    @property
    def sent_bytes(self) -> int:
        """See `Client`."""
        return self._sent_bytes + self.alike.bytes

    def count(self, size: int) -> None:
        """So many bytes were sent for it by another."""
        self._sent_bytes += size

    def on_disconnect(self, tell: Callable[[], None] | None) -> None:
        """See `Client`."""
        self._tell = tell
        if tell is not None and self._is_over:
            tell()

    def disconnect(self) -> None:
        """The client has left, or does not want it any more."""
        self._is_over = True
        self.alike.beginning = NO_BEGINNING
        if self._gone is not None and not self._gone.done():
            self._gone.set_result({"type": "http.disconnect"})
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()

    def cancel(self) -> None:
        """The client asks for its end."""
        if not self._is_over:
            self._end(in_lane(cancelled(self.created), self._lane))
            self.disconnect()

    def body_now(self) -> bytes | None:
        """See `Client`."""
        body, self._body = self._body, None
        return body

    def receive(self) -> Awaitable[dict[str, Any]]:
        """See `Client`: the body was there, so there is nothing but the end to come."""
        if self._gone is None:
            self._gone = asyncio.get_running_loop().create_future()
        return self._gone

    def reply(self, status: int, fields: Fields, body: bytes) -> Awaitable[None] | None:
        """See `Client`. A whole reply is an error, a response that the provider did not stream, or a stream that says
        no more than why it failed."""
        is_json = body.lstrip()[:1] == b"{"
        is_error = status >= 400 or not is_json
        if self._may_move and is_error and (status in _KEEPER_IS_AWAY or any(code in body for code in _KEEPER_DENIES)):
            self.wants_another = True
        elif status >= 400:
            self._end(reply_frame(status, fields, body, self._lane))
        else:
            self._show(fields)
            if is_json:
                self._deliver([self._message(event_of(body))])
            else:
                self._read(body)
            if not self.has_ended:
                self._end(reply_frame(BROKEN, fields, body, self._lane))
        return self._socket.writable()

    def start(self, status: int, fields: Fields) -> None:  # noqa: ARG002 - of a stream it is 200
        """See `Client`."""
        self._show(fields)

    def send_chunk(self, piece: bytes) -> bool:
        """See `Client`."""
        payload = self.alike.beginning.payload(piece)
        if payload is None:
            self._read(piece)
        else:
            self._send(in_lane(payload, self._lane) if self._lane else payload)
        return self._socket.draining is None

    @property
    def send_framed(self) -> TakeFramed:
        """See `Client`. Messages have no chunks, so what is in this one is sent."""
        return self._send_in_lane if self._lane else self.alike.send_framed

    def _send_in_lane(self, framed: bytes, _line: bytes, size: int, /) -> bool:
        payload = self.alike.payload(framed, size)
        if payload is None or self._socket.draining is not None:
            return False
        self._send(in_lane(payload, self._lane))
        return True

    def finish(self) -> None:
        """See `Client`."""

    def drain(self) -> Awaitable[None] | None:
        """See `Client`."""
        return self._socket.writable()

    def switch(self, fields: Fields, guest: Guest) -> bool:
        """See `Client`; a turn is no request that upgrades."""
        raise NotImplementedError

    def _read(self, piece: bytes) -> None:
        events = list(events_in(piece))
        self._deliver(list(filter(None, map(self._message, events))))
        if self.has_ended:
            self.alike.beginning = NO_BEGINNING
        elif not self._is_over and len(events) == 1 and events[0].type not in _MEANT:
            self.alike.beginning = beginning_of(piece, events[0]) or self.alike.beginning

    def _message(self, event: Event) -> bytes:
        """What the client is sent of it; empty = nothing, as it was told of an end before."""
        payload, kind, had_ended = event.payload, event.type, self.has_ended
        if kind == "error":
            payload = with_status(payload)
        elif kind == _BEGINS:
            self.created, self.response_id = payload, response_in(payload).id
        elif kind in TERMINAL and kind != "response.failed":
            self.answer = response_in(payload)
        self.has_ended = had_ended or kind == "error" or kind in TERMINAL
        return b"" if had_ended else in_lane(payload, self._lane)

    def _end(self, payload: bytes) -> None:
        """The last thing that is sent."""
        self._send(payload)
        self.has_ended = True
        self.alike.beginning = NO_BEGINNING

    def _send(self, message: bytes) -> None:
        if not (self._is_over or self.has_ended):
            self._sent_bytes += len(message)
            self._socket.send(message)

    def _deliver(self, messages: Sequence[bytes]) -> None:
        """Those of one piece, the last of which may be the end."""
        if messages and not self._is_over:
            self._sent_bytes += sum(map(len, messages))
            self._socket.send_texts(messages)

    def _show(self, fields: Sequence[str]) -> None:
        """What an HTTP client reads in headers of ours."""
        if self._shows_itself:
            own = dict(
                field.removeprefix(_OWN_PREFIX).split(": ", 1) for field in fields if field.startswith(_OWN_PREFIX)
            )
            told = {name.replace("-", "_"): value for name, value in own.items()}
            self._send(in_lane(encode({"type": "llmproxy.turn"} | told), self._lane))
