"""Listens on one socket and keeps account of its connections: how many there may be, and how long each."""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from adapters.http.server.acceptor import Acceptor
from adapters.http.server.connection import Connection
from adapters.http.server.limits import FAREWELL_S, GRACE_S
from application.ports import RequestLog

_LOOK_EVERY_S = 1.0
_SETTLE_S = 0.05
"""When it stops: for requests that have come already, on connections that would be closed as idle."""

_NEVER = float("inf")

_LOOKED_AT = 32
"""How many idle connections are looked at for one that can be closed (nginx's `ngx_drain_connections`)."""


class HttpServer:
    """`Host` for its connections, `Owner` of those that wait. Needs a running loop."""

    def __init__(
        self,
        app: Any,
        log: RequestLog,
        sock: socket.socket,
        max_connections: int,
        free_a_file: Callable[[], bool] | None = None,
    ) -> None:
        """`sock`: bound, and not listening yet. At `max_connections` the one that has been idle for longest makes room;
        while none is idle no more are taken: they wait in the backlog.

        `free_a_file` closes something elsewhere that is not needed now, and says whether it did; called when the system
        has no file left for a connection. None = there is nothing elsewhere.
        """
        self.app = app
        self.loop = asyncio.get_running_loop()
        self.is_draining = False
        self.running: set[Connection] = set()
        self.idle: OrderedDict[Connection, None] = OrderedDict()
        self._log = log
        self._max_connections = max_connections
        self._free_elsewhere = free_a_file
        self._connections: set[Connection] = set()
        self._acceptor = Acceptor(self, sock, lambda: Connection(self), self.loop)
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, backlog: int) -> None:
        """Take connections from here on. `backlog`: how many may wait for it."""
        self._acceptor.listen(backlog)
        self._look()

    async def stop(self) -> None:
        """Take no more connections, and return when those there are have had their answers."""
        self.is_draining = True
        known = tuple(self._connections)
        self._acceptor.close()
        if self._acceptor.arriving:
            await asyncio.wait(self._acceptor.arriving)
        await asyncio.sleep(_SETTLE_S)
        for connection in known:
            connection.drain()
        while self._connections or self.running:
            self._changed.clear()
            await self._changed.wait()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now = self.loop.time()
        self._timer = self.loop.call_later(_LOOK_EVERY_S, self._look)
        for connection in [each for each in self._connections if each.deadline <= now]:
            connection.expire()

    # What connections tell us.

    def opened(self, connection: Connection) -> None:
        """See `Host`."""
        self._connections.add(connection)
        self.idle[connection] = None
        if self.is_draining:
            connection.deadline = self.loop.time() + FAREWELL_S
        self._acceptor.resume()

    def rests(self, connection: Connection) -> None:
        """See `Host`."""
        self.idle[connection] = None
        self._acceptor.resume()

    def left(self, connection: Connection) -> None:
        """See `Host`."""
        self._connections.discard(connection)
        self.idle.pop(connection, None)
        self._changed.set()
        self._acceptor.resume()

    def crashed(self, error: Exception) -> None:
        """See `Host`."""
        self._log.crashed("", error)

    # What the acceptor asks.

    def wait_s(self) -> float:
        """See `Owner`."""
        if not self._is_full:
            return 0.0
        longest = None if self.is_draining else self._longest_idle()
        return _NEVER if longest is None else longest.idle_since + GRACE_S - self.loop.time()

    def taken(self) -> None:
        """See `Owner`."""
        if self._is_full:
            self._close_longest_idle()

    def free_a_file(self) -> bool:
        """See `Owner`."""
        return (self._free_elsewhere is not None and self._free_elsewhere()) or self._close_longest_idle()

    def ran_out(self, error: OSError) -> None:
        """See `Owner`."""
        self._log.crashed("", error)

    @property
    def _is_full(self) -> bool:
        return len(self._connections) + len(self._acceptor.arriving) >= self._max_connections

    def _longest_idle(self) -> Connection | None:
        for _ in range(min(len(self.idle), _LOOKED_AT)):
            connection = next(iter(self.idle))
            if connection.can_give_way:
                return connection
            self.idle.move_to_end(connection)
        return None

    def _close_longest_idle(self) -> bool:
        connection = self._longest_idle()
        if connection is None or connection.idle_since + GRACE_S > self.loop.time():
            return False
        del self.idle[connection]
        self._connections.discard(connection)
        connection.give_way()
        return True
