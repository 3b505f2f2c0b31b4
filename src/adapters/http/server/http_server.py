"""Listens on its sockets and keeps account of its connections: how many there may be, and how long each."""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from typing import Any

from adapters.http.server.connection import FAREWELL_S, Connection
from application.errors import InvalidRequest
from application.ports import RequestLog, RequestRecord

_LOOK_EVERY_S = 1.0
_SETTLE_S = 0.05
"""When it stops: for requests that have come already, on connections that would be closed as idle."""


class HttpServer:
    """`Host` for its connections. Needs a running loop."""

    def __init__(
        self,
        app: Any,
        log: RequestLog,
        sock: socket.socket,
        max_connections: int,
        others: Sequence[socket.socket] = (),
    ) -> None:
        """`sock` and `others`: bound, and not listening yet; one for each address.

        At `max_connections` no more are taken: they wait in the backlog.
        """
        self.app = app
        self.loop = asyncio.get_running_loop()
        self.is_draining = False
        self.running: set[Connection] = set()
        self._log = log
        self._socks = (sock, *others)
        self._max_connections = max_connections
        self._connections: set[Connection] = set()
        self._servers: list[asyncio.Server] = []
        """One for each socket; none = no connections are taken."""
        self._is_opening = False
        self._reopening: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, backlog: int) -> None:
        """Take connections from here on. `backlog`: how many may wait for it."""
        self._backlog = backlog
        await self._listen()
        self._look()

    async def _listen(self) -> None:
        self._is_opening = True
        servers: list[asyncio.Server] = []
        try:
            for sock in self._socks:
                # Closing a server closes its socket; of a copy, the connections that wait are not lost.
                copy = sock.dup()
                _take_connections(copy, self._backlog)
                servers.append(
                    await self.loop.create_server(lambda: Connection(self), sock=copy, backlog=self._backlog)
                )
            # asyncio drops a connection whose server is closed between taking it and telling us: give it the time.
            for _ in range(3):
                await asyncio.sleep(0)
        except OSError:
            for server in servers:
                server.close()
            raise
        finally:
            self._is_opening = False
        self._servers = servers
        if len(self._connections) >= self._max_connections:  # some were taken before all were open
            self._close()

    async def stop(self) -> None:
        """Take no more connections, and return when those there are have had their answers."""
        self.is_draining = True
        self._changed.set()
        if self._reopening is not None:
            await self._reopening
        self._close()
        known = tuple(self._connections)
        waiting = self._waiting()
        for sock in self._socks:
            sock.close()
        for sock in waiting:
            await self.loop.connect_accepted_socket(lambda: Connection(self), sock)
        await asyncio.sleep(_SETTLE_S)
        for connection in known:
            connection.drain()
        while self._connections or self.running:
            self._changed.clear()
            await self._changed.wait()
        if self._timer is not None:
            self._timer.cancel()

    def _waiting(self) -> list[socket.socket]:
        """Connections that the kernel has taken for us: closing the socket would reset them, and their requests."""
        found: list[socket.socket] = []
        for listening in self._socks:
            with contextlib.suppress(OSError):  # no more, or no files left
                listening.setblocking(False)
                while len(self._connections) + len(found) < self._max_connections:
                    found.append(listening.accept()[0])
        return found

    def _close(self) -> None:
        for server in self._servers:
            server.close()
        self._servers = []

    def _look(self) -> None:
        now = self.loop.time()
        self._timer = self.loop.call_later(_LOOK_EVERY_S, self._look)
        for connection in [each for each in self._connections if each.deadline <= now]:
            connection.expire()

    # What connections tell us.

    def opened(self, connection: Connection) -> None:
        """See `Host`."""
        self._connections.add(connection)
        if self.is_draining:
            connection.deadline = self.loop.time() + FAREWELL_S
        if self._servers and len(self._connections) >= self._max_connections:
            self._close()

    def left(self, connection: Connection) -> None:
        """See `Host`."""
        self._connections.discard(connection)
        self._changed.set()
        if not (self._servers or self._is_opening or self._reopening or self.is_draining):
            self._reopening = self.loop.create_task(self._reopen())

    def crashed(self, error: Exception) -> None:
        """See `Host`."""
        self._log.crashed("", error)

    def refused(self, error: InvalidRequest, address: str) -> None:
        """See `Host`."""
        outcome = error.code
        record = RequestRecord("", "", "", "", (), error.status, outcome, False, "bypass", 0.0, 0.0, 0.0, 0, 0, address)
        self._log.record(record)

    async def _reopen(self) -> None:
        while not self._servers and not self.is_draining:
            self._changed.clear()
            if len(self._connections) >= self._max_connections:
                await self._changed.wait()
                continue
            try:
                await self._listen()
            except OSError as error:  # no files left
                self._log.crashed("", error)
                await asyncio.sleep(_LOOK_EVERY_S)
        self._reopening = None


def _take_connections(sock: socket.socket, backlog: int) -> None:
    """Raises `OSError` where another program was faster: uvloop would say nothing, and serve nobody."""
    try:
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
