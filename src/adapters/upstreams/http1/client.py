"""The upstream adapter of our own: one write and one wait per call."""

import ssl
from collections.abc import Callable
from functools import partial

from adapters.upstreams.http1.connection import Connection
from adapters.upstreams.http1.connector import Connecting, Stage
from adapters.upstreams.http1.failures import LOST
from adapters.upstreams.http1.pool import Pool, Spare
from adapters.upstreams.http1.reply import Http1Reply
from adapters.upstreams.http1.request import Origin, head_of, target_of
from adapters.upstreams.http1.upload import Outgoing
from adapters.upstreams.outbound.proxies import OutboundProxies, OutboundProxy
from application.messages import Headers, UpstreamCall
from application.ports import UpstreamFailed

MAX_REPLY_HEADER_BYTES = 64 * 1024

_JOIN_BYTES = 64 * 1024  # up to this size a body is joined with the headers; copying more costs more than a system call

_RACE_S = 1.0  # how soon after the request the loss of a pooled connection is taken for a crossing with its close


class _Route:
    def __init__(self, pool: Pool, proxy: OutboundProxy | None) -> None:
        self.pool = pool
        self.is_relayed = proxy is not None
        self.added: Headers = ()
        if proxy is not None and proxy.authorization:
            self.added = (("proxy-authorization", proxy.authorization),)


class Http1Upstream:
    """`Upstream` on asyncio's transports and llhttp, with pools of its own."""

    def __init__(
        self,
        *,
        max_connections: int = 1000,
        ssl_context: ssl.SSLContext | None = None,
        outbound_proxy: str | None = None,
        trust_env: bool = False,
        keepalive_s: float = 30.0,
        max_idle: int | None = None,
        max_reply_header_bytes: int = MAX_REPLY_HEADER_BYTES,
        on_stage: Callable[[Stage], None] | None = None,
    ) -> None:
        """Does no network I/O and needs no running loop.

        `max_connections` is per origin; more calls wait for a slot. `ssl_context` None = the system's roots.
        `outbound_proxy` is the URL of an HTTP proxy for all calls that do not name another, with credentials if it
        wants them; None = none, or with `trust_env` what `EnvironmentProxies` says. Idle connections are kept for
        `keepalive_s` seconds, of all origins together no more than `max_idle`; None = a share of the files that this
        process may open. `on_stage` is told each stage of a new connection when it is over.
        """
        self._max_connections = max_connections
        self._keepalive_s = keepalive_s
        self._spare = Spare(max_idle)
        self.connecting = Connecting(
            ssl_context or ssl.create_default_context(),
            OutboundProxies(outbound_proxy, trust_env=trust_env),
            max_reply_header_bytes,
            on_stage,
        )
        """For whoever needs a connection to itself as well."""
        self._routes: dict[Origin | tuple[Origin, str], _Route] = {}  # by origin, and by the endpoint's own proxy
        self._is_closed = False

    async def send(self, call: UpstreamCall) -> Http1Reply:
        """See `Upstream.send`. Waiting for a slot counts into `first_byte_timeout_s` only."""
        body = call.body
        upload = None if isinstance(body, (bytes, tuple)) else body
        if upload is not None and upload.begun:
            raise ValueError("an upload cannot be sent a second time")
        target = target_of(call.url)
        own = call.outbound_proxy
        route = self._routes.get(target.origin if own is None else (target.origin, own))
        if route is None:
            route = self._route(target.origin, own)
        pool = route.pool
        is_whole_url = route.is_relayed and not target.origin.is_tls
        head = head_of(call, target.proxy_line if is_whole_url else target.line, route.added if is_whole_url else ())
        now = pool.now()
        deadline = now + call.first_byte_timeout_s
        connection = pool.take(now)
        if connection is None:
            connection = await pool.wait(deadline, call.connect_timeout_s)
            now = pool.now()
        while True:
            reply = _start(connection, call, head, deadline)
            try:
                if upload is not None and connection.is_open and not reply.is_settled:
                    await _upload(connection, call, Outgoing(upload, connection, call.idle_timeout_s))
                while not reply.status:
                    await reply.news()
            except UpstreamFailed:
                # A server may close an idle connection at any time, also while a request is on its way (RFC 9112
                # 9.3.1). That shows at once: one that is lost later was lost by a server that had begun to work on it.
                is_crossing = connection.exchanges > 1 and connection.was_lost_unanswered
                if not is_crossing or pool.now() - now > _RACE_S or (upload is not None and upload.begun):
                    raise
            except BaseException:
                reply.close()
                raise
            else:
                return reply
            connection = await pool.wait(deadline, call.connect_timeout_s, fresh=True)

    def _route(self, origin: Origin, own: str | None) -> _Route:
        if self._is_closed:
            raise UpstreamFailed(LOST)
        proxy = self.connecting.proxy_for(origin, own)
        pool = Pool(
            partial(self.connecting.open, origin, proxy),
            self._max_connections,
            self._keepalive_s,
            self._spare,
            self.connecting.keep_session if origin.is_tls else None,
        )
        route = self._routes[origin if own is None else (origin, own)] = _Route(pool, proxy)
        return route

    def free_a_file(self) -> bool:
        """Close the connection that has been idle for longest; False = none is idle."""
        return self._spare.close_longest_idle()

    async def close(self) -> None:
        self._is_closed = True
        for route in self._routes.values():
            route.pool.close()
        self.connecting.close()


def _start(connection: Connection, call: UpstreamCall, head: bytes, deadline: float) -> Http1Reply:
    """Send the request, all of it but for an upload. Its reply is what comes from here on."""
    reply = connection.start(call.idle_timeout_s, deadline, has_body=call.method != "HEAD")
    transport, body = connection.transport, call.body
    if transport is None or transport.is_closing() or reply.is_settled:
        return reply
    if isinstance(body, tuple):
        transport.writelines((head, *body))
    elif not isinstance(body, bytes):
        transport.write(head)
    elif len(body) <= _JOIN_BYTES:
        transport.write(head + body)
    else:
        transport.write(head)
        transport.write(body)
    return reply


async def _upload(connection: Connection, call: UpstreamCall, outgoing: Outgoing) -> None:
    """The time for the reply begins when all is sent."""
    connection.expect_head(float("inf"))
    try:
        await outgoing.send()
    except BaseException:
        connection.abort()
        raise
    connection.expect_head(connection.loop.time() + call.first_byte_timeout_s)
