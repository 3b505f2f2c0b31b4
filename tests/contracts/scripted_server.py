"""A server that does what a test says, byte by byte, and writes down what it saw.

A script is an async function of one accepted connection. It reads requests when it wants to, sends what it wants, and
ends the connection how it wants. The first connection gets the first script, and so on; the last script serves all
further connections. A connection whose script returns is closed.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

PATIENCE_S = 10.0
"""How long a test waits for something that must happen soon; generous, because machines can be busy."""


class Request(NamedTuple):
    """One request as it came over the wire."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def target(self) -> bytes:
        return self.line.split(b" ")[1]


class Peer:
    """One connection, as its script sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: "ScriptedServer") -> None:
        self._reader = reader
        self._writer = writer
        self._server = server
        self.requests = 0
        self.sent = 0
        """Bytes the kernel has taken."""
        self.over = asyncio.Event()
        """Set when the client has ended the connection and the script has looked."""

    async def request(self) -> Request:
        """The next whole request; IncompleteReadError ends the script when there is none."""
        head = await self.head()
        chunked = any(name.lower() == b"transfer-encoding" for name, _ in head.headers)
        length = next((int(value) for name, value in head.headers if name.lower() == b"content-length"), 0)
        request = head._replace(body=await self._chunks() if chunked else await self.take(length))
        self.requests += 1
        self._server.requests.append(request)
        return request

    async def head(self) -> Request:
        """The next request without its body, which stays on the wire."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        line, *fields = head[:-4].split(b"\r\n")
        return Request(line, [(name, value) for name, _, value in (field.partition(b": ") for field in fields)], b"")

    async def take(self, size: int) -> bytes:
        """So many bytes of what is on the wire."""
        return await self._reader.readexactly(size)

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            body += (await self.take(size + 2))[:-2]
        assert await self.take(2) == b"\r\n"
        return body

    async def send(self, *pieces: bytes) -> None:
        """Send each piece by itself, giving the client the chance to read it alone."""
        for piece in pieces:
            if self._writer.transport.is_closing():
                raise ConnectionResetError
            self._writer.write(piece)
            await self._writer.drain()
            self.sent += len(piece)
            await asyncio.sleep(0)

    async def gone(self) -> str:
        """Wait until the client ends the connection: "fin" or "reset"."""
        try:
            while await self._reader.read(65536):
                pass
        except ConnectionError:
            return "reset"
        else:
            return "fin"
        finally:
            self.over.set()

    async def tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes on, both ways, until one side ends."""

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                while piece := await source.read(65536):
                    sink.write(piece)
                    await sink.drain()

        pumps = [asyncio.create_task(pump(self._reader, writer)), asyncio.create_task(pump(reader, self._writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            writer.transport.abort()

    async def rest(self) -> int:
        """How many bytes there are up to the client's end of the connection."""
        count = 0
        with suppress(ConnectionError):
            while piece := await self._reader.read(65536):
                count += len(piece)
        self.over.set()
        return count

    def finish(self) -> None:
        """FIN: nothing more comes from here; reading goes on."""
        self._writer.write_eof()

    def reset(self) -> None:
        """RST, whatever was sent before."""
        sock = self._writer.get_extra_info("socket")
        if sock is not None:  # else the client has been faster
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def send_slowly(self) -> None:
        """Let the kernel and the event loop take little ahead of the client."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        self._writer.transport.set_write_buffer_limits(0)

    def abort(self) -> None:
        self._writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class ScriptedServer:
    """Listens on a free loopback port while it is entered."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._scripts = scripts
        self._tls = tls
        self._host = host
        self._server: asyncio.Server | None = None
        self._tasks: dict[asyncio.Task[None], Peer] = {}
        self._accepted = asyncio.Condition()
        self._faults: list[BaseException] = []
        self.port = 0
        self.requests: list[Request] = []
        self.peers: list[Peer] = []

    @property
    def open(self) -> int:
        """Connections whose script still runs."""
        return len(self._tasks)

    def url(self, target: str = "/v1/chat/completions") -> str:
        scheme = "https" if self._tls else "http"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self.port}{target}"

    async def peer(self, number: int = 0) -> Peer:
        """The connection of that number, once it is there."""
        async with asyncio.timeout(PATIENCE_S), self._accepted:
            await self._accepted.wait_for(lambda: len(self.peers) > number)
        return self.peers[number]

    async def over(self, number: int = 0) -> None:
        """Wait until the client has ended that connection."""
        peer = await self.peer(number)
        async with asyncio.timeout(PATIENCE_S):
            await peer.over.wait()

    async def __aenter__(self) -> "ScriptedServer":
        self._server = await asyncio.start_server(
            self._accept, self._host, 0, ssl=self._tls, backlog=1024, limit=64 * 1024
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for peer in self._tasks.values():
            peer.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        if self._faults and exc[0] is None:
            raise self._faults[0]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, self)
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = peer
        script = self._scripts[min(len(self.peers), len(self._scripts) - 1)]
        self.peers.append(peer)
        async with self._accepted:
            self._accepted.notify_all()
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await script(peer)
        except asyncio.CancelledError:
            pass
        except Exception as fault:
            self._faults.append(fault)
        finally:
            peer.over.set()
            del self._tasks[task]
            writer.close()


def reply(body: bytes = b"ok", *headers: str, status: str = "200 OK") -> bytes:
    """A whole reply with a content-length."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A whole chunked reply; `end` b"" leaves it without its last chunk."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + body + end


def answering(*replies: bytes) -> Script:
    """One reply per request, until the client ends the connection; the last reply answers all further requests."""

    async def script(peer: Peer) -> None:
        try:
            for number in range(10**9):
                await peer.request()
                await peer.send(replies[min(number, len(replies) - 1)])
        finally:
            peer.over.set()

    return script


def after_request(*pieces: bytes, then: Callable[[Peer], None] | None = None) -> Script:
    """Read one request, send the pieces, do `then` (nothing: hold the line), and wait for the client to go."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces)
        if then is not None:
            then(peer)
        await peer.gone()

    return script


async def hold(peer: Peer) -> None:
    """Read what comes, say nothing."""
    await peer.gone()


async def never_read(peer: Peer) -> None:
    """Take nothing off the wire beyond what the kernel and a small buffer hold, and say nothing."""
    await peer.over.wait()
