"""HTTP/1.1 as a client that may misbehave: plain sockets, so that one can leave, dawdle or stop at any byte."""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

PATIENCE_S = 60.0
_IDLE_S = 15.0
"""Below the proxy's own 30 s, so that a connection is never closed just when it is used."""


class Answer(NamedTuple):
    """A whole reply; `ended` is False when the connection was cut before its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    ended: bool = True


class Cut(Exception):
    """The connection ended before the headers of a reply."""


def head_of(method: str, path: str, headers: Mapping[str, str], body_bytes: int | None) -> bytes:
    """A request's head; None = it has no body."""
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body_bytes is not None:
        lines.append(f"content-length: {body_bytes}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Call:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.since = 0.0

    @classmethod
    async def open(cls, port: int, *, receive_buffer_bytes: int | None = None) -> "Call":
        """Connect. A small receive buffer makes the proxy feel soon that nobody reads."""
        raw = socket.socket()
        raw.setblocking(False)
        if receive_buffer_bytes is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        try:
            await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
        except BaseException:
            raw.close()
            raise
        return cls(*await asyncio.open_connection(sock=raw, limit=receive_buffer_bytes or 1 << 16))

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def flush(self) -> None:
        await self._writer.drain()

    def leave(self) -> None:
        """At once, without a goodbye."""
        self._writer.transport.abort()

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers; raises `Cut`."""
        try:
            raw = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError) as error:
            raise Cut from error
        first, *rest = raw.decode("latin-1").split("\r\n")[:-2]
        pairs = (line.partition(":") for line in rest)
        return int(first.split(" ", 2)[1]), {name.lower(): value.strip() for name, _, value in pairs}

    async def piece(self, most: int = 1 << 16) -> bytes:
        """Whatever has come; nothing at the end."""
        return await self._reader.read(most)

    async def answer(self) -> Answer:
        """A whole reply."""
        status, headers = await self.head()
        body = bytearray()
        try:
            if "chunked" in headers.get("transfer-encoding", ""):
                while size := int(await self._reader.readuntil(b"\r\n"), 16):
                    body += (await self._reader.readexactly(size + 2))[:-2]
                await self._reader.readexactly(2)
            elif length := int(headers.get("content-length", "0")):
                body += await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError) as error:
            if isinstance(error, asyncio.IncompleteReadError):
                body += error.partial
            return Answer(status, headers, bytes(body), ended=False)
        return Answer(status, headers, bytes(body))


class Client:
    """Asks, and keeps a connection for the next question as applications do."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._idle: deque[Call] = deque()

    async def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """One request and its whole reply. Raises `Cut` and `TimeoutError`."""
        head = head_of(method, path, headers, None if body is None else len(body))
        async with asyncio.timeout(PATIENCE_S):
            call = self._pooled() or await Call.open(self.port)
            try:
                call.send(head + (body or b""))
                reply = await call.answer()
            except BaseException:
                call.leave()
                raise
        if reply.ended and reply.headers.get("connection", "").lower() != "close":
            call.since = time.monotonic()
            self._idle.append(call)
        else:
            call.leave()
        return reply

    async def open(self, *, receive_buffer_bytes: int | None = None) -> Call:
        """A connection of one's own, to do with as one likes."""
        return await Call.open(self.port, receive_buffer_bytes=receive_buffer_bytes)

    def close(self) -> None:
        """Let go of all connections."""
        while self._idle:
            self._idle.pop().leave()

    def _pooled(self) -> Call | None:
        """The one used last; those that nobody has needed for a while are closed."""
        oldest = time.monotonic() - _IDLE_S
        while self._idle and self._idle[0].since < oldest:
            self._idle.popleft().leave()
        return self._idle.pop() if self._idle else None
