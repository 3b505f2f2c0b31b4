"""A connection of the server over a transport that only takes notes, with a clock that stands still."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from http.client import HTTPResponse
from typing import Any, cast

from adapters.http.server.connection import Connection
from adapters.http.server.request.known_heads import KnownHeads
from application.errors import InvalidRequest
from application.held_bytes import HeldBytes
from tests.asgi_application import CLIENT, AsgiApplication

App = Callable[[Any, Any, Any], Awaitable[None]]

GET = b"GET /a HTTP/1.1\r\nhost: here\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n"
HELD = b"POST /held HTTP/1.1\r\nhost: here\r\ncontent-length: 300000\r\n\r\n"


class Clock:
    """The running loop with a time of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._loop = asyncio.get_running_loop()

    def time(self) -> float:
        return self.now

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


class Wire:
    """The transport, and the client at its other end."""

    def __init__(self) -> None:
        self.sent = b""
        self.unsent_bytes = 0
        self.events: list[str] = []
        self.is_reading = True

    def write(self, data: bytes) -> None:
        assert not self.is_closing()
        self.sent += data

    def close(self) -> None:
        self.events.append("close")

    def abort(self) -> None:
        self.events.append("abort")

    def write_eof(self) -> None:
        self.events.append("eof")

    def is_closing(self) -> bool:
        return "close" in self.events or "abort" in self.events

    def pause_reading(self) -> None:
        assert self.is_reading
        self.is_reading = False

    def resume_reading(self) -> None:
        assert not self.is_reading
        self.is_reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See `asyncio.WriteTransport`."""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See `asyncio.BaseTransport`; tests tell the connection itself what comes."""

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def get_extra_info(self, name: str) -> object:
        return {"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", 4000)}.get(name)


class Host:
    """The server."""

    def __init__(self, app: App) -> None:
        self.clock = Clock()
        self.loop = cast("asyncio.AbstractEventLoop", self.clock)
        self.app = AsgiApplication(app)
        self.heads = KnownHeads()
        self.is_draining = False
        self.running: set[Connection] = set()
        self.open: set[Connection] = set()
        self.crashes: list[Exception] = []
        self.refusals: list[tuple[str, str]] = []

        self.held = HeldBytes()
        self.stalled: list[Connection] = []

    def stalls(self, connection: Connection) -> None:
        self.moves(connection)
        self.stalled.append(connection)

    def moves(self, connection: Connection) -> None:
        self.stalled = [each for each in self.stalled if each is not connection]

    def opened(self, connection: Connection) -> None:
        self.open.add(connection)

    def left(self, connection: Connection) -> None:
        self.open.discard(connection)

    def crashed(self, error: Exception) -> None:
        self.crashes.append(error)

    def refused(self, error: InvalidRequest, address: str) -> None:
        self.refusals.append((error.code, address))


class Line:
    """All of it together, and what a test does with it."""

    def __init__(self, app: App) -> None:
        self.host = Host(app)
        self.wire = Wire()
        self.connection = Connection(self.host)
        self.connection.connection_made(cast("asyncio.Transport", self.wire))

    async def feed(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.connection.data_received(piece)
            await self.settle()

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def lose(self) -> None:
        self.connection.connection_lost(None)
        await self.settle()

    def pass_time(self, seconds: float) -> None:
        """As the server does once a second."""
        self.host.clock.now += seconds
        if self.connection.deadline <= self.host.clock.now:
            self.connection.expire()

    def replies(self, *methods: str) -> list[tuple[int, bytes]]:
        """Status and body of each, by a parser that is not ours; nothing may be left over."""
        stream = io.BytesIO(self.wire.sent)
        seen = []
        while stream.tell() < len(self.wire.sent):
            method = methods[len(seen)] if len(seen) < len(methods) else "GET"
            reply = HTTPResponse(cast("Any", Socket(stream)), method=method)
            reply.begin()
            seen.append((reply.status, reply.read()))
        return seen


class Socket:
    """A stream that pretends to be a socket, and is not closed with its reader."""

    def __init__(self, stream: io.BytesIO) -> None:
        self._stream = stream

    def makefile(self, *_: object) -> "Socket":
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None: ...

    def flush(self) -> None: ...


async def answer(send: Any, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the path and all of the body."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    await answer(send, scope["raw_path"] + b" " + body)


async def refusing(scope: Any, receive: Any, send: Any) -> None:
    """Answers without reading anything."""
    await answer(send, b"no", 413)


class Holding:
    """Answers each request when it is told to."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.gone: list[bytes] = []
        self._go_on = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["raw_path"]
        self.asked.append(path)
        scope["extensions"][CLIENT].on_disconnect(lambda: self.gone.append(path))
        await self._go_on.wait()
        self._go_on.clear()
        await answer(send, path)

    def answer(self) -> None:
        self._go_on.set()
