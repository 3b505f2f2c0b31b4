"""Requests that wait for a rate limit to refill instead of being answered 429.

One queue per group, in the order of the deadlines, bounded in number and bytes. It is served when room may have come:
when the ledger says the first of them fits, and whenever a reply or an ended request changes the picture. A request
leaves the queue with its lease already in hand, so as many leave as there is room for and no more.
"""

import asyncio
from bisect import insort
from collections.abc import Iterable

from application.leases import Lease
from application.ports import Clock
from application.routing import Routing
from domain.group import ModelGroup
from domain.tokens import Demand

MAX_WAITING = 1000
MAX_WAITING_BYTES = 64 * 1024 * 1024
_SHORTEST_SLEEP_S = 0.002


class _Waiter:
    __slots__ = ("affinity", "barred", "client", "demand", "future", "key", "size")

    def __init__(
        self,
        key: tuple[float, int],
        client: str,
        demand: Demand,
        barred: frozenset[str],
        size: int,
        affinity: str,
    ) -> None:
        self.key = key
        self.client = client
        self.demand = demand
        self.barred = barred
        self.size = size
        self.affinity = affinity
        self.future: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()


class _Queue:
    """The waiters of one group, and the task that sleeps until the first of them fits."""

    __slots__ = ("bytes", "due", "group", "sleeper", "waiters")

    def __init__(self, group: ModelGroup) -> None:
        self.group = group
        self.waiters: list[_Waiter] = []
        self.bytes = 0
        self.due = 0.0
        self.sleeper: asyncio.Task[None] | None = None


class WaitingRoom:
    """Holds requests until there is room for them."""

    def __init__(
        self, routing: Routing, clock: Clock, max_waiting: int = MAX_WAITING, max_bytes: int = MAX_WAITING_BYTES
    ) -> None:
        self._routing = routing
        self._clock = clock
        self._max_waiting = max_waiting
        self._max_bytes = max_bytes
        self._queues: dict[str, _Queue] = {}
        self._serial = 0
        routing.when_room_may_have_come(self.serve_all)

    def waiting(self, group: str) -> int:
        """How many wait for this group now."""
        queue = self._queues.get(group)
        return len(queue.waiters) if queue else 0

    async def lease(
        self,
        group: ModelGroup,
        client: str,
        demand: Demand,
        barred: frozenset[str],
        until: float,
        size: int,
        affinity: str = "",
    ) -> Lease | None:
        """Wait, at most until the time `until`, for an endpoint that is not `barred` (ids) to have room.

        None = none had in time, or too many wait already. `size` is what the request holds in memory, in bytes. Nobody
        waits for the endpoint that the `affinity` key prefers: it only decides where several have room.
        """
        queue = self._queues.setdefault(group.name, _Queue(group))
        if len(queue.waiters) >= self._max_waiting or queue.bytes + size > self._max_bytes:
            return None
        self._serial += 1
        waiter = _Waiter((until, self._serial), client, demand, barred, size, affinity)
        insort(queue.waiters, waiter, key=lambda other: other.key)
        queue.bytes += size
        self._serve(queue)
        try:
            async with asyncio.timeout(until - self._clock.now()):
                return await asyncio.shield(waiter.future)
        except TimeoutError:
            return waiter.future.result() if waiter.future.done() else None
        except asyncio.CancelledError:
            if waiter.future.done():
                self._routing.release(waiter.future.result())
            raise
        finally:
            self._leave(queue, waiter)

    def serve_all(self) -> None:
        """Something changed: whoever fits now goes."""
        for queue in tuple(self._queues.values()):
            if queue.waiters:
                self._serve(queue)

    def _serve(self, queue: _Queue) -> None:
        """In the order of the deadlines. Once a request that may go anywhere finds no room, those behind it do not."""
        unserved: dict[tuple[frozenset[str], str], _Waiter] = {}
        for waiter in tuple(queue.waiters):
            lease = self._routing.pick(queue.group, waiter.client, waiter.demand, waiter.barred, waiter.affinity)
            if lease is not None:
                waiter.future.set_result(lease)
                self._leave(queue, waiter)
                continue
            unserved.setdefault((waiter.barred, waiter.client), waiter)
            if not waiter.barred and not waiter.client:
                break
        if unserved:
            self._sleep(queue, unserved.values())

    def _leave(self, queue: _Queue, waiter: _Waiter) -> None:
        if waiter in queue.waiters:
            queue.waiters.remove(waiter)
            queue.bytes -= waiter.size

    def _sleep(self, queue: _Queue, firsts: Iterable[_Waiter]) -> None:
        """Until one fits of the `firsts` of those that may go to the same endpoints, unless the queue is asleep until
        then or earlier already."""
        now = self._clock.now()
        chance_s = self._routing.next_chance_s
        wait_s = min(chance_s(queue.group, one.client, one.demand, one.barred) for one in firsts)
        due = now + max(_SHORTEST_SLEEP_S, wait_s)
        if queue.sleeper is not None and not queue.sleeper.done():
            if queue.due <= due:
                return
            queue.sleeper.cancel()
        queue.due = due
        queue.sleeper = asyncio.ensure_future(self._wake(queue, due - now))

    async def _wake(self, queue: _Queue, seconds: float) -> None:
        await self._clock.sleep(seconds)
        queue.sleeper = None
        self._serve(queue)
