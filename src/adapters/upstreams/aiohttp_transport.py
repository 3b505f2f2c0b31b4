"""An httpx transport over aiohttp that sends exactly what it is given.

aiohttp is a client for applications: it quotes URLs again, adds headers of its own and retries by method; the transport
of httpx-aiohttp names errors wrongly and lets none of that be turned off. What is overridden here says so.
"""

import asyncio
import re
import ssl
from typing import cast

import aiohttp
import httpx
import yarl
from aiohttp.client_middlewares import ClientHandlerType
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http_writer import StreamWriter
from httpx_aiohttp import AiohttpTransport

from adapters.upstreams.aiohttp_body import BodyStream
from adapters.upstreams.aiohttp_connections import FreshKey, WireConnector, WireProtocol
from adapters.upstreams.aiohttp_upload import Outgoing
from adapters.upstreams.outbound.proxies import OutboundProxies
from adapters.upstreams.transport_errors import SpokeFirst, SwitchedProtocols
from domain.remembered import Remembered

_READ_BUFFER_BYTES = 64 * 1024
"""aiohttp stops reading from the socket when twice this much waits for the reader."""

_JOIN_BYTES = 64 * 1024
"""Bodies up to this size go out in one write with the headers; copying larger ones costs more than a system call."""

_MAX_HEADERS = 256

_RACE_S = 1.0
"""How soon after the request the loss of a pooled connection is taken for a crossing with its close."""

_REFUSES = re.compile(rb"HTTP/1\.[01] [45][0-9]{2}")

_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})
_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection"})
"""Headers that are this side's own affair; the caller's are not sent."""


class WireRequest(aiohttp.ClientRequest):
    """A request that goes out as it was given, with `host` and the body's framing and nothing else."""

    content = b""
    outgoing: Outgoing | None = None
    protocol: WireProtocol | None = None
    fresh = False

    def update_auto_headers(self, skip_auto_headers: object) -> None:
        """None are added."""

    def update_transfer_encoding(self) -> None:
        """That is settled with the body."""

    def update_body_from_data(self, body: bytes | Outgoing | None, _stacklevel: int = 3) -> None:
        """Keep the bytes, to be sent again if need be. `content-length: 0` only where RFC 9110 8.6 asks for it."""
        if isinstance(body, Outgoing):
            self.outgoing = body
            if body.upload.length is None:
                self.headers["transfer-encoding"] = "chunked"
            else:
                self.headers["content-length"] = str(body.upload.length)
            return
        self.content = body or b""
        if self.content or self.method in _BODY_METHODS:
            self.headers["content-length"] = str(len(self.content))

    @property
    def connection_key(self) -> ConnectionKey:
        key = super().connection_key
        return FreshKey(*key) if self.fresh else key

    def _head(self) -> bytes:
        """The request line and headers in the encoding they came in (aiohttp writes UTF-8)."""
        target = str(self.url) if self.proxy and not self.is_ssl() else self.url.raw_path
        lines = [f"{self.method} {target} HTTP/1.1", *[f"{k}: {v}" for k, v in self.headers.items()], "", ""]
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1 or "\0" in head:
            raise ValueError("a header or the URL of an upstream call holds a control character")
        return head.encode("latin-1")

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Hand everything to the transport, an upload piece by piece: no task writes, so none can outlive the call."""
        protocol = cast(WireProtocol, conn.protocol)
        self.protocol = protocol
        if not protocol.requests:
            await _hear_out(protocol)
        protocol.start_request()
        transport = protocol.transport
        if transport is None or transport.is_closing():
            raise aiohttp.ClientConnectionResetError("connection lost")
        head = self._head()
        if len(self.content) <= _JOIN_BYTES:
            transport.write(head + self.content)
        else:
            transport.write(head)
            transport.write(self.content)
        if self.outgoing is not None:
            await self.outgoing.send(protocol)
        self.response = self.response_class(
            self.method,
            self.original_url,
            writer=None,
            continue100=None,
            timer=self._timer,
            request_info=self.request_info,
            traces=self._traces,
            loop=self.loop,
            session=self._session,
            stream_writer=StreamWriter(protocol, self.loop),
        )
        return self.response


async def _hear_out(protocol: WireProtocol) -> None:
    """What was said before anything was asked is no answer, but may be an error: a server may refuse whatever comes.
    The loop reads in this time what has come by now."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if protocol.received and not _REFUSES.match(protocol.unasked):
        protocol.abort()
        raise SpokeFirst


async def replace_dead_connection(req: aiohttp.ClientRequest, send: ClientHandlerType) -> aiohttp.ClientResponse:
    """Send again, once and on a fresh connection, what a pooled connection lost before a byte of the reply came.

    A server may close an idle connection at any time, also while a request is on its way (RFC 9112 9.3.1). That shows
    at once: a connection that is lost later was lost by a server that had begun to work on the request.
    """
    request = cast(WireRequest, req)
    began = request.loop.time()
    try:
        return await send(request)
    except (OSError, aiohttp.ServerDisconnectedError):
        used = request.protocol
        late = request.loop.time() - began > _RACE_S
        is_read = request.outgoing is not None and request.outgoing.upload.begun
        if used is None or used.requests < 2 or used.received or late or is_read:
            raise
    request.fresh = True
    request.protocol = None
    return await send(request)


def _address(of: tuple[httpx.URL, bytes]) -> yarl.URL:
    """Where to connect and what to ask for. The query stays in the path: yarl would drop an empty one."""
    url, target = of
    if (url.port or 0) > 65_535:
        raise httpx.InvalidURL("port out of range")
    return yarl.URL.build(
        scheme=url.scheme, authority=url.netloc.decode("latin-1"), path=target.decode("latin-1"), encoded=True
    )


_addresses = Remembered(_address, most=256, longest=512, size=lambda of: len(of[1]))


class WireTransport(AiohttpTransport):
    """Sends `httpx.Request`s; takes the target from httpx's extension `target` and times from `timeout`. A body that is
    not held comes as the extension `upload`, an `Outgoing`; `outbound_proxy` is that of the `UpstreamCall`.

    `timeout`: `connect` covers name, TCP, proxy and TLS; `read` is the longest silence in the body; both in seconds.
    Raises the exceptions of aiohttp as they are. Opens its session in the running loop with the first request.
    """

    def __init__(
        self,
        *,
        max_connections: int,
        ssl_context: ssl.SSLContext,
        proxies: OutboundProxies,
        keepalive_s: float,
        max_head_bytes: int,
    ) -> None:
        super().__init__(verify=ssl_context, trust_env=False, client=self._open_session)
        self._max_connections = max_connections
        self._keepalive_s = keepalive_s
        self._max_head_bytes = max_head_bytes
        self._proxies = proxies
        self._ways: dict[tuple[str, bytes, str | None], str | None] = {}

    def _open_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=WireConnector(self._max_connections, self._keepalive_s, self.ssl_context, self._max_head_bytes),
            request_class=WireRequest,
            middlewares=(replace_dead_connection,),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=_READ_BUFFER_BYTES,
            max_line_size=self._max_head_bytes,
            max_field_size=self._max_head_bytes,
            max_headers=_MAX_HEADERS,
        )

    def _proxy_for(self, url: httpx.URL, own: str | None) -> str | None:
        way = (url.scheme, url.netloc, own)
        if way not in self._ways:
            is_tls = url.scheme == "https"
            proxy = self._proxies.between(own, is_tls=is_tls, host=url.host, port=url.port or (443 if is_tls else 80))
            self._ways[way] = None if proxy is None else proxy.url
        return self._ways[way]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and come back with the headers of the final reply."""
        if not isinstance(self.client, aiohttp.ClientSession):
            self.client = self.get_client()
            # Its own retries go by method, and do not see to it that the second connection is fresh.
            self.client._retry_connection = False
        times = request.extensions["timeout"]
        reply = await self.client.request(
            request.method,
            _addresses[request.url, request.extensions["target"]],
            headers=[
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in request.headers.raw
                if name.lower() not in _FRAMING
            ],
            data=request.extensions.get("upload") or request.content,
            proxy=self._proxy_for(request.url, request.extensions["outbound_proxy"]),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(sock_connect=times["connect"]),
        )
        if reply.status < 200:
            reply.close()
            raise SwitchedProtocols
        return httpx.Response(reply.status, headers=reply.raw_headers, stream=BodyStream(reply, times["read"]))
