"""One TCP connection: HTTP/1.1 requests in, one at a time, and the bytes of the replies out."""

import asyncio
import socket
import struct
from collections import deque
from functools import partial
from typing import Protocol, cast

import httptools

from adapters.websocket.connection import WebSocket
from simulator.calls import Request
from simulator.records import CLIENT_CLOSED

MAX_BODY_BYTES = 256 * 1024 * 1024
_MAX_WAITING = 100  # pipelined requests; more than any client sends
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Owner(Protocol):
    """Who connections belong to."""

    def opened(self, connection: "Connection") -> int:
        """A connection is there. Returns its serial number."""

    def received(self, connection: "Connection", request: Request) -> None:
        """A whole request has come."""

    def closed(self, connection: "Connection") -> None:
        """A connection is gone."""


class Ongoing(Protocol):
    """A reply that is being sent on a connection."""

    def resume(self) -> None:
        """The client reads again."""

    def abandon(self, outcome: str) -> None:
        """The connection is gone; nothing more can be sent."""


class Connection(asyncio.Protocol):
    """Parses requests; knows whether the client still reads."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._waiting: deque[Request] = deque()
        self.serial = 0
        self.ongoing: Ongoing | None = None
        self._guest: WebSocket | None = None
        self.is_paused = False
        self.lost_outcome = CLIENT_CLOSED
        """What a lost connection means for the reply under way; another value when the provider cuts it itself."""

    # What asyncio tells us.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.serial = self._owner.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        ongoing, self.ongoing = self.ongoing, None
        self._transport = None
        if ongoing is not None:
            ongoing.abandon(self.lost_outcome)
        self._owner.closed(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            behind = data[upgrade.args[0] :]
            if self._guest is not None:
                if behind:
                    self._guest.data_received(behind)
            elif self.ongoing is None:
                self.close()  # the request has been answered as an ordinary one; what follows is not HTTP
        except httptools.HttpParserError:
            self.write(_BAD_REQUEST)
            self.close()

    def pause_writing(self) -> None:
        self.is_paused = True

    def resume_writing(self) -> None:
        self.is_paused = False
        if self.ongoing is not None:
            self.ongoing.resume()

    # What httptools tells us.

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers = []
        self._body = []
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if (b"expect", b"100-continue") in self._headers:
            self.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes <= MAX_BODY_BYTES:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._body_bytes > MAX_BODY_BYTES:
            self.write(_TOO_LARGE)
            self.close()
            return
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            target=self._target.decode("latin-1"),
            headers=self._headers,
            body=b"".join(self._body),
            keep_alive=self._parser.should_keep_alive() and not self._parser.should_upgrade(),
        )
        self._body = []
        if self.ongoing is None and not self._waiting:
            self._owner.received(self, request)
        elif len(self._waiting) < _MAX_WAITING:
            self._waiting.append(request)
        else:
            self.close()

    def _serve_next(self) -> None:
        if self._waiting and self.ongoing is None and self._transport is not None:
            self._owner.received(self, self._waiting.popleft())

    # What a reply does.

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def release(self) -> None:
        """The reply under way is over: the next request may be answered, had it come early or not."""
        self.ongoing = None
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._serve_next)

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def switch(self, head: bytes, guest: WebSocket) -> None:
        """From here on it is a WebSocket; `head` is the answer to the handshake."""
        transport = self._transport
        if transport is None:
            return
        transport.write(head)
        transport.set_protocol(guest)
        self._guest = guest
        guest.when_gone = partial(self.connection_lost, None)
        guest.connection_made(transport)
        guest.watch()

    def close(self) -> None:
        """FIN, once everything written is on its way."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """RST, whatever is still to be sent."""
        if self._transport is None:
            return
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()
