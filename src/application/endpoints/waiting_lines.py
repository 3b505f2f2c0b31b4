"""Where requests stand that wait for room: a line at the door of each endpoint that they may go to.

Where clients bring their own keys each has a rate limit of its own, so there is a line for each client. One waiter
stands in a line at every door that is not barred to it, and leaves them all at once. Only the first of a line is ever
looked at; those that left from the middle are taken out later, at the latest when they are the most.
"""

import asyncio
import math
from heapq import heapify, heappop, heappush
from typing import Final

from application.endpoints.endpoint_state import Lease
from domain.endpoint import Endpoint
from domain.group import ModelGroup
from domain.routing.route_query import RouteQuery

Key = tuple[float, int]
"""The order of waiters: when their time is up, and a number of their own, in the order in which they came."""

SPARE = 16
"""So many entries that mean nothing any more are no reason yet to go through a heap."""


class Waiter:
    """One request that waits."""

    __slots__ = ("barred", "by_choice", "future", "gone", "group", "key", "lines", "query")

    def __init__(
        self,
        key: Key,
        group: ModelGroup,
        query: RouteQuery,
        barred: frozenset[str],
        loop: asyncio.AbstractEventLoop,
        by_choice: bool = False,
    ) -> None:
        self.key = key
        self.group = group
        self.query = query
        self.barred = barred
        self.by_choice = by_choice
        """Could it go elsewhere now?"""
        self.future: asyncio.Future[Lease | None] = loop.create_future()
        self.lines: tuple[Line, ...] = ()
        self.gone = False


class Line:
    """Those who wait at one door, and with one rate limit."""

    __slots__ = ("_heap", "_waiting", "client", "door", "due", "futile_s", "kept_out", "number", "pending")

    def __init__(self, door: "Door", client: str, number: int) -> None:
        self.door: Final = door
        self.client: Final = client
        self.number: Final = number
        """Tells lines apart whose first is the same waiter."""
        self.due = math.inf
        """When the first is to be looked at again, though nothing happens; inf = it is not."""
        self.futile_s = 0.0
        """How long to sleep at least, where its time was said to have come and had not; 0 = that was not so."""
        self.pending: Key | None = None
        """The first when it was noted that it is to be looked at; None = it is not."""
        self.kept_out: Key | None = None
        """The first when it was found that only the health of the endpoint keeps it out; None = that was not so."""
        self._heap: list[tuple[Key, Waiter]] = []
        self._waiting = 0

    @property
    def first(self) -> Waiter | None:
        """The waiter whose time is up first; None = nobody waits."""
        return self._heap[0][1] if self._heap else None

    def join(self, waiter: Waiter) -> bool:
        """Is the waiter that comes in the first now?"""
        heappush(self._heap, (waiter.key, waiter))
        self._waiting += 1
        return self._heap[0][1] is waiter

    def leave(self, waiter: Waiter) -> bool:
        """Was the waiter that is gone the first?"""
        heap = self._heap
        self._waiting -= 1
        if heap[0][1] is waiter:
            while heap and heap[0][1].gone:
                heappop(heap)
            self.pending = self.kept_out = None
            self.futile_s = 0.0
            return True
        if len(heap) > 2 * self._waiting + SPARE:
            self._heap = [entry for entry in heap if not entry[1].gone]
            heapify(self._heap)
        return False


class Door:
    """One endpoint of one group, and the lines before it."""

    __slots__ = ("_kept_out", "due", "endpoint", "lines")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint: Final = endpoint
        self.lines: dict[str, Line] = {}
        """By client; one for all where the endpoint has a key of its own."""
        self.due = math.inf
        """When its health is to be looked at again, though nothing happens; inf = it is not."""
        self._kept_out: list[tuple[Key, int, Line]] = []

    def line_of(self, client: str) -> Line | None:
        """Where a client's requests stand; None = there are none."""
        return self.lines.get("" if self.endpoint.owns_credential else client)

    def keep_out(self, line: Line, first: Waiter) -> None:
        """The limit lets the first of this line in, and the health of the endpoint does not."""
        if line.kept_out is not first.key:
            line.kept_out = first.key
            heappush(self._kept_out, (first.key, line.number, line))

    def next_kept_out(self) -> Line | None:
        """The line of those whose first has the least time; None = there is none."""
        if len(self._kept_out) > 2 * len(self.lines) + SPARE:
            once = {entry[2]: entry for entry in self._kept_out if entry[2].kept_out is entry[0]}
            self._kept_out = list(once.values())
            heapify(self._kept_out)
        heap = self._kept_out
        while heap and heap[0][2].kept_out is not heap[0][0]:
            heappop(heap)
        return heap[0][2] if heap else None

    def close(self) -> None:
        """Nobody waits here. Entries that mean nothing would make a cycle of the door and its lines."""
        self._kept_out.clear()


class Hall:
    """Those who wait for one group, before all its doors."""

    __slots__ = ("bytes", "doors", "output", "tokens", "waiting")

    def __init__(self, group: ModelGroup) -> None:
        self.doors: Final = tuple(Door(endpoint) for endpoint in group.endpoints)
        self.waiting = 0
        self.bytes = 0
        self.tokens = 0.0
        self.output = 0.0
        """Of the tokens, those of answers."""
