"""Listens on one socket and keeps account of its connections: how many there may be, and how long each."""

import asyncio
import contextlib
import socket
from typing import Any

from adapters.http.server.connection import FAREWELL_S, Connection
from application.errors import InvalidRequest
from application.ports import RequestLog, RequestRecord

_LOOK_EVERY_S = 1.0
_SETTLE_S = 0.05
"""When it stops: for requests that have come already, on connections that would be closed as idle."""


class HttpServer:
    """`Host` for its connections. Needs a running loop."""

    def __init__(self, app: Any, log: RequestLog, sock: socket.socket, max_connections: int) -> None:
        """`sock`: bound, and not listening yet. At `max_connections` no more are taken: they wait in its backlog."""
        self.app = app
        self.loop = asyncio.get_running_loop()
        self.is_draining = False
        self.running: set[Connection] = set()
        self._log = log
        self._sock = sock
        self._max_connections = max_connections
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, backlog: int) -> None:
        """Take connections from here on. `backlog`: how many may wait for it."""
        self._backlog = backlog
        await self._listen()
        self._look()

    async def _listen(self) -> None:
        # Closing a server closes its socket; of a copy, the connections that wait are not lost.
        self._server = await self.loop.create_server(
            lambda: Connection(self), sock=self._sock.dup(), backlog=self._backlog
        )

    async def stop(self) -> None:
        """Take no more connections, and return when those there are have had their answers."""
        self.is_draining = True
        self._changed.set()
        if self._reopening is not None:
            await self._reopening
        if self._server is not None:
            self._server.close()
        known = tuple(self._connections)
        waiting = self._waiting()
        self._sock.close()
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
        with contextlib.suppress(OSError):  # no more, or no files left
            self._sock.setblocking(False)
            while len(self._connections) + len(found) < self._max_connections:
                found.append(self._sock.accept()[0])
        return found

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
        if self._server is not None and len(self._connections) >= self._max_connections:
            self._server.close()
            self._server = None

    def left(self, connection: Connection) -> None:
        """See `Host`."""
        self._connections.discard(connection)
        self._changed.set()
        if self._server is None and self._reopening is None and not self.is_draining:
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
        while self._server is None and not self.is_draining:
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
