"""A client that the kernel keeps little for."""

import asyncio
import socket

from tests.integration.raw_http import JSON, Reply, parsed

_BUFFER_BYTES = 4 * 1024


class Client:
    """A connection of its own, that reads as little as can be and nothing before it is told to."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> "Client":
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
        self.reader, self.writer = await asyncio.open_connection(sock=sock, limit=_BUFFER_BYTES)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        self.writer.transport.abort()

    def send(self, path: str, body: bytes, *headers: bytes, length: int = -1) -> "Client":
        lines = [f"POST {path} HTTP/1.1".encode(), b"host: localhost", b"connection: close", *headers]
        if not any(header.startswith(b"content-type") for header in headers):
            lines.append(JSON)
        lines.append(b"content-length: %d" % (len(body) if length < 0 else length))
        self.writer.write(b"\r\n".join([*lines, b"", body]))
        return self

    async def reply(self) -> Reply:
        """One that says its length is not followed to the end of the connection, which may be lingered on."""
        async with asyncio.timeout(30):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = parsed(head).one("content-length")
            return parsed(head + await (self.reader.read() if length is None else self.reader.readexactly(int(length))))
