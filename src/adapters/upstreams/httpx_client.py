"""The upstream adapter on httpx: calls become `httpx.Request`s, library exceptions become failures."""

import asyncio
import ssl
from typing import cast

import httpx

from adapters.upstreams.aiohttp_body import BodyStream
from adapters.upstreams.aiohttp_connections import waited_for_slot
from adapters.upstreams.aiohttp_transport import WireTransport
from adapters.upstreams.aiohttp_upload import Outgoing
from adapters.upstreams.outbound.proxies import OutboundProxies, UnusableProxy
from adapters.upstreams.transport_errors import LIBRARY_ERRORS, failure_of
from application.flow import Take, pulled
from application.messages import Headers, UpstreamCall
from application.ports import UpstreamFailed
from domain.failure import Failure, FailureKind
from domain.remembered import Remembered

_MAX_REPLY_HEADER_BYTES = 64 * 1024
_UNUSABLE_PROXY = Failure(FailureKind.MISCONFIGURED, "outbound proxy cannot be used")
_NO_SLOT = Failure(FailureKind.LOCAL, "all max_connections to this host are in use")


class HttpxReply:
    """A reply whose headers have come; its body is still on the wire."""

    __slots__ = ("_body", "headers", "status")

    def __init__(self, response: httpx.Response) -> None:
        self._body = cast(BodyStream, response.stream)
        self.status = response.status_code
        self.headers: Headers = tuple(
            (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers.raw
        )

    async def receive(self) -> bytes:
        """See `UpstreamReply.receive`. Cancelled, it cuts the connection."""
        try:
            return await self._body.receive()
        except LIBRARY_ERRORS as exc:
            raise UpstreamFailed(failure_of(exc)) from exc

    async def flow(self, take: Take) -> bool:
        """See `UpstreamReply.flow`."""
        return await pulled(self.receive, take)

    def close(self) -> None:
        """See `UpstreamReply.close`."""
        self._body.close()


class HttpxUpstream:
    """`Upstream` on httpx, over a transport on aiohttp's connections.

    httpx's own transport keeps a slot for a call that is cancelled while it waits for one (httpcore#1093) and did not
    get through 500 concurrent slow calls. httpx's client is left out, too: no header, cookie, redirect, environment
    or netrc entry of its own can slip in.
    """

    def __init__(
        self,
        *,
        max_connections: int = 1000,
        ssl_context: ssl.SSLContext | None = None,
        outbound_proxy: str | None = None,
        trust_env: bool = False,
        keepalive_s: float = 30.0,
        max_reply_header_bytes: int = _MAX_REPLY_HEADER_BYTES,
    ) -> None:
        """Does no network I/O and needs no running loop.

        `max_connections` is per origin; more calls wait for a slot. `ssl_context` None = the system's roots.
        `outbound_proxy` is the URL of an HTTP proxy for all calls that do not name another, with credentials if it
        wants them; None = none, or with `trust_env` what `EnvironmentProxies` says. Idle connections are kept for
        `keepalive_s` seconds.
        """
        self._transport = WireTransport(
            max_connections=max_connections,
            ssl_context=ssl_context or ssl.create_default_context(),
            proxies=OutboundProxies(outbound_proxy, trust_env=trust_env),
            keepalive_s=keepalive_s,
            max_head_bytes=max_reply_header_bytes,
        )

    async def send(self, call: UpstreamCall) -> HttpxReply:
        """See `Upstream.send`. Waiting for a slot counts into `first_byte_timeout_s` only."""
        waited_for_slot.set(False)
        try:
            async with asyncio.timeout(call.first_byte_timeout_s) as deadline:
                response = await self._transport.handle_async_request(_request(call, deadline))
        except UnusableProxy:
            raise UpstreamFailed(_UNUSABLE_PROXY) from None
        except LIBRARY_ERRORS as exc:
            if isinstance(exc, TimeoutError) and waited_for_slot.get():
                raise UpstreamFailed(_NO_SLOT) from exc
            raise UpstreamFailed(failure_of(exc)) from exc
        return HttpxReply(response)

    async def close(self) -> None:
        """See `Upstream.close`."""
        await self._transport.aclose()


def _request(call: UpstreamCall, deadline: asyncio.Timeout) -> httpx.Request:
    origin, target = _splits[call.url]
    extensions: dict[str, object] = {
        "target": target,
        "timeout": {"connect": call.connect_timeout_s, "read": call.idle_timeout_s},
        "outbound_proxy": call.outbound_proxy,
    }
    content = b""
    if isinstance(call.body, bytes):
        content = call.body
    elif isinstance(call.body, tuple):
        content = b"".join(call.body)
    else:
        extensions["upload"] = Outgoing(call.body, call.idle_timeout_s, call.first_byte_timeout_s, deadline)
    return httpx.Request(
        call.method,
        origin,
        headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in call.headers],
        content=content,
        extensions=extensions,
    )


def _split(url: str) -> tuple[httpx.URL, bytes]:
    """The origin, and the target exactly as it stands in the URL."""
    scheme, _, rest = url.partition("://")
    authority_end = min((i for i in map(rest.find, "/?#") if i >= 0), default=len(rest))
    target = rest[authority_end:].partition("#")[0]
    if not target.startswith("/"):
        target = "/" + target
    return httpx.URL(f"{scheme}://{rest[:authority_end]}/"), target.encode("latin-1")


_splits = Remembered(_split, most=256, longest=512)
