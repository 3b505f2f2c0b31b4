"""Peers of the proxy that send as fast as they can, or never read, and keep nothing themselves."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress

from adapters.websocket.handshake import accept

_BUFFER_BYTES = 4 * 1024


def opening(path: str) -> bytes:
    """A client's handshake."""
    lines = [
        f"GET {path} HTTP/1.1", "host: localhost", "upgrade: websocket", "connection: Upgrade",
        "sec-websocket-version: 13", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", "authorization: Bearer sk-client",
    ]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode()


class Peer:
    """A connection without a buffer of its own; the kernel keeps as little as it can."""

    def __init__(self, sock: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._flooding: asyncio.Task[None] | None = None

    @classmethod
    async def connected(cls, port: int) -> "Peer":
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return cls(sock)

    async def head(self) -> bytes:
        """What comes, up to its first empty line, and not a byte more."""
        read = b""
        async with asyncio.timeout(30):
            while not read.endswith(b"\r\n\r\n"):
                read += await self._loop.sock_recv(self._sock, 1)
        return read

    async def take(self, size: int) -> bytes:
        """So much of what comes."""
        read = b""
        async with asyncio.timeout(30):
            while len(read) < size:
                read += await self._loop.sock_recv(self._sock, size - len(read))
        return read

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._sock, data)

    def flood(self, data: bytes) -> None:
        """Again and again, as long as it is taken."""
        self._flooding = asyncio.ensure_future(self._flood(data))

    async def _flood(self, data: bytes) -> None:
        with suppress(OSError):
            while True:
                await self._loop.sock_sendall(self._sock, data)

    async def leave(self) -> None:
        if self._flooding is not None:
            self._flooding.cancel()
            await asyncio.wait((self._flooding,))
        self._sock.close()


class Provider:
    """One that waits to be connected to, once."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self._listener.setblocking(False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    async def accept(self, *reply: bytes) -> Peer:
        """Has read what it is asked, and said its first words. Without any: those that accept a WebSocket."""
        async with asyncio.timeout(30):
            sock, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        sock.setblocking(False)
        peer = Peer(sock)
        asked = await peer.head()
        await peer.send(b"".join(reply) or switching(asked.split(b"\r\n")))
        return peer

    def close(self) -> None:
        self._listener.close()


def switching(asked: Sequence[bytes]) -> bytes:
    """The answer to a handshake with these lines, the first of which names what is asked for."""
    pairs = [(name, value) for name, _, value in (line.decode().partition(": ") for line in asked[1:] if line)]
    return "\r\n".join(["HTTP/1.1 101 Switching Protocols", *accept(pairs).fields, "", ""]).encode()
