"""How much room one limit has: read from replies, charged for what was sent since, refilled as time passes.

A reply's headers tell the state at the moment its request was let in. So every request is charged when it is sent, and
a reading is compared with what was charged *after* that reply's request: each charge has a mark, the sum of all charges
up to it, and the room is what the reading said, less the charges beyond its mark, plus what has come back since.

Providers give room back in two ways. OpenAI refills without pause, and its reset is the time until all of it is back
(OpenAI rate-limits guide). Azure counts in fixed windows and gives all back at the end of one: requests in slices of
10 s, tokens by the minute (Azure OpenAI quota guide). Times are monotonic seconds.
All of this is made anew with every request, and holds no cycles: the collector is spared it (`gc=False`).
"""

import math

from msgspec import Struct, structs

from domain.rate_limit import limit_window
from domain.rate_limit.limit_reading import PER_MINUTE_S, Counting, Reading, Refill, refill_rate
from domain.rate_limit.limit_terms import LimitTerms
from domain.rate_limit.limit_window import SAME_WINDOW_S, Window

ECHO_S = 0.005
"""Moments that another replica tells and that are no further apart than this are taken for the same."""

_CONTINUOUS = Refill.CONTINUOUS


class LimitState(Struct, frozen=True, gc=False):
    """One limit of one bucket. `level` None = nothing is known: there is room until somebody says otherwise."""

    level: float | None
    """The room at the time `at`; below 0 when more was sent than there was room for."""
    at: float
    charged: float
    """Everything ever charged. Only grows, so that marks can be compared."""
    read_mark: float
    """How much of it the newest reading counts."""
    terms: LimitTerms

    @classmethod
    def of(cls, meter: Counting, per_minute: float | None, now: float) -> "LimitState":
        """A state at the start; `per_minute` is a limit that the configuration knows, None = it knows none."""
        if per_minute is None:
            return cls(None, 0.0, 0.0, 0.0, LimitTerms(meter))
        # Until replies say where windows end, it comes back bit by bit: that wastes nothing.
        limit, rate = meter.per_window(per_minute), per_minute / PER_MINUTE_S
        kept = meter.kept(limit)
        return cls(limit, now, 0.0, 0.0, LimitTerms(meter, limit, kept, kept, rate, floor=-limit))

    def room(self, now: float) -> float | None:
        """The room at `now`; None = unknown."""
        level, terms = self.level, self.terms
        if level is None or now <= self.at:
            return level
        if terms.rate > 0.0:
            return _capped(level + terms.rate * (now - self.at), terms.limit)
        return level if now < terms.window_end else terms.limit

    def sure_room(self, now: float) -> float | None:
        """As much of the room as is there in any case; None = unknown."""
        terms, room = self.terms, self.room(now)
        if room is None or terms.window is None:
            return room
        return min(room, terms.window.room(terms.meter, terms.limit, self.charged, now))

    def whole_window(self) -> float | None:
        """The most room there can be, as far as is known; None = unknown."""
        terms = self.terms
        return terms.limit if terms.window is None else terms.window.whole(terms.limit)

    def charge(self, amount: float, now: float) -> "LimitState":
        """Something is sent that takes `amount`. Its mark is the `charged` of the result."""
        level, at, terms = self.level, self.at, self.terms
        if level is None:
            return LimitState(None, at, self.charged + amount, self.read_mark, terms)
        if terms.window is not None and now >= terms.window.turns:
            return self._turned(terms.window, now).charge(amount, now)
        if now > at:
            rate = terms.rate
            if rate > 0.0:
                level += rate * (now - at)
                limit = terms.limit
                if limit is not None and level > limit:
                    level = limit
            elif now >= terms.window_end:
                return self._advanced(now).charge(amount, now)
            at = now
        level -= amount
        if level < terms.floor:
            terms = structs.replace(terms, debt=terms.debt + terms.floor - level)
            level = terms.floor
        return LimitState(level, at, self.charged + amount, self.read_mark, terms)

    def refund(self, amount: float, mark: float, now: float) -> "LimitState":
        """Of what was charged up to `mark` the provider did not take `amount`. Known already where a later reading was
        taken."""
        state = self._advanced(now)
        if state.level is None or mark <= state.read_mark:
            return state
        terms = state.terms
        if terms.window is not None:
            terms = structs.replace(terms, window=terms.window.refunded(amount, mark))
        if terms.debt > 0.0:
            debt = max(0.0, terms.debt - amount)
            amount -= terms.debt - debt
            terms = structs.replace(terms, debt=debt)
        # No more than is known to have been there.
        most = terms.limit if terms.limit is not None else max(state.level, -terms.floor)
        return structs.replace(state, level=_capped(state.level + amount, most), terms=terms)

    def after_reading(
        self,
        reading: Reading,
        sent: float,
        mark: float,
        now: float,
        amount: float,
        in_flight: float = 0.0,
        elsewhere: bool = False,
    ) -> "LimitState":
        """A reply says so; its request took `amount`, was sent at `sent` and charged up to `mark`. An older reading
        changes nothing.

        Requests overtake each other on their way: the reading of one that did knows nothing of others that were sent
        before it and take `in_flight` at most. So where the charges are exact a reading that makes more of the room
        than they have left is believed less that. `elsewhere`: it was a reply to another replica.
        """
        before, remaining, limit = self.terms, reading.remaining, reading.limit
        if sent < before.read_at:
            return self
        if remaining is None:
            return self if limit is None else self._limited(limit, now)
        meter, charged = before.meter, self.charged
        if limit is None:
            limit = before.limit
        window: Window | None = None
        level: float | None
        if limit and meter.refill is _CONTINUOUS and not (reading.is_bare and reading.comes_at_once(limit)):
            if reading.is_bare:
                window = self._window(reading, remaining, sent, mark, now, amount, in_flight)
            rate, at, window_end = refill_rate(limit, remaining, reading.reset_s), now, 0.0
            level = remaining + rate * (now - sent)
            level = level if level < limit else limit
        else:
            window, rate = self._window(reading, remaining, sent, mark, now, amount, in_flight), 0.0
            limit, level, at, window_end = self._in_window(reading, remaining, window, sent, mark, now)
        debt, floor = 0.0, -(remaining if limit is None else limit)
        if level is not None:
            level -= charged - mark
            if in_flight and meter.is_exact:
                left = self.room(now)
                if left is not None and left < level and self._counts(reading, limit, rate, window_end, now):
                    level, mark, debt = max(left, level - in_flight), self.read_mark, before.debt
            if limit is not None and level > limit:
                level = limit
            if level < floor:
                level, debt = floor, debt + floor - level
        plenty = kept = before.kept if limit == before.limit else meter.kept(limit)
        if window is not None:
            plenty = kept if rate == 0.0 and level is not None and level <= window.left else math.inf
        terms = LimitTerms(meter, limit, kept, plenty, rate, window_end, reading, sent, elsewhere, window, floor, debt)
        return LimitState(level, at, charged, mark, terms)

    def after_peer_report(
        self, reading: Reading, sent: float, mark: float, now: float, in_flight: float = 0.0
    ) -> "LimitState":
        """Another replica read this from the reply to a request of its own, which it sent at `sent`; up to then this
        replica had charged `mark`. The very same state if it knows as much already, or if that cannot be."""
        is_new = self.terms.read_at + ECHO_S < sent <= now + ECHO_S
        if not is_new or reading.remaining is None or not reading.is_possible:
            return self
        amount = 1.0 if self.terms.meter.is_exact else 0.0
        return self.after_reading(reading, min(sent, now), mark, now, amount, in_flight, elsewhere=True)

    def fits_in_s(self, amount: float, now: float, ahead: float = 0.0) -> float:
        """Seconds until `amount` fits after what goes `ahead` of it, or may be tried; 0 = now."""
        return min(self.refills_in_s(amount, now, ahead), self.probe_in_s(now))

    def refills_in_s(self, amount: float, now: float, ahead: float = 0.0) -> float:
        """Seconds until there is room for `amount` and what goes `ahead` of it; 0 = now. More than the limit has room
        when all of it is back."""
        state = self._advanced(now)
        level, terms = state.level, state.terms
        if level is None:
            return 0.0
        amount = terms.meter.asked(amount)
        need = ahead + (amount if terms.limit is None else min(amount, terms.limit))
        if level >= need:
            return 0.0
        return (need - level) / terms.rate if terms.rate > 0.0 else max(0.0, terms.window_end - now)

    def probe_in_s(self, now: float) -> float:
        """Seconds until one request may find out, whatever the level says; 0 = now.

        The level is an account of what was charged, and nothing mends it while nothing is sent. So nobody is kept away
        for longer than a window: a minute from the last charge or reading, or the reset that came with the provider's
        own word, to this replica, that nothing is left.
        """
        reading, quiet_s = self.terms.reading, PER_MINUTE_S
        if reading.remaining is not None and reading.remaining < 1.0 and not self.terms.is_from_peer:
            quiet_s = max(quiet_s, reading.reset_s or 0.0)
        return max(0.0, self.at + quiet_s - now)

    def full_in_s(self, now: float) -> float | None:
        """Seconds until all room is back; None = unknown."""
        state = self._advanced(now)
        level, terms = state.level, state.terms
        if level is None or terms.limit is None:
            return None
        missing = terms.limit - level
        if missing <= 0:
            return 0.0
        return missing / terms.rate if terms.rate > 0.0 else max(0.0, terms.window_end - now)

    def _advanced(self, now: float) -> "LimitState":
        """The same state, seen at `now`."""
        terms = self.terms
        if self.level is None or now <= self.at:
            return self
        if terms.rate > 0.0:
            return LimitState(self.room(now), now, self.charged, self.read_mark, terms)
        if now < terms.window_end:
            return self
        terms = structs.replace(
            terms, window_end=limit_window.next_end(terms.meter, terms.window, terms.window_end, now)
        )
        return LimitState(terms.limit, now, self.charged, self.read_mark, terms)

    def _limited(self, limit: float, now: float) -> "LimitState":
        """After a reply that names the limit and not what remains of it."""
        state, meter, per_minute = self._advanced(now), self.terms.meter, limit
        limit = meter.per_window(per_minute)
        terms, level = state.terms, state.level
        rate = terms.rate if limit == terms.limit or terms.rate == 0.0 else per_minute / PER_MINUTE_S
        terms = structs.replace(terms, limit=limit, kept=meter.kept(limit), rate=rate, floor=-limit)
        return structs.replace(state, level=None if level is None else min(max(level, -limit), limit), terms=terms)

    def _window(
        self,
        reading: Reading,
        remaining: float,
        sent: float,
        mark: float,
        now: float,
        amount: float,
        in_flight: float,
    ) -> Window | None:
        """What is sure as of a reading; None = as much as the level says."""
        terms, reset_s = self.terms, reading.reset_s
        if reset_s is None or not (reading.is_bare or terms.meter.refill is Refill.WINDOW):
            return None
        before = terms.window if reading.limit == terms.reading.limit else None
        return limit_window.read(
            before, terms.meter, amount, remaining, reset_s, sent, mark, self.charged, now, in_flight
        )

    def _turned(self, window: Window, now: float) -> "LimitState":
        """The same state when its window may have ended, or has."""
        terms = self.terms
        window = window.passed(terms.meter, terms.limit, self.charged, now)
        plenty = terms.plenty if window.turned is None else math.inf
        terms = structs.replace(terms, window=window, plenty=plenty)
        return LimitState(self.level, self.at, self.charged, self.read_mark, terms)

    def _in_window(
        self, reading: Reading, remaining: float, window: Window | None, sent: float, mark: float, now: float
    ) -> tuple[float | None, float | None, float, float]:
        """(limit, level, `at`, `window_end`) as of a reading, where all room comes back at once or its limit is not
        known."""
        meter, limit = self.terms.meter, reading.limit
        most = window.most - 1.0 if window is not None and meter.is_exact else remaining
        if limit is None:
            limit = self.terms.limit
            if window is not None and meter.is_exact and (limit is None or limit <= most):
                limit = most + 1.0
        elif meter.is_exact:
            # Azure names the limit per minute also where it counts in slices of 10 s. More than that is not hoped for
            # until it was seen.
            limit = min(limit, max(most, meter.per_window(limit, limit_window.length_s(meter, window))))
        window_end = limit_window.said_end(reading.reset_s, sent, now)
        if reading.reset_s is None and sent < self.terms.window_end < window_end:
            left = self.room(now)
            if left is None or remaining - (self.charged - mark) <= left:
                window_end = self.terms.window_end  # of the same window, as no room has come back
        if sent < now and window_end <= now:
            return limit, limit, now, limit_window.next_end(meter, window, window_end, now)
        return limit, remaining, sent, window_end

    def _counts(self, reading: Reading, limit: float | None, rate: float, window_end: float, now: float) -> bool:
        """Is the level at `now` what the last reading left, less every charge since, in the very window or at the very
        refill that the new `reading` speaks of? `limit`, `rate` and `window_end` are as it has them."""
        terms = self.terms
        if terms.reading.reset_s is None or reading.reset_s is None:
            return False
        if rate > 0.0:
            return terms.limit == limit and terms.rate > 0.0
        return terms.rate == 0.0 and abs(window_end - self._advanced(now).terms.window_end) <= SAME_WINDOW_S


def _capped(level: float, limit: float | None) -> float:
    return level if limit is None or level < limit else limit
