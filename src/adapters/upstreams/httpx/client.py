"""The upstream adapter on httpx: a client of its own over http1, and over whatever transport is mounted beside it."""

import logging
from collections.abc import AsyncIterator, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from adapters.upstreams.http1.client import Http1Upstream
from adapters.upstreams.http1.failures import LOST
from adapters.upstreams.http1.request import BODY_METHODS, FRAMING, target_of
from adapters.upstreams.httpx.mounts import MountedTransport
from adapters.upstreams.httpx.transport import BODY, FIRST_BYTE_S, IDLE_S, OUTBOUND_PROXY, Body, Http1Transport
from adapters.upstreams.httpx.transport_errors import LIBRARY_ERRORS, failure_of
from application.flow import Take, TakeFramed, pulled
from application.messages import Headers, Pieces, Upload, UpstreamCall
from application.ports import UpstreamFailed
from domain.bounded_memo import remembered

_MOST_OF_A_URL = 65_536  # httpx takes no longer one


class HttpxReply:
    """A reply whose headers have come; its body is still on the wire."""

    __slots__ = ("_body", "headers", "status")

    def __init__(self, response: httpx.Response) -> None:
        self._body: Body = response.extensions[BODY]
        response.stream = self._body  # in place of httpx's own, which holds on to the response as that does to it
        self.status = response.status_code
        self.headers: Headers = tuple(
            [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers.raw]
        )

    def whole_now(self) -> None:
        """See `UpstreamReply.whole_now`: nobody knows."""

    async def receive(self) -> bytes:
        """See `UpstreamReply.receive`. Cancelled, it cuts the connection."""
        try:
            return await self._body.receive()
        except LIBRARY_ERRORS as error:
            raise UpstreamFailed(failure_of(error, in_body=True)) from error

    async def flow(self, take: Take, _: TakeFramed | None = None, /) -> bool:
        return await pulled(self.receive, take)

    def rest(self) -> None:
        self._body.rest()

    def close(self) -> None:
        self._body.close()


class HttpxUpstream:
    """`Upstream` on `httpx.AsyncClient`, which sends every request as it is given: no header, cookie, redirect,
    credential of a URL, environment or netrc entry of httpx's own slips in."""

    def __init__(self, *, mounts: Mapping[str, httpx.AsyncBaseTransport | None] | None = None, **http1: Any) -> None:
        """Does no network I/O and needs no running loop. `http1` is what `Http1Upstream` takes.

        `mounts` is httpx's: pattern of URLs (`all://*.example.com`) -> the transport for them, closed with this client;
        None in place of a transport = http1, as for whatever no pattern names. `outbound_proxy`, `ssl_context` and
        `max_connections` are http1's: a mounted transport has its own.
        """
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it would write down each request
        self._http1 = Http1Upstream(**http1)
        self.connecting = self._http1.connecting
        """See `Http1Upstream`."""
        self._client = httpx.AsyncClient(
            transport=Http1Transport(self._http1),
            mounts={pattern: each and MountedTransport(each) for pattern, each in (mounts or {}).items()},
            auth=httpx.Auth(),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            trust_env=False,
        )

    async def send(self, call: UpstreamCall) -> HttpxReply:
        """See `Upstream.send`. Waiting for a slot counts into `first_byte_timeout_s` only."""
        if self._client.is_closed:
            raise UpstreamFailed(LOST)
        try:
            response = await self._client.send(_request(call), stream=True)
        except LIBRARY_ERRORS as error:
            raise UpstreamFailed(failure_of(error)) from error
        return HttpxReply(response)

    def free_a_file(self) -> bool:
        return self._http1.free_a_file()

    async def close(self) -> None:
        await self._client.aclose()


class _Sent(httpx.AsyncByteStream):
    """An upload, for httpx. No generator: what is broken off leaves nothing to be closed."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._upload.read()
        if not piece:
            raise StopAsyncIteration
        return piece


def _request(call: UpstreamCall) -> httpx.Request:
    url, host, target = _address(call.url)
    headers = [(b"host", host)]
    headers += [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in call.headers if name.lower() not in FRAMING
    ]
    stream, length = _stream(call.body)
    if length is None:
        headers.append((b"transfer-encoding", b"chunked"))
    elif length or call.method in BODY_METHODS:
        headers.append((b"content-length", b"%d" % length))
    extensions: dict[str, Any] = {
        "target": target,
        "timeout": {"connect": call.connect_timeout_s, "write": call.idle_timeout_s},
        FIRST_BYTE_S: call.first_byte_timeout_s,
        IDLE_S: call.idle_timeout_s,
        OUTBOUND_PROXY: call.outbound_proxy,
    }
    return httpx.Request(call.method, url, headers=headers, stream=stream, extensions=extensions)


def _stream(body: bytes | Pieces | Upload) -> tuple[httpx.AsyncByteStream, int | None]:
    """A body for httpx and its size in bytes; None = that is not known."""
    if isinstance(body, bytes):
        return httpx.ByteStream(body), len(body)
    if isinstance(body, tuple):
        return httpx.ByteStream(b"".join(body)), sum(map(len, body))
    if body.begun:
        raise ValueError("an upload cannot be sent a second time")
    return _Sent(body), body.length


@remembered(most=256, longest=512)
def _address(url: str) -> tuple[httpx.URL, bytes, bytes]:
    """A URL for httpx, its `host`, and the target exactly as it stands there. Raises as `target_of` does."""
    target = target_of(url)
    asked = target.line.split(" ")[1]
    if len(url) > _MOST_OF_A_URL:
        url = f"{'https' if target.origin.is_tls else 'http'}://{target.origin.address}/"
    whole = httpx.URL(url)
    return whole, whole.netloc, asked.encode("latin-1")
