"""Opens WebSockets to endpoints, each over a connection of its own. What refuses the handshake is a reply like any."""

import asyncio
from typing import cast

import httptools

from adapters.upstreams.http1 import failures
from adapters.upstreams.http1.connection import Connection
from adapters.upstreams.http1.connector import Connecting
from adapters.upstreams.http1.request import head_of, target_of
from adapters.websocket.connection import WebSocket
from adapters.websocket.handshake import BadHandshake, Opening
from application.held_bytes import HeldBytes, Holding
from application.messages import Headers, UpstreamCall
from application.ports import UpstreamFailed, UpstreamReply
from application.socket_ports import OpenedSocket
from domain.failure import Failure

SUBPROTOCOL = "sec-websocket-protocol"
"""The header of a call that names what is offered."""
MAX_HEAD_BYTES = 64 * 1024
_SWITCHED = b"HTTP/1.1 101"
_HEAD_END = b"\r\n\r\n"
_NOT_SENT = frozenset({SUBPROTOCOL, "accept-encoding"})


class SocketUpstream:
    """`Upstream` for calls that open a WebSocket: the reply to one that is accepted is an `OpenedSocket`."""

    def __init__(self, connecting: Connecting, held: HeldBytes, max_message_bytes: int, write_timeout_s: float) -> None:
        """`write_timeout_s`: an endpoint that takes nothing for so long is cut off."""
        self._connecting = connecting
        self._held = held
        self._max_message_bytes = max_message_bytes
        self._write_timeout_s = write_timeout_s

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        """See `Upstream.send`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + call.first_byte_timeout_s
        offered = [value for name, value in call.headers if name == SUBPROTOCOL]
        opening = Opening(offered)
        connection, head = await self._connected(call, opening, deadline)
        handshake = _Handshake(loop)
        transport = connection.transport
        if transport is None or transport.is_closing():
            raise UpstreamFailed(failures.UNANSWERED)
        try:
            transport.set_protocol(handshake)
            handshake.transport = transport
            transport.write(head)
            try:
                async with asyncio.timeout_at(deadline):
                    await handshake.begun
            except TimeoutError:
                raise UpstreamFailed(failures.SLOW_HEAD) from None
            if handshake.is_switched:
                return self._opened(handshake, opening, transport)
        except BaseException:
            connection.abort()
            raise
        return await _refused(connection, handshake, call, deadline)

    async def close(self) -> None:
        """See `Upstream.close`. What is open belongs to whoever has it."""

    async def _connected(self, call: UpstreamCall, opening: Opening, deadline: float) -> tuple[Connection, bytes]:
        """A connection, and the head of the request that is to be sent on it."""
        target = target_of(call.url)
        proxy = self._connecting.proxy_for(target.origin, call.outbound_proxy)
        line, added = target.line, cast("Headers", ())
        if proxy is not None and not target.origin.is_tls:
            line = target.proxy_line
            added = (("proxy-authorization", proxy.authorization),) if proxy.authorization else ()
        plain = tuple(pair for pair in call.headers if pair[0] not in _NOT_SENT)
        kept = UpstreamCall(call.method, call.url, plain, b"", 0.0, 0.0, 0.0)
        fields = "".join(f"{name}: {value}\r\n" for name, value in opening.fields)
        head = head_of(kept, line, added).removesuffix(b"\r\n") + fields.encode("latin-1") + b"\r\n"
        due = min(deadline, asyncio.get_running_loop().time() + call.connect_timeout_s)
        try:
            async with asyncio.timeout_at(due):
                return await self._connecting.open(target.origin, proxy), head
        except TimeoutError:
            raise UpstreamFailed(failures.SLOW_CONNECT) from None

    def _opened(self, handshake: "_Handshake", opening: Opening, transport: asyncio.Transport) -> OpenedSocket:
        """Raises `UpstreamFailed` where the reply does not keep to the handshake."""
        head, _, behind = bytes(handshake.data).partition(_HEAD_END)
        headers = _headers_in(head + _HEAD_END)
        try:
            opening.check(101, headers)
        except BadHandshake:
            raise UpstreamFailed(failures.NO_WEBSOCKET) from None
        holding = Holding(self._held)
        socket = WebSocket("client", handshake.loop, self._max_message_bytes, self._write_timeout_s, holding.may_hold)
        socket.when_gone = holding.close
        transport.set_protocol(socket)
        socket.connection_made(transport)
        transport.resume_reading()
        socket.watch()
        if behind:
            socket.data_received(behind)
        return OpenedSocket(headers, socket)


class _Handshake(asyncio.Protocol):
    """Reads until it is known whether the endpoint switches, and then nothing more."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.transport: asyncio.Transport | None = None
        self.data = bytearray()
        self.begun: asyncio.Future[None] = loop.create_future()
        """Done when it is known; `UpstreamFailed` where nobody will ever know."""

    @property
    def is_switched(self) -> bool:
        return self.data.startswith(_SWITCHED)

    def data_received(self, data: bytes) -> None:
        self.data += data
        is_head_due = _SWITCHED.startswith(self.data[: len(_SWITCHED)])
        if is_head_due and _HEAD_END not in self.data:
            if len(self.data) > MAX_HEAD_BYTES:
                self._fail(failures.HEAD_TOO_LARGE)
            return
        if not self.begun.done():
            self.begun.set_result(None)
        if self.transport is not None:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self._fail(failures.CUT_IN_HEAD if self.data else failures.UNANSWERED)
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        if exc is not None:
            self._fail(failures.lost(exc))
        self.eof_received()

    def _fail(self, failure: Failure) -> None:
        if not self.begun.done():
            self.begun.set_exception(UpstreamFailed(failure))
            self.begun.exception()  # it may be that nobody waits any more


class _Cut:
    """Owns the connection of a handshake that was refused: it is used once."""

    def released(self, connection: Connection) -> None:
        connection.abort()

    def left(self, connection: Connection) -> None:
        """It is gone anyway."""


async def _refused(connection: Connection, handshake: _Handshake, call: UpstreamCall, deadline: float) -> UpstreamReply:
    """The reply, read like any other."""
    connection.owner = _Cut()
    reply = connection.start(call.idle_timeout_s, deadline)
    transport = connection.transport
    try:
        if transport is not None:
            transport.set_protocol(connection)
            transport.resume_reading()
            connection.data_received(bytes(handshake.data))
        while not reply.status:
            await reply.news()
    except BaseException:
        reply.close()
        raise
    return reply


def _headers_in(head: bytes) -> Headers:
    """Raises `UpstreamFailed` for what is no head."""
    found: list[tuple[str, str]] = []
    parser = httptools.HttpResponseParser(_Fields(found))
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        return tuple(found)
    except httptools.HttpParserError:
        pass
    raise UpstreamFailed(failures.NO_WEBSOCKET)


class _Fields:
    """What llhttp tells of a head."""

    def __init__(self, found: list[tuple[str, str]]) -> None:
        self._found = found

    def on_header(self, name: bytes, value: bytes) -> None:
        self._found.append((name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")))
