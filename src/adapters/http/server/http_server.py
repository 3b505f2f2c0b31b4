"""Listens on its sockets and keeps account of its connections: how many there may be, and how long each."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from operator import itemgetter

from adapters.http.server.acceptor import Acceptor
from adapters.http.server.client import Application, Guest
from adapters.http.server.connection import Connection
from adapters.http.server.error_body import status_of
from adapters.http.server.limits import FAREWELL_S, GRACE_S
from adapters.http.server.request.known_heads import KnownHeads
from application.errors import InvalidRequest
from application.held_bytes import HeldBytes
from application.telemetry_ports import RequestLog, RequestRecord

_LOOK_EVERY_S = 1.0
_LOOK_WHEN_STOPPING_S = 0.1
_RANK_EVERY_S = GRACE_S / 2
"""How often connections are ranked at most: those that have become idle since then are left alone anyway."""


class HttpServer:
    """`ServerContext` for its connections, `Owner` of those that wait. Needs a running loop."""

    def __init__(
        self,
        app: Application,
        log: RequestLog,
        sock: socket.socket,
        max_connections: int,
        others: Sequence[socket.socket] = (),
        free_a_file: Callable[[], bool] | None = None,
        held: HeldBytes | None = None,
        connections: dict[Connection, None] | None = None,
        count_refused: Callable[[RequestRecord], None] | None = None,
    ) -> None:
        """`sock` and `others`: bound, and not listening yet; one for each address.

        At `max_connections` the one that has been idle for longest makes room; while none is idle no more are taken:
        they wait in the backlog.

        `free_a_file` closes something elsewhere that is not needed now, and says whether it did; called when the system
        has no file left for a connection. None = there is nothing elsewhere.

        `held` counts what is held for clients; beyond it those that have stalled for longest are cut. None = no bound.
        `connections`: where it keeps them, for whoever counts them; None = in a place of its own. `count_refused` is
        told of what could not be read as a request; None = it counts for nobody.
        """
        self.app = app
        self.heads = KnownHeads()
        self.loop = asyncio.get_running_loop()
        self.is_draining = False
        self.running: set[Connection] = set()
        self.held = held or HeldBytes()
        self.held.when_exceeded = self._make_room
        self._stalled: dict[Connection, None] = {}
        """What is held for them waits for their clients, for the first the longest."""
        self._log = log
        self._max_connections = max_connections
        self._free_elsewhere = free_a_file
        self._count_refused = count_refused
        self._connections: dict[Connection, None] = {} if connections is None else connections
        """In the order in which they were opened, which decides between those that are idle since the same tick."""
        self._guests: dict[Guest, None] = {}
        """Those that connections were left to."""
        self._arriving: set[asyncio.Task[object]] = set()
        self._acceptors = [Acceptor(self, each, lambda: Connection(self), self._arriving) for each in (sock, *others)]
        self._is_waiting = False
        """Does an acceptor take no more until it is told to, or for some time?"""
        self._ranked: list[tuple[float, Connection]] = []
        """Since when they have been idle; the longest at the end. Made only when room is needed."""
        self._ranked_at = -_RANK_EVERY_S
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def serve_with(self, app: Application, free_a_file: Callable[[], bool] | None) -> None:
        """Another application answers the requests that begin from now on; those under way end where they began."""
        self.app = app
        self._free_elsewhere = free_a_file
        self.heads.forget()

    async def start(self, backlog: int) -> None:
        """Take connections from here on. `backlog`: how many may wait for it."""
        for acceptor in self._acceptors:
            acceptor.listen(backlog)
        self._look()

    async def stop(self) -> None:
        """Take no more connections, and return when those there are have had their answers.

        A client may send a request at the moment in which its idle connection is closed, and nobody may send that a
        second time (RFC 9110, 9.2.2). So each has `FAREWELL_S` to ask once more, and is told then that it was the last
        time.
        """
        self.is_draining = True
        for acceptor in self._acceptors:
            acceptor.close()
        if self._arriving:
            await asyncio.wait(self._arriving)
        kept: list[Connection | Guest] = [*self._connections, *self._guests]
        for each in kept:
            each.shutdown()
        since = self.loop.time()
        while self._connections or self._guests or self.running:
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_WHEN_STOPPING_S):
                    await self._changed.wait()
            if since < (quiet_since := self.loop.time() - FAREWELL_S):
                for connection in tuple(self._connections):
                    connection.close_if_idle(quiet_since)
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now = self.loop.time()
        self._timer = self.loop.call_later(_LOOK_EVERY_S, self._look)
        if now - self._ranked_at > _LOOK_EVERY_S:
            self._ranked = []  # which holds on to those that have left
        kept: list[Connection | Guest] = [*self._connections, *self._guests]
        for each in [each for each in kept if each.deadline <= now]:
            each.expire()

    # What connections tell us.

    def opened(self, connection: Connection) -> None:
        """See `ServerContext`."""
        self._connections[connection] = None
        self._go_on()

    def left(self, connection: Connection) -> None:
        """See `ServerContext`."""
        self._connections.pop(connection, None)
        self._changed.set()
        self._go_on()

    def switched(self, connection: Connection, guest: Guest) -> None:
        """See `ServerContext`."""
        self._connections.pop(connection, None)
        self._guests[guest] = None
        guest.when_gone = partial(self._gone, guest)
        if self.is_draining:
            self.loop.call_soon(guest.shutdown)  # once it has its connection

    def _gone(self, guest: Guest) -> None:
        self._guests.pop(guest, None)
        self._changed.set()
        self._go_on()

    def stalls(self, connection: Connection) -> None:
        """See `ServerContext`."""
        self._stalled.pop(connection, None)
        self._stalled[connection] = None

    def moves(self, connection: Connection) -> None:
        """See `ServerContext`."""
        self._stalled.pop(connection, None)

    def _make_room(self, excess_bytes: int) -> None:
        """Cut the clients that have taken nothing, or not completed their heads, for longest."""
        while excess_bytes > 0 and self._stalled:
            connection = next(iter(self._stalled))
            del self._stalled[connection]
            size = connection.let_go()
            if size:  # else it has moved since
                excess_bytes -= size
                self.loop.call_soon(connection.give_way)  # it may be writing just now

    def crashed(self, error: Exception) -> None:
        """See `ServerContext`."""
        self._log.crashed("", error)

    def refused(self, error: InvalidRequest, address: str) -> None:
        """See `ServerContext`."""
        outcome = error.code
        record = RequestRecord(
            "", "", "", "", 0, "", status_of(error), outcome, False, "bypass", 0.0, 0.0, 0.0, 0, 0, address
        )
        self._log.record(record)
        if self._count_refused is not None:
            self._count_refused(record)

    # What an acceptor asks.

    def wait_s(self) -> float:
        """See `Owner`."""
        if not self._is_full:
            return 0.0
        if not self.is_draining and self._longest_idle() is not None:
            return 0.0
        self._is_waiting = True
        return _RANK_EVERY_S

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
        return len(self._connections) + len(self._guests) + len(self._arriving) >= self._max_connections

    def _longest_idle(self) -> Connection | None:
        """Of those that have been idle for `GRACE_S` at least; None = there is none."""
        now, ranked = self.loop.time(), self._ranked
        if not ranked and now - self._ranked_at >= _RANK_EVERY_S:
            self._ranked_at = now
            idle = [(each.idle_since, each) for each in self._connections if each.can_give_way]
            ranked = self._ranked = sorted(idle, key=itemgetter(0))
            ranked.reverse()
        while ranked:
            since, connection = ranked[-1]
            if since > now - GRACE_S:
                return None
            # Since it was ranked it may have left, or had another request.
            if connection in self._connections and connection.idle_since == since and connection.can_give_way:
                return connection
            ranked.pop()
        return None

    def _close_longest_idle(self) -> bool:
        connection = self._longest_idle()
        if connection is None:
            return False
        self._connections.pop(connection, None)
        connection.give_way()
        return True
