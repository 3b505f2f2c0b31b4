"""Requests that wait for a rate limit to refill instead of being answered 429.

They stand in line at every endpoint that they may go to, in the order of the deadlines, bounded for each group in
number and bytes. The rule is one: *an endpoint is for the first of its line*. A request that finds no room there keeps
it from those behind, however little they need, so none is overtaken; and since an endpoint that had no room for its
first has none until something happens there, a reply is a matter for the lines that it is about, however many wait.

Lines are noted when something happens (a reply, the end of a request, of a cooldown or of a refill, a first that is
another now) and looked at once a turn of the event loop, those first whose deadline is. A request leaves with its lease
already in hand, so as many leave as there is room for and no more. It is limits that are waited for: who finds room
everywhere and nobody well is sent on as one that comes then would be.
"""

import asyncio
from heapq import heappop, heappush

from application.endpoints.endpoint_state import Lease
from application.endpoints.pool import EndpointPool
from application.endpoints.room_signal import RoomSignal
from application.endpoints.waiting_lines import Door, Hall, Key, Line, Waiter
from application.endpoints.waiting_timers import Timers
from application.ports import Clock
from domain.group import ModelGroup
from domain.rate_limit.room import NOBODY, Ahead
from domain.rate_limit.token_estimate import UNTAUGHT
from domain.routing.route_query import RouteQuery

MAX_WAITING = 1000
MAX_WAITING_BYTES = 64 * 1024 * 1024
LOOKS_A_TURN = 256
"""So many lines are looked at, then others get their turn of the event loop."""
_SHORTEST_SLEEP_S = 0.002
_LONGEST_FUTILE_S = 1.0


class WaitingQueue:
    """Holds requests until there is room for them."""

    def __init__(
        self,
        pool: EndpointPool,
        room: RoomSignal,
        clock: Clock,
        max_waiting: int = MAX_WAITING,
        max_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._max_waiting = max_waiting
        self._max_bytes = max_bytes
        self.halls: dict[str, Hall] = {}
        """By the name of the group; of those only for which requests wait."""
        self._doors: dict[str, list[Door]] = {}
        """By the bucket of their endpoint, as a reply tells of one."""
        self._noted: list[tuple[Key, int, Line]] = []
        self._timers = Timers(clock, self.serve_noted)
        self._serial = 0
        self._turn: asyncio.Handle | None = None
        self._room = room

    def waiting(self, group: str) -> int:
        """How many wait for this group now."""
        hall = self.halls.get(group)
        return hall.waiting if hall else 0

    def ahead(self, group: str) -> Ahead:
        """Those who wait for this group now."""
        hall = self.halls.get(group)
        return Ahead(hall.waiting, hall.tokens, hall.output) if hall else NOBODY

    def all_waiting(self) -> dict[str, int]:
        """Of every group for which any do."""
        return {name: hall.waiting for name, hall in self.halls.items()}

    async def lease(
        self, group: ModelGroup, query: RouteQuery, barred: frozenset[str], until: float, *, by_choice: bool = False
    ) -> Lease | None:
        """Wait, at most until the time `until`, for an endpoint that is not `barred` (ids) to have room.

        None = none had in time, or too many wait already. Where no limit keeps it out any more, and nobody is well, it
        gets the lease of a last resort. A request does not wait for the endpoint that its affinity key prefers: that
        only decides where several have room. `by_choice`: it could go elsewhere, so that of a provisioned deployment it
        takes no scarce room, and None instead of a last resort.
        """
        hall = self.halls.get(group.name)
        waiting, held = (hall.waiting, hall.bytes) if hall else (0, 0)
        if waiting >= self._max_waiting or held + query.size > self._max_bytes:
            return None
        self._serial += 1
        key, loop = (until, self._serial), asyncio.get_running_loop()
        waiter = Waiter(key, group, query, barred, loop, by_choice)
        self._enter(hall or self._open(group), waiter)
        self.serve_noted()
        try:
            with self._clock.timeout_at(until):
                return await asyncio.shield(waiter.future)
        except TimeoutError:
            return waiter.future.result() if waiter.future.done() else None
        except asyncio.CancelledError:
            if waiter.future.done() and (lease := waiter.future.result()) is not None:
                self._pool.give_back(lease)
            raise
        finally:
            self._leave(waiter)

    def serve_all(self) -> None:
        """Anything may have changed: all requests that fit now go."""
        for doors in self._doors.values():
            for door in doors:
                self._note_door(door, "")
        self.serve_noted()

    def serve_noted(self) -> None:
        """Requests that may have a chance by now go, if they fit: to be called before a pick for one that has not
        waited."""
        if not self.halls:
            return
        self._ring()
        for _ in range(LOOKS_A_TURN):
            line = self._next_noted()
            if line is None:
                break
            self._look(line)
        if self._noted:
            self._call_soon()
        self._timers.sleep()

    def serve_soon(self, lease: Lease) -> None:
        """A reply came, or a request ended: that concerns its bucket, and the health of its endpoint."""
        for door in self._doors.get(lease.endpoint.bucket, ()):
            self._note_door(door, lease.query.client)
        if self._noted:
            self._call_soon()

    def _call_soon(self) -> None:
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        self.serve_noted()

    def _open(self, group: ModelGroup) -> Hall:
        if not self.halls:
            self._room.listen(self)
        hall = self.halls[group.name] = Hall(group)
        for door in hall.doors:
            self._doors.setdefault(door.endpoint.bucket, []).append(door)
        return hall

    def _close(self, name: str) -> None:
        for door in self.halls.pop(name).doors:
            door.close()
            self._timers.drop(door)
            doors = self._doors[door.endpoint.bucket]
            doors.remove(door)
            if not doors:
                del self._doors[door.endpoint.bucket]
        if not self.halls:
            self._room.stop(self)
            self._noted.clear()
            self._timers.sleep()

    def _enter(self, hall: Hall, waiter: Waiter) -> None:
        hall.waiting += 1
        hall.bytes += waiter.query.size
        hall.tokens += UNTAUGHT.tokens(waiter.query.demand)
        hall.output += UNTAUGHT.output(waiter.query.demand)
        waiter.lines = tuple(self._line(door, waiter) for door in hall.doors if door.endpoint.id not in waiter.barred)
        for line in waiter.lines:
            if line.join(waiter):
                self._note(line)

    def _line(self, door: Door, waiter: Waiter) -> Line:
        line = door.line_of(waiter.query.client)
        if line is None:
            self._serial += 1
            client = "" if door.endpoint.owns_credential else waiter.query.client
            line = door.lines[client] = Line(door, client, self._serial)
        return line

    def _leave(self, waiter: Waiter) -> None:
        """The next in its lines is looked at, as it may need less."""
        if waiter.gone:
            return
        waiter.gone = True
        lines, waiter.lines = waiter.lines, ()
        for line in lines:
            was_kept_out = line.kept_out is not None
            if not line.leave(waiter):
                continue
            if line.first is None:
                del line.door.lines[line.client]
                self._timers.drop(line)
            else:
                self._note(line)
            if was_kept_out:
                self._note_kept_out(line.door)
        hall = self.halls[waiter.group.name]
        hall.waiting -= 1
        hall.bytes -= waiter.query.size
        hall.tokens -= UNTAUGHT.tokens(waiter.query.demand)
        hall.output -= UNTAUGHT.output(waiter.query.demand)
        if not hall.waiting:
            self._close(waiter.group.name)
        elif self._noted:
            self._call_soon()

    def _note_door(self, door: Door, client: str) -> None:
        line = door.line_of(client)
        if line is not None:
            self._note(line)
        self._note_kept_out(door)

    def _note_kept_out(self, door: Door) -> None:
        """If the endpoint takes one more request, the first of those goes that only its health kept out."""
        line = door.next_kept_out()
        if line is None:
            return
        opens_in_s = self._pool.opens_in_s(door.endpoint)
        if opens_in_s > 0.0:
            self._timers.set(door, self._clock.now() + max(_SHORTEST_SLEEP_S, opens_in_s))
        else:
            self._note(line)

    def _note(self, line: Line) -> None:
        first = line.first
        if first is not None and line.pending is not first.key:
            line.pending = first.key
            heappush(self._noted, (first.key, line.number, line))

    def _next_noted(self) -> Line | None:
        while self._noted:
            key, _, line = heappop(self._noted)
            if line.pending is key:
                line.pending = None
                return line
        return None

    def _look(self, line: Line) -> None:
        """Does the first of this line fit? If not, it is known when to look again."""
        first, door = line.first, line.door
        if first is None:
            return
        was_kept_out = line.kept_out is not None
        fits_in_s = self._pool.fits_in_s(door.endpoint, first.query, by_choice=first.by_choice)
        if fits_in_s > 0.0:
            line.kept_out = None
            self._look_again(line, fits_in_s)
        elif self._pool.opens_in_s(door.endpoint) > 0.0:
            if self._finds_none_well(first):
                self._send_on(first)
                return
            door.keep_out(line, first)
        else:
            self._serve(line, first)
            return
        if was_kept_out or line.kept_out is not None:
            self._note_kept_out(door)

    def _look_again(self, line: Line, seconds: float) -> None:
        is_futile = seconds < _SHORTEST_SLEEP_S
        line.futile_s = min(max(_SHORTEST_SLEEP_S, 2 * line.futile_s), _LONGEST_FUTILE_S) if is_futile else 0.0
        self._timers.set(line, self._clock.now() + max(seconds, line.futile_s))

    def _finds_none_well(self, waiter: Waiter) -> bool:
        """Is it the first everywhere, and does nothing but health keep it out anywhere?"""
        return all(
            line.first is waiter
            and self._pool.opens_in_s(line.door.endpoint) > 0.0
            and not self._pool.fits_in_s(line.door.endpoint, waiter.query, by_choice=waiter.by_choice)
            for line in waiter.lines
        )

    def _send_on(self, waiter: Waiter) -> None:
        group, query, barred = waiter.group, waiter.query, waiter.barred
        waiter.future.set_result(None if waiter.by_choice else self._pool.pick_last_resort(group, query, barred))
        self._leave(waiter)

    def _serve(self, line: Line, first: Waiter) -> None:
        """It goes to the endpoint whose turn it is, of those where it is the first and there is room."""
        others = {other.door.endpoint.id for other in first.lines if other.first is not first}
        if first.by_choice:
            doors = (other.door.endpoint for other in first.lines)
            others |= {e.id for e in doors if self._pool.fits_in_s(e, first.query, by_choice=True) > 0.0}
        passed_over = first.barred | others if others else first.barred
        lease = self._pool.pick(first.group, first.query, passed_over, self._clock.now())
        if lease is None:
            self._look_again(line, 0.0)
            return
        first.future.set_result(lease)
        self._leave(first)

    def _ring(self) -> None:
        now = self._clock.now()
        while (target := self._timers.ring(now)) is not None:
            if isinstance(target, Line):
                self._note(target)
            else:
                self._note_kept_out(target)
