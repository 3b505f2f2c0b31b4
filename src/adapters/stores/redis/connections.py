"""Connections of redis-py, with names resolved in threads of our own and one TLS context for all."""

import asyncio
import ssl
from typing import Any

from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.sentinel import SentinelManagedConnection

from adapters.stores.redis.resolver import RedisResolver


class NamedConnection(Connection):
    """Connects to one address of its host after the other, all of it within `socket_connect_timeout`."""

    def __init__(self, *, names: RedisResolver, **options: Any) -> None:
        super().__init__(**options)
        self._names = names
        self._address = ""

    def _connection_arguments(self) -> dict[str, Any]:
        arguments = dict(super()._connection_arguments()) | {"host": self._address}
        if "ssl" in arguments:
            # For SNI, and what the certificate is checked against.
            arguments["server_hostname"] = self.host
        return arguments

    async def _connect(self) -> None:
        async with asyncio.timeout(self.socket_connect_timeout):
            *first, last = await self._names.addresses(self.host)
            for address in first:
                try:
                    return await self._connect_to(address)
                except ssl.SSLError:
                    raise
                except OSError:
                    continue
            return await self._connect_to(last)

    async def _connect_to(self, address: str) -> None:
        self._address = address
        try:
            await super()._connect()  # type: ignore[no-untyped-call]
        except BaseException:
            # Cancelled as well: that is how an operation's time ends.
            self._names.failed(address)
            raise
        self._names.met(address)


class TlsConnection(NamedConnection, SSLConnection):
    """Over TLS with a context all connections share: each would read the system's roots anew, for milliseconds."""

    def __init__(self, *, tls: ssl.SSLContext, **options: Any) -> None:
        super().__init__(ssl_cert_reqs="required", ssl_check_hostname=True, **options)
        self.ssl_context.context = tls


class SentinelConnection(SentinelManagedConnection, NamedConnection):
    """To the master the Sentinels name."""


class SentinelTlsConnection(SentinelManagedConnection, TlsConnection):
    """The same, over TLS."""
