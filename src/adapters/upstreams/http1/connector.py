"""How a connection is opened: name, TCP, the outbound proxy's tunnel, TLS. Cancelled, it leaves nothing behind."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Literal, cast

from adapters.unread import has_unread
from adapters.upstreams.http1 import failures
from adapters.upstreams.http1.connection import Connection
from adapters.upstreams.http1.request import Origin
from adapters.upstreams.http1.resolver import Names, first_to_answer
from adapters.upstreams.outbound.never_called import NeverCalled
from adapters.upstreams.outbound.proxies import OutboundProxies, OutboundProxy, UnusableProxy
from application.ports import UpstreamFailed
from domain.failure import Failure, FailureKind

Stage = Literal["dns", "tcp", "tunnel", "tls"]  # what a connection is made of; a tunnel is an outbound proxy's
_HANDSHAKE_S = 3600.0  # the call's own deadline comes first
_MOST_SESSIONS = 256  # of different names


class Connecting:
    def __init__(
        self,
        ssl_context: ssl.SSLContext,
        proxies: OutboundProxies,
        max_head_bytes: int,
        on_stage: Callable[[Stage], None] | None = None,
    ) -> None:
        """`on_stage` is told each stage of a new connection when it is over; None = nobody wants to know."""
        self._ssl_context = ssl_context
        self._proxies = proxies
        self._max_head_bytes = max_head_bytes
        self._on_stage = on_stage
        self._names = Names()
        self._sessions: dict[str, ssl.SSLSession] = {}  # the last one of each name, for this context
        ssl_context.sslobject_class = _resuming(self._sessions)

    def proxy_for(self, origin: Origin, own: str | None) -> OutboundProxy | None:
        """What is between here and there; None = nothing. Raises `UpstreamFailed`. `own`: see `UpstreamCall`."""
        try:
            return self._proxies.between(own, is_tls=origin.is_tls, host=origin.host, port=origin.port)
        except UnusableProxy:
            raise UpstreamFailed(failures.UNUSABLE_PROXY) from None

    async def open(self, origin: Origin, proxy: OutboundProxy | None) -> Connection:
        """A connection on which a request can be sent. Raises `UpstreamFailed`."""
        first = origin if proxy is None else Origin(False, proxy.host, proxy.port)
        addresses = await self._addresses(first, to_proxy=proxy is not None)
        self._reached("dns")
        try:
            connection = await self._tcp(first, addresses, to_proxy=proxy is not None)
            self._reached("tcp")
            try:
                if origin.is_tls:
                    if proxy is not None:
                        await self._tunnel(connection, origin, proxy)
                        self._reached("tunnel")
                    await self._tls(connection, origin)
                    self._reached("tls")
                await _heard_out(connection, is_tls=origin.is_tls)
            except BaseException:
                connection.abort()
                raise
        except BaseException:
            # Not reached there, or not in time: the name may point elsewhere by now.
            self._names.forget(first.host, addresses)
            raise
        return connection

    def _reached(self, stage: Stage) -> None:
        if self._on_stage is not None:
            self._on_stage(stage)

    async def _addresses(self, origin: Origin, *, to_proxy: bool) -> list[str]:
        try:
            return await self._names.addresses(origin.host)
        except UnicodeError:  # a name too long for any encoding of names
            raise UpstreamFailed(failures.BAD_URL) from None
        except NeverCalled as refused:
            refused.is_proxy = to_proxy
            raise UpstreamFailed(refused.failure) from None
        except OSError as error:
            raise UpstreamFailed(failures.not_connected(error, to_proxy)) from error

    async def _tcp(self, origin: Origin, addresses: list[str], *, to_proxy: bool) -> Connection:
        loop = asyncio.get_running_loop()

        async def connect(address: str) -> Connection:
            # By address: a socket of ours would be closed twice by uvloop, the second time when its number is reused.
            connection = Connection(loop, self._max_head_bytes)
            await loop.create_connection(lambda: connection, address, origin.port)
            return connection

        try:
            return await first_to_answer(addresses, connect, Connection.abort)
        except OSError as error:
            raise UpstreamFailed(failures.not_connected(error, to_proxy)) from error

    async def _tunnel(self, connection: Connection, origin: Origin, proxy: OutboundProxy) -> None:
        """RFC 9110 section 9.3.6."""
        lines = [f"CONNECT {origin.address} HTTP/1.1", f"host: {origin.address}"]
        if proxy.authorization:
            lines.append(f"proxy-authorization: {proxy.authorization}")
        reply = connection.start(0.0, float("inf"), has_body=False)
        try:
            if connection.transport is not None:
                connection.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
            while not reply.status:
                await reply.news()
        except UpstreamFailed as failed:
            words = failed.failure.reason
            is_silent = failed.failure in (failures.UNANSWERED,) or failed.failure.kind is not FailureKind.RESET
            failure = failures.PROXY_FAILED if is_silent else Failure(FailureKind.CONNECT, f"outbound proxy: {words}")
            raise UpstreamFailed(failure) from failed
        if reply.status >= 300:
            raise UpstreamFailed(failures.PROXY_REFUSED)
        connection.exchanges = 0

    async def _tls(self, connection: Connection, origin: Origin) -> None:
        plain = connection.transport
        if plain is None or plain.is_closing() or connection.was_spoken_to:
            raise UpstreamFailed(Failure(FailureKind.TLS, "TLS failed"))
        try:
            encrypted = await asyncio.get_running_loop().start_tls(
                plain,
                connection,
                self._ssl_context,
                server_hostname=origin.host.rstrip("."),
                ssl_handshake_timeout=_HANDSHAKE_S,
            )
        except OSError as error:
            raise UpstreamFailed(failures.no_handshake(error)) from error
        connection.transport = cast("asyncio.Transport", encrypted)

    def keep_session(self, connection: Connection) -> None:
        """Keep the TLS session of a connection that works for the next one; tickets come with the first reply."""
        tls = connection.transport and connection.transport.get_extra_info("ssl_object")
        name, session = getattr(tls, "server_hostname", None), getattr(tls, "session", None)
        has_place = name in self._sessions or len(self._sessions) < _MOST_SESSIONS
        if name and session is not None and session.has_ticket and has_place:
            self._sessions[name] = session

    def close(self) -> None:
        self._names.close()


async def _heard_out(connection: Connection, *, is_tls: bool) -> None:
    """What was said before anything was asked is no answer: the loop reads in this time what has come by now.

    Mostly nothing has, and to ask costs less than to let the loop turn. Over TLS the server has yet to read our part of
    the handshake before it can say anything.
    """
    transport = connection.transport
    if is_tls or (transport is not None and has_unread(transport)):
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def _resuming(sessions: Mapping[str, ssl.SSLSession]) -> type[ssl.SSLObject]:
    """TLS objects that take up the last session of their name again: a new connection to a known server costs less then
    (RFC 8446 section 2.2).

    asyncio leaves no place for a session, but it makes its TLS objects through the context
    (`SSLContext.sslobject_class`), and an object takes a session up to the moment its handshake begins.
    """

    class Resuming(ssl.SSLObject):
        has_begun = False

        def do_handshake(self) -> None:
            if not self.has_begun:
                self.has_begun = True
                known = sessions.get(self.server_hostname or "")
                if known is not None:
                    self.session = known
            super().do_handshake()

    return Resuming
