"""aiohttp's connections and pools, with what a proxy needs done differently.

aiohttp is a client for applications and takes its time to let go of a socket. A proxy lets go at once, and must know
of each connection whether it was used before and whether a reply has begun. Both classes extend one of aiohttp's own
and say what they change and why; the contract suite of the port is what holds when aiohttp changes.
"""

import asyncio
import functools
import re
import ssl
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import TypeAlias, cast

import aiohttp
from aiohttp.abc import ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.helpers import _EXC_SENTINEL
from aiohttp.http import RawResponseMessage
from aiohttp.tracing import Trace

from adapters.upstreams.outbound.never_called import NeverCalled, callable_ones
from adapters.upstreams.transport_errors import ClosedInHead, HeadTooLarge, OtherProtocol

_NO_TIMEOUT = aiohttp.ClientTimeout()
_DNS_CACHE_S = 10

Traces: TypeAlias = list[Trace]

waited_for_slot: ContextVar[bool] = ContextVar("waited_for_slot", default=False)
"""Did the current call have to wait for a connection, all that are allowed being in use? Then no endpoint is to blame
when it runs out of time."""


_STATUS_LINE_BYTES = 12
"""`HTTP/1.1 413`"""
_VERSIONS = (aiohttp.HttpVersion10, aiohttp.HttpVersion11)
_PROTOCOLS = (b"HTTP/1.1 ", b"HTTP/1.0 ")
_NO_HTTP = re.compile(rb"\n(?:RTSP|ICE)/1")
"""llhttp takes HTTP/0.9, HTTP/2.0, RTSP/1.0 and ICE/1.0 as well."""


class WireProtocol(ResponseHandler):
    """One connection. It knows whether it served before, whether a reply has begun, and when it must not be reused."""

    def __init__(self, loop: asyncio.AbstractEventLoop, max_head_bytes: int) -> None:
        super().__init__(loop)
        self.requests = 0
        self.received = 0
        """Bytes of the current reply, interim replies included."""
        self.unasked = b""
        """How what came before any request begins."""
        self.pooled = False
        self.is_settled = False
        """Have the headers of the final reply come, or is it certain that they will not?"""
        self.on_settled: Callable[[], None] | None = None
        """Called when that is so; None = nobody needs to be told."""
        self._max_head_bytes = max_head_bytes
        self._in_head = False
        self._beginning = b""

    def start_request(self) -> None:
        """A request goes out now; what comes from here on is its reply."""
        self.requests += 1
        self.received = 0
        self.is_settled = False
        self._in_head = True
        self._beginning = b""

    def close(self) -> None:
        """Cut, rather than first send what is left to a server that may not read, or wait for its TLS goodbye."""
        self.abort()

    def abort(self) -> None:
        """Cut, and tell a reader of the body, who would wait for ever."""
        self._fail_body(self._payload, aiohttp.ClientConnectionError("connection closed"))
        super().abort()

    @property
    def should_close(self) -> bool:
        """Also when the reply came before the request was sent completely: the rest would precede the next one."""
        if super().should_close or self.transport is None or self.transport.is_closing():
            return True
        return self.transport.get_write_buffer_size() > 0

    def is_clean(self) -> bool:
        """May the next request use it? Not if bytes were left over: they would be taken for its reply."""
        if self.should_close:
            return False
        try:
            return self._parser is None or self._parser.feed_eof() is None
        except Exception:  # the beginning of another reply, and a broken one
            return False

    def feed_data(self, data: tuple[RawResponseMessage, aiohttp.StreamReader], size: int = 0) -> None:
        message = data[0]
        self._in_head = message.code < 200
        if message.version not in _VERSIONS:
            self.set_exception(OtherProtocol())
        elif sum(len(name) + len(value) + 4 for name, value in message.raw_headers) > self._max_head_bytes:
            self.set_exception(HeadTooLarge())
        else:
            super().feed_data(data, size)
            if message.code >= 200 or message.code == 101:
                self._settle()

    def set_exception(self, exc: BaseException, exc_cause: BaseException = _EXC_SENTINEL) -> None:
        super().set_exception(exc, exc_cause)
        self._settle()

    def _settle(self) -> None:
        self.is_settled = True
        if self.on_settled is not None:
            self.on_settled()

    def data_received(self, data: bytes) -> None:
        if self.pooled:
            if data:
                self.abort()
            return
        self.received += len(data)
        if not self.requests:
            self.unasked = (self.unasked + data)[:_STATUS_LINE_BYTES]
        payload = self._payload
        if len(self._beginning) < len(_PROTOCOLS[0]):
            self._beginning = (self._beginning + data)[: len(_PROTOCOLS[0])]
            is_one = any(each.startswith(self._beginning) for each in _PROTOCOLS)
            if not is_one or (self._in_head and _NO_HTTP.search(data)):
                self.set_exception(OtherProtocol())
        if self._exception is None:
            super().data_received(data)
        if self._in_head and self.received > self._max_head_bytes:
            self.set_exception(HeadTooLarge())
        if self._exception is not None:
            # aiohttp tells only those who wait for headers; a reader of the body would wait for ever.
            self._fail_body(payload, self._exception)
            if self.transport is not None:
                self.transport.abort()

    def eof_received(self) -> None:
        super().eof_received()
        # The transport would first send what is left of the request, and a server that has gone reads no more.
        if self.transport is not None and self.transport.get_write_buffer_size():
            self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        if exc is not None:
            # aiohttp takes the end of a body without length for its end, also when it is a reset.
            self._fail_body(self._payload, exc)
        elif self._in_head and self.received and self._exception is None:
            self.set_exception(ClosedInHead())
        super().connection_lost(exc)
        self._settle()

    def _fail_body(self, payload: aiohttp.StreamReader | None, exc: BaseException) -> None:
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            payload.set_exception(exc)
        self._payload = None


class FreshKey(ConnectionKey):
    """Equal to the key it copies, so that limits count it in, but no idle connection is handed out for it."""


class WireConnector(aiohttp.TCPConnector):
    """The pools: the last used connection first, a deadline for connecting, and no slot lost to cancellation."""

    def __init__(self, per_origin: int, keepalive_s: float, ssl_context: ssl.SSLContext, max_head_bytes: int) -> None:
        super().__init__(
            limit=0,
            limit_per_host=per_origin,
            keepalive_timeout=keepalive_s,
            ssl=ssl_context,
            ttl_dns_cache=_DNS_CACHE_S,
        )
        self._keepalive_s = keepalive_s
        # As a partial of the base class: that is how the connector declares it.
        new_connection: Callable[..., ResponseHandler] = WireProtocol
        self._factory = functools.partial(new_connection, loop=self._loop, max_head_bytes=max_head_bytes)

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: Traces,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
    ) -> Connection:
        try:
            return await super().connect(req, traces, timeout)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                # Closing cancels the futures that calls wait on; that is no reason for their tasks to end silently.
                raise aiohttp.ClientConnectionError("connector closed") from None
            raise

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: Traces,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
    ) -> ResponseHandler:
        try:
            return await self._opened(req, traces, timeout)
        except BaseException:
            # Not reached there, or not in time: the name may point elsewhere by now.
            first = req.proxy or req.url
            if first.raw_host is not None and first.port is not None:
                self.clear_dns_cache(first.raw_host, first.port)
            raise

    async def _resolve_host(self, host: str, port: int, traces: Sequence[Trace] | None = None) -> list[ResolveResult]:
        try:
            found = await super()._resolve_host(host, port, traces)
        except KeyError:  # what the lookup found was forgotten before it was taken
            found = await super()._resolve_host(host, port, traces)
        ours = callable_ones([each["host"] for each in found])
        return [each for each in found if each["host"] in ours]

    async def _opened(
        self,
        req: aiohttp.ClientRequest,
        traces: Traces,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
    ) -> ResponseHandler:
        """One deadline over name, TCP, proxy and TLS; waiting for a slot is over when this is called."""
        try:
            async with asyncio.timeout(timeout.sock_connect):
                return await super()._create_connection(req, traces, _NO_TIMEOUT)
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError):
            raise
        except NeverCalled as refused:
            refused.is_proxy = req.proxy is not None
            raise
        except aiohttp.ClientError as exc:
            if req.proxy is None:
                raise
            # What aiohttp does not wrap came from talking to the outbound proxy.
            raise aiohttp.ClientProxyConnectionError(req.connection_key, OSError("no tunnel")) from exc
        except RuntimeError as exc:  # uvloop's, for some errors of the system
            raise aiohttp.ClientConnectorError(req.connection_key, OSError("cannot connect")) from exc

    async def _wait_for_available_connection(self, key: ConnectionKey, traces: Traces) -> None:
        waited_for_slot.set(True)
        try:
            await super()._wait_for_available_connection(key, traces)
        except BaseException:
            # It may have been woken for a free slot in the moment it was cancelled: the slot is the next one's.
            self._release_waiter()
            raise

    async def _get(self, key: ConnectionKey, traces: Traces) -> Connection | None:  # noqa: ARG002 - aiohttp's
        """Last in, first out: the connections that were used last are the least likely to be dead."""
        idle = self._conns.get(key)
        if isinstance(key, FreshKey):
            if idle:
                idle.popleft()[0].close()
            return None
        oldest = time.monotonic() - self._keepalive_s
        while idle:
            connection, since = idle.pop()
            protocol = cast(WireProtocol, connection)
            if since >= oldest and protocol.is_clean():
                protocol.pooled = False
                self._acquired.add(protocol)
                self._acquired_per_host[key].add(protocol)
                return Connection(self, key, protocol, self._loop)
            protocol.close()
        self._conns.pop(key, None)
        return None

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        super()._release(key, protocol, should_close=should_close)
        if isinstance(protocol, WireProtocol):
            protocol.pooled = protocol.is_connected()
