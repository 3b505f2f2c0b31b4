"""Listens on its sockets and keeps account of its connections: how many there may be, and how long each."""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from adapters.http.server.acceptor import Acceptor
from adapters.http.server.connection import Connection
from adapters.http.server.limits import FAREWELL_S, GRACE_S
from application.errors import InvalidRequest
from application.ports import RequestLog, RequestRecord

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
        others: Sequence[socket.socket] = (),
        free_a_file: Callable[[], bool] | None = None,
    ) -> None:
        """`sock` and `others`: bound, and not listening yet; one for each address.

        At `max_connections` the one that has been idle for longest makes room; while none is idle no more are taken:
        they wait in the backlog.

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
        self._arriving: set[asyncio.Task[object]] = set()
        self._acceptors = [Acceptor(self, each, lambda: Connection(self), self._arriving) for each in (sock, *others)]
        self._is_waiting = False
        """Does an acceptor take no more until it is told to?"""
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, backlog: int) -> None:
        """Take connections from here on. `backlog`: how many may wait for it."""
        for acceptor in self._acceptors:
            acceptor.listen(backlog)
        self._look()

    async def stop(self) -> None:
        """Take no more connections, and return when those there are have had their answers."""
        self.is_draining = True
        known = tuple(self._connections)
        for acceptor in self._acceptors:
            acceptor.close()
        if self._arriving:
            await asyncio.wait(self._arriving)
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
        self._go_on()

    def rests(self, connection: Connection) -> None:
        """See `Host`."""
        self.idle[connection] = None
        self._go_on()

    def left(self, connection: Connection) -> None:
        """See `Host`."""
        self._connections.discard(connection)
        self.idle.pop(connection, None)
        self._changed.set()
        self._go_on()

    def crashed(self, error: Exception) -> None:
        """See `Host`."""
        self._log.crashed("", error)

    def refused(self, error: InvalidRequest, address: str) -> None:
        """See `Host`."""
        outcome = error.code
        record = RequestRecord("", "", "", "", (), error.status, outcome, False, "bypass", 0.0, 0.0, 0.0, 0, 0, address)
        self._log.record(record)

    # What an acceptor asks.

    def wait_s(self) -> float:
        """See `Owner`."""
        if not self._is_full:
            return 0.0
        self._is_waiting = True
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
        self._is_waiting = True
        self._log.crashed("", error)

    def arrived(self) -> None:
        """See `Owner`."""
        self._go_on()

    def _go_on(self) -> None:
        if self._is_waiting:
            self._is_waiting = False
            for acceptor in self._acceptors:
                acceptor.resume()

    @property
    def _is_full(self) -> bool:
        return len(self._connections) + len(self._arriving) >= self._max_connections

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
