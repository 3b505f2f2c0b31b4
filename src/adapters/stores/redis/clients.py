"""A client of redis-py for each kind of Redis, with every option said: the defaults are not for a request's path.

What the defaults of redis-py 8 do: wait 5 s and try eleven times, nearly a minute for a Redis that is frozen; from
8.1.0 on hand out connections that the server has closed, unless maintenance notifications are off (redis-py#4260).
"""

import asyncio
import ssl
from typing import Any, TypeAlias

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import ConnectionPool, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from adapters.stores.redis.connections import NamedConnection, SentinelConnection, SentinelTlsConnection, TlsConnection
from adapters.stores.redis.resolver import RedisResolver
from adapters.stores.redis.settings import RedisSettings
from domain.secret import Secret

RedisClient: TypeAlias = Redis | RedisCluster
_Options: TypeAlias = dict[str, Any]

_SENTINEL_TIMEOUT_S = 0.1
_NO_NOTIFICATIONS = MaintNotificationsConfig(enabled=False)


class RedisLink:
    """A client with all that belongs to it. A cluster has a pool for each of its nodes, others have one."""

    client: RedisClient  # what operations are made of
    deadline_s: float  # when an operation is to be given up, in seconds from its begin
    contact_s: float  # how long a first contact may take in seconds, with finding out whom to speak with
    _pool: ConnectionPool

    async def renew(self) -> None:
        """Connections are closed once they are free: the next operation connects to whoever is the master by then."""
        await self._pool.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]
        await self._pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        await self.client.aclose()


def new_link(settings: RedisSettings, names: RedisResolver, *, op_timeout_s: float, max_connections: int) -> RedisLink:
    """A link to the Redis of `settings`, whose hosts' addresses `names` finds; connects to nothing yet.

    Nothing is tried again, but once in a cluster. The caller ends an operation after `deadline_s` by cancelling it, at
    which redis-py drops the connection. A timeout of redis-py's own as well would cost a GET a quarter more CPU; only a
    cluster has one, as its client has to learn which node does not answer.
    Raises `OSError` when the CA bundle cannot be read (`ssl.SSLError` is one).
    """
    options = _options(op_timeout_s)
    tcp: _Options = _TCP | {"connection_class": NamedConnection, "names": names}
    if settings.ssl:
        tcp |= {"connection_class": TlsConnection, "tls": _tls_context(settings)}
    if settings.kind == "cluster":
        return _ClusterLink(settings, options, tcp, max_connections)
    if settings.kind == "sentinel":
        return _SentinelLink(settings, options, tcp, max_connections)
    return _SingleLink(settings, options, tcp, max_connections)


class _SingleLink(RedisLink):
    def __init__(self, settings: RedisSettings, options: _Options, tcp: _Options, max_connections: int) -> None:
        options |= _login(settings.username, settings.password) | {"db": settings.db}
        if settings.unix_path is not None:
            place: _Options = {"connection_class": UnixDomainSocketConnection, "path": settings.unix_path}
        else:
            host, port = settings.nodes[0]
            place = tcp | {"host": host, "port": port}
        self._pool = _pool(max_connections, **options, **place)
        self.client = Redis.from_pool(self._pool)
        self.deadline_s = options["socket_connect_timeout"]
        self.contact_s = 3 * self.deadline_s


class _SentinelLink(RedisLink):
    """The master that Sentinels name; its reads go there, too."""

    def __init__(self, settings: RedisSettings, options: _Options, tcp: _Options, max_connections: int) -> None:
        login = _login(settings.sentinel_username, settings.sentinel_password)
        limits = {"socket_timeout": _SENTINEL_TIMEOUT_S, "socket_connect_timeout": _SENTINEL_TIMEOUT_S}
        self._sentinels = Sentinel((), sentinel_kwargs={})  # type: ignore[no-untyped-call]
        # Sentinel would build these without the shared TLS context.
        self._sentinels.sentinels = [
            Redis.from_pool(_pool(max_connections, host=host, port=port, **(options | limits | login | tcp)))
            for host, port in settings.nodes
        ]
        place = tcp | {"connection_class": SentinelTlsConnection if settings.ssl else SentinelConnection}
        self._pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
            settings.service,
            self._sentinels,
            max_connections=max_connections,
            maint_notifications_config=_NO_NOTIFICATIONS,
            db=settings.db,
            **(options | _login(settings.username, settings.password) | place),
        )
        self.client = Redis.from_pool(self._pool)
        # A Sentinel that is frozen costs two waits before the next is asked; the one that answers is asked first then.
        self.deadline_s = options["socket_connect_timeout"]
        self.contact_s = 3 * self.deadline_s + 2 * _SENTINEL_TIMEOUT_S * len(settings.nodes)

    async def close(self) -> None:
        await asyncio.gather(self.client.aclose(), self._sentinels.aclose(), return_exceptions=True)


class _ClusterLink(RedisLink):
    """A cluster, as found through some of its nodes. Slots that are not served do not keep the others from working."""

    def __init__(self, settings: RedisSettings, options: _Options, tcp: _Options, max_connections: int) -> None:
        # The library's nodes hand out connections the server has closed, so one further try is needed after a restart.
        wait_s = options["socket_connect_timeout"]
        options |= _login(settings.username, settings.password)
        options |= {"retry": Retry(NoBackoff(), 1), "socket_timeout": wait_s}
        self.client = cluster = RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in settings.nodes],
            require_full_coverage=False,
            dynamic_startup_nodes=True,
            max_connections=max_connections,
            maint_notifications_config=_NO_NOTIFICATIONS,
            **(options | _TCP),
        )
        # As the library's own mixin for maintenance notifications does: what later nodes get, and what these have.
        self._nodes = manager = cluster.nodes_manager
        manager.connection_kwargs.update(tcp)
        for node in manager.startup_nodes.values():
            node.connection_class = tcp["connection_class"]
            node.connection_kwargs.update({name: tcp[name] for name in ("names", "tls") if name in tcp})
        self.deadline_s = 2 * wait_s
        self.contact_s = (3 + 2 * len(settings.nodes)) * wait_s

    async def renew(self) -> None:
        for node in list(self._nodes.nodes_cache.values()):
            node.update_active_connections_for_reconnect()
            await node.disconnect_free_connections()

    async def close(self) -> None:
        """See `RedisLink`. The library's own does nothing after an error."""
        await self.client.aclose()
        for nodes in ("nodes_cache", "startup_nodes"):
            await self._nodes.aclose(nodes)


def _pool(max_connections: int, **options: Any) -> ConnectionPool:
    return ConnectionPool(max_connections=max_connections, maint_notifications_config=_NO_NOTIFICATIONS, **options)


def _options(op_timeout_s: float) -> _Options:
    return {
        "protocol": 2,
        "socket_timeout": None,
        "socket_connect_timeout": op_timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "health_check_interval": 0,
        "decode_responses": False,
        "encoding": "utf-8",
        "encoding_errors": "strict",
        "driver_info": None,  # no CLIENT SETINFO on each connection: a round trip, and a permission to ask for
        "client_name": None,
        "credential_provider": None,
    }


_TCP: _Options = {"socket_keepalive": True}  # the intervals stay redis-py's: 30 s idle, then 3 probes 5 s apart


def _login(username: str | None, password: Secret | None) -> _Options:
    return {"username": username, "password": None if password is None else password.reveal()}


def _tls_context(settings: RedisSettings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.ca_bundle is not None:
        context.load_verify_locations(settings.ca_bundle)
    return context
