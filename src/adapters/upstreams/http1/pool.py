"""The connections of one origin: the last used first, never more than allowed, waiters in the order they came.

A slot is taken from before a connection is opened until it is lost or cut. Whoever waits is handed a connection or a
slot of its own, and hands it on if it has gone by then.
"""

import asyncio
import resource
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from operator import attrgetter

from adapters.clock import Timeout, Timeouts
from adapters.upstreams.http1.connection import Connection
from adapters.upstreams.http1.failures import LOST, NO_FILE, NO_SLOT, SLOW_CONNECT, SLOW_HEAD
from application.ports import UpstreamFailed

_NEVER = float("inf")

_SPARE_SHARE = 0.25  # as HAProxy's `tune.pool-high-fd-ratio`
_FEWEST_SPARE = 8

_MAX_AGE_S = 300.0  # after that a connection is not used again: a new one sees where the name points now


class Spare:
    """Counts the idle connections of all pools, which add and take off. Together they are a small part of the files
    that this process may open: above that the one that has been idle for longest is closed, whichever pool it is in.
    One more is closed whenever the system has no file left for something else."""

    def __init__(self, most: int | None = None) -> None:
        """`most`: how many may be idle; None = a share of the files that this process may open."""
        self.count = 0
        self.most = _share_of_files() if most is None else most
        self.pools: list[Pool] = []  # those whose connections count

    def close_longest_idle(self) -> bool:
        """Close the connection that has been idle for longest; False = none is idle."""
        if not self.count:
            return False
        min(self.pools, key=attrgetter("idle_since")).close_longest_idle()
        return True


def _share_of_files() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1_000_000 if files == resource.RLIM_INFINITY else max(_FEWEST_SPARE, int(files * _SPARE_SHARE))


class Pool:
    """See above. Times are those of the loop's clock, in seconds."""

    def __init__(
        self,
        open_one: Callable[[], Awaitable[Connection]],
        limit: int,
        keepalive_s: float,
        spare: Spare,
        on_proven: Callable[[Connection], None] | None,
    ) -> None:
        """`on_proven` is called with each connection after its first good exchange; None = nobody wants to know."""
        self._open_one = open_one
        self._limit = limit
        self._keepalive_s = keepalive_s
        self._spare = spare
        self._on_proven = on_proven
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self._taken = 0  # slots
        self._members: set[Connection] = set()
        self._idle: list[Connection] = []  # the last used at the end
        self._waiters: OrderedDict[asyncio.Future[Connection | None], None] = OrderedDict()
        self._limits = Timeouts(self.now)  # of those that wait, who are interrupted when the pool is closed
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False
        spare.pools.append(self)

    def take(self, now: float) -> Connection | None:
        idle = self._idle
        while idle:
            connection = idle.pop()
            self._spare.count -= 1
            if self._is_usable(connection, now):
                return connection
            connection.abort()
        return None

    def _is_usable(self, connection: Connection, now: float) -> bool:
        is_recent = now - connection.idle_since <= self._keepalive_s and now - connection.opened <= _MAX_AGE_S
        return is_recent and connection.is_open and connection.owner is self

    async def wait(self, deadline: float, connect_s: float, *, fresh: bool = False) -> Connection:
        """A connection, when one comes free or can be opened; only a new one if `fresh`. Raises `UpstreamFailed`."""
        if self._is_closed:
            raise UpstreamFailed(LOST)
        if self._taken < self._limit:
            self._taken += 1
        else:
            try:
                with Timeout(self._limits, deadline):
                    given = await self._turn(fresh)
            except TimeoutError:
                raise UpstreamFailed(LOST if self._is_closed else NO_SLOT) from None
            if given is not None:
                return given
        return await self._open(deadline, connect_s)

    async def _turn(self, fresh: bool) -> Connection | None:
        """To be awaited while all slots are taken; None = one is the caller's now."""
        while True:
            if self._taken < self._limit:  # what it was handed had gone
                self._taken += 1
                return None
            if fresh and self._idle:
                self._spare.count -= 1
                self._evict(self._idle.pop(0))
                return None
            waiter: asyncio.Future[Connection | None] = self._loop.create_future()
            self._waiters[waiter] = None
            if fresh:  # it has had its turn, and got a dead connection
                self._waiters.move_to_end(waiter, last=False)
            try:
                given = await waiter
            except BaseException:
                if waiter.cancelled() or not waiter.done():
                    self._waiters.pop(waiter, None)
                else:
                    self._pass_on(waiter.result())
                raise
            if given is None:
                return None
            if fresh and given.owner is self:
                self._evict(given)
                return None
            if self._is_usable(given, self._loop.time()):
                return given
            given.abort()

    async def _open(self, deadline: float, connect_s: float) -> Connection:
        connect_by = self.now() + connect_s
        when, late = (connect_by, SLOW_CONNECT) if connect_by < deadline else (deadline, SLOW_HEAD)
        try:
            with Timeout(self._limits, when):
                connection = await self._open_with_a_file()
        except TimeoutError:
            self._pass_on(None)
            raise UpstreamFailed(LOST if self._is_closed else late) from None
        except BaseException:
            self._pass_on(None)
            raise
        connection.owner = self
        self._members.add(connection)
        return connection

    async def _open_with_a_file(self) -> Connection:
        while True:
            try:
                connection = await self._open_one()
            except UpstreamFailed as failed:
                if failed.failure != NO_FILE or not self._spare.close_longest_idle():
                    raise
            else:
                return connection
            await asyncio.sleep(0)  # its file is free in the loop's next turn

    def _evict(self, connection: Connection) -> None:
        """Its slot becomes the caller's."""
        self._members.discard(connection)
        connection.owner = None
        connection.abort()

    def _pass_on(self, given: Connection | None) -> None:
        """Hand it to the next waiter; None = a slot instead of a connection."""
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(given)
                return
        if given is None:
            self._taken -= 1
        elif given.owner is self:
            self._idle.append(given)
            spare = self._spare
            spare.count += 1
            if spare.count > spare.most:
                spare.close_longest_idle()
            if self._sweep is None:
                self._sweep = self._loop.call_later(self._keepalive_s, self._drop_old)

    def released(self, connection: Connection) -> None:
        connection.idle_since = self._loop.time()
        if connection.exchanges == 1 and self._on_proven is not None:
            self._on_proven(connection)
        self._pass_on(connection)

    def left(self, connection: Connection) -> None:
        self._members.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
            self._spare.count -= 1
        self._pass_on(None)

    @property
    def idle_since(self) -> float:
        """When its longest idle connection was last used, by the loop's clock; inf = none is idle."""
        return self._idle[0].idle_since if self._idle else _NEVER

    def close_longest_idle(self) -> None:
        self._idle[0].abort()

    def _drop_old(self) -> None:
        """One timer for all: the first in the row is the one that has been idle for longest."""
        self._sweep = None
        now = self._loop.time()
        while self._idle and now - self._idle[0].idle_since >= self._keepalive_s:
            self._idle[0].abort()
        if self._idle:
            rest_s = self._idle[0].idle_since + self._keepalive_s - now
            self._sweep = self._loop.call_later(rest_s, self._drop_old)

    def close(self) -> None:
        """End everything: calls that wait fail, connections are cut."""
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for limit in self._limits.running:
            limit.when = self.now()
        self._limits.expire()  # at once: a slot that comes free below is nobody's
        for connection in list(self._members):
            connection.fail(LOST)
