"""http1 as a transport of httpx: what goes over the wire, and how it fails, is http1's affair.

Any `httpx.AsyncClient` works over it. What httpx has no name for goes by extensions. Of the request: `first_byte_s`,
`idle_s` and `outbound_proxy` as in `UpstreamCall`, beside httpx's own `target` and `timeout`; of the response: `body`.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx

from adapters.upstreams.http1.client import Http1Upstream
from application.messages import UpstreamCall
from application.ports import UpstreamFailed, UpstreamReply
from domain.failure import FailureKind

FIRST_BYTE_S, IDLE_S, OUTBOUND_PROXY, BODY = "first_byte_s", "idle_s", "outbound_proxy", "body"

_FOREVER_S = 10.0**8  # of a time-out that httpx was told not to have: three years

_ERRORS: dict[FailureKind, type[httpx.TransportError]] = {
    FailureKind.DNS: httpx.ConnectError,
    FailureKind.CONNECT: httpx.ConnectError,
    FailureKind.CONNECT_TIMEOUT: httpx.ConnectTimeout,
    FailureKind.TLS: httpx.ConnectError,
    FailureKind.LOCAL: httpx.PoolTimeout,
    FailureKind.MISCONFIGURED: httpx.UnsupportedProtocol,
    FailureKind.RESET: httpx.ReadError,
    FailureKind.FIRST_BYTE_TIMEOUT: httpx.ReadTimeout,
    FailureKind.IDLE_TIMEOUT: httpx.ReadTimeout,
    FailureKind.TRUNCATED: httpx.RemoteProtocolError,
    FailureKind.JUNK: httpx.RemoteProtocolError,
}


class Body(httpx.AsyncByteStream):
    """The body of a response. httpx wraps a response's stream in a generator, which can neither be closed without
    waiting nor be asked again after an error; so the stream itself comes along as the extension `body`."""

    async def receive(self) -> bytes:
        """The next piece; b"" = that was all. Raises `httpx.TransportError`. Cancelled, it cuts the connection."""
        raise NotImplementedError

    def rest(self) -> None:
        """See `UpstreamReply.rest`; a transport that reads nothing unasked has nothing to do."""

    def close(self) -> None:
        """Let go of the connection, at any time, more than once."""
        raise NotImplementedError

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.receive():
            yield piece

    async def aclose(self) -> None:
        self.close()


class PassedResponse(httpx.Response):
    """A response that is passed on as it came: a client reads the `location` of others, and fails where it is none."""

    @property
    def has_redirect_location(self) -> bool:
        return False


class Http1Transport(httpx.AsyncBaseTransport):
    """Sends each `httpx.Request` over http1. Whatever http1 raises as `UpstreamFailed` is raised as the exception that
    httpx has for it, whose `__cause__` is the `UpstreamFailed`."""

    def __init__(self, http1: Http1Upstream) -> None:
        self._http1 = http1

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            reply = await self._http1.send(_call(request))
        except UpstreamFailed as failed:
            raise _error(failed) from failed
        body = _Http1Body(reply)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
        return PassedResponse(reply.status, headers=headers, stream=body, extensions={BODY: body})

    async def aclose(self) -> None:
        await self._http1.close()


class _Http1Body(Body):
    def __init__(self, reply: UpstreamReply) -> None:
        self._reply = reply

    async def receive(self) -> bytes:
        try:
            return await self._reply.receive()
        except UpstreamFailed as failed:
            raise _error(failed) from failed

    def rest(self) -> None:
        self._reply.rest()

    def close(self) -> None:
        self._reply.close()


class _Streamed:
    """`Upload` of a request whose body comes in pieces."""

    def __init__(self, request: httpx.Request) -> None:
        length = request.headers.get("content-length", "")
        self.length = int(length) if length.isdecimal() else None
        self.begun = False
        self._pieces = aiter(request.stream)  # type: ignore[arg-type] # an asynchronous one, says httpx's client

    async def read(self) -> bytes:
        self.begun = True
        async for piece in self._pieces:
            if piece:
                return piece
        return b""


def _call(request: httpx.Request) -> UpstreamCall:
    url, extensions = request.url, request.extensions
    times: dict[str, Any] = extensions.get("timeout", {})
    target: bytes = extensions.get("target") or url.raw_path
    return UpstreamCall(
        request.method,
        f"{url.scheme}://{url.netloc.decode('ascii')}{target.decode('latin-1')}",
        tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]),
        request.read() if isinstance(request.stream, httpx.ByteStream) else _Streamed(request),
        times.get("connect") or _FOREVER_S,
        extensions.get(FIRST_BYTE_S) or times.get("read") or _FOREVER_S,
        extensions.get(IDLE_S) or times.get("read") or _FOREVER_S,
        extensions.get(OUTBOUND_PROXY),
    )


def _error(failed: UpstreamFailed) -> httpx.TransportError:
    return _ERRORS.get(failed.failure.kind, httpx.NetworkError)(failed.failure.reason)
