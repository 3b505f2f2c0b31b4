"""When a store is left alone, and how it comes back. Every rule about that lives here.

all --too many failures, or one that says enough--> none --a good probe--> all (or reads alone)
 +----------- writes are refused ------------> reads alone --a write succeeds--> all

There is no half-open state for requests: while the breaker is open a probe of its own asks, in the background.
Thresholds as in resilience4j's count-based and time-based windows, with figures for a store that answers in
milliseconds.
"""

from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

Draw = Callable[[], float]  # dice: a number in [0, 1)


class Access(StrEnum):
    ALL = "ok"
    READS = "read-only"
    NONE = "unavailable"


class Second(Struct, frozen=True):
    number: int
    ended: int = 0
    failed: int = 0


class BreakerState(Struct, frozen=True):
    """What is remembered of one store. A new one is open: nothing is known before the first probe."""

    access: Access = Access.NONE
    reason: str = "not asked yet"  # why not everything may be asked; empty = it may
    era: int = 0  # Grows with every change of `access`. What was begun in an earlier era has no say in this one.
    failures: int = 0  # in a row
    seconds: tuple[Second, ...] = ()  # the latest seconds in which something ended, oldest first
    busy_since: float | None = None  # when no connection was free, or the loop held up; None = not since a success
    probes: int = 0  # probes that failed; more of them, longer pauses
    rest_s: float = 0.0  # the least pause before the next probe, in seconds
    impaired_at: float = 0.0  # when it last stopped taking everything
    recovered_at: float | None = None  # when it last took everything again; None = it never was impaired

    def admits(self, *, write: bool) -> bool:
        return self.access is Access.ALL or (self.access is Access.READS and not write)


class BreakerPolicy(Struct, frozen=True):
    """Opens after `in_a_row` failures in a row, or `ratio` of at least `at_least` operations in `window_s` seconds."""

    in_a_row: int = 5
    ratio: float = 0.5
    at_least: int = 20
    window_s: int = 5
    busy_s: float = 1.0  # hindered on our side for so long, and nothing succeeding, it is the store that hangs
    first_pause_s: float = 0.25  # before the first probe; every failed one doubles it
    longest_pause_s: float = 1.25  # with jitter below the 2 s within which a store that is back is to be used
    jitter: float = 0.2
    settled_s: float = 10.0  # a store that fails again within this time is probed no faster than before

    def after_success(self, state: BreakerState, now: float) -> BreakerState:
        return replace(state, failures=0, busy_since=None, seconds=self._seconds(state, now, failed=False))

    def after_failure(self, state: BreakerState, now: float, reason: str) -> BreakerState:
        state = replace(state, failures=state.failures + 1, seconds=self._seconds(state, now, failed=True))
        ended = sum(second.ended for second in state.seconds)
        failed = sum(second.failed for second in state.seconds)
        if state.failures >= self.in_a_row or (ended >= self.at_least and failed >= self.ratio * ended):
            return self.opened(state, now, reason)
        return state

    def after_busy(self, state: BreakerState, now: float, reason: str) -> BreakerState:
        """No connection was free, or the loop was held up. That is no failure, unless it lasts and nothing succeeds."""
        if state.busy_since is None:
            return replace(state, busy_since=now)
        return state if now - state.busy_since < self.busy_s else self.after_failure(state, now, reason)

    def opened(self, state: BreakerState, now: float, reason: str, rest_s: float = 0.0) -> BreakerState:
        """Nothing may be asked; the next probe is at least `rest_s` away."""
        return replace(self._changed(state, Access.NONE, now, reason), rest_s=rest_s)

    def without_writes(self, state: BreakerState, now: float, reason: str) -> BreakerState:
        """Writes are refused, reads go on. A store at the edge of its memory would take a probe and refuse the next
        answer, over and over: one that refuses again soon is left alone for longer."""
        if state.access is not Access.ALL:
            return state
        rest_s = self.settled_s if self._is_relapse(state, now) else 0.0
        return replace(self._changed(state, Access.READS, now, reason), rest_s=rest_s)

    def after_probe(self, state: BreakerState, now: float, access: Access, reason: str) -> BreakerState:
        """A probe found out what may be asked, and why not everything."""
        failed = access is Access.NONE or access is state.access
        state = replace(state, probes=state.probes + 1 if failed else state.probes, rest_s=0.0)
        return self._changed(state, access, now, reason)

    def pause_s(self, state: BreakerState, draw: Draw) -> float:
        """How long to wait before the next probe, in seconds."""
        pause_s = min(self.first_pause_s * 2.0 ** min(state.probes, 16), self.longest_pause_s)
        return max(state.rest_s, pause_s * (1 + self.jitter * (2 * draw() - 1)))

    def _changed(self, state: BreakerState, access: Access, now: float, reason: str) -> BreakerState:
        if access is state.access:
            return replace(state, reason=reason if access is not Access.ALL else "")
        fresh = replace(state, access=access, reason=reason, era=state.era + 1)
        fresh = replace(fresh, failures=0, seconds=(), busy_since=None)
        if access is Access.ALL:
            is_first_contact = state.era == 0 and state.probes == 0
            return replace(fresh, reason="", recovered_at=None if is_first_contact else now)
        if state.access is not Access.ALL:
            return fresh
        return replace(fresh, impaired_at=now, probes=state.probes if self._is_relapse(state, now) else 0)

    def _is_relapse(self, state: BreakerState, now: float) -> bool:
        return state.recovered_at is not None and now - state.recovered_at < self.settled_s

    def _seconds(self, state: BreakerState, now: float, *, failed: bool) -> tuple[Second, ...]:
        number = int(now // 1)
        seconds = state.seconds
        if seconds and seconds[-1].number >= number:
            last = seconds[-1]
            return (*seconds[:-1], Second(last.number, last.ended + 1, last.failed + failed))
        kept = [second for second in seconds if second.number > number - self.window_s]
        return (*kept, Second(number, 1, int(failed)))
