"""How much room one limit has: read from replies, charged for what was sent since, refilled as time passes.

A reply's headers tell the state at the moment its request was let in. So every request is charged when it is sent, and
a reading is compared with what was charged *after* that reply's request: each charge has a mark, the sum of all charges
up to it, and the room is what the reading said, less the charges beyond its mark, plus what has come back since.

Providers give room back in two ways. OpenAI refills without pause, and its reset is the time until all of it is back
(OpenAI rate-limits guide). Azure counts in fixed windows and gives all back at the end of one: requests in slices of
10 s, tokens by the minute (Azure OpenAI quota guide). Times are monotonic seconds.
"""

import math
from enum import Enum

from msgspec import Struct, structs

PER_MINUTE_S = 60.0
ADMISSION_S = 0.5
"""A request is let in some time after it was sent. A window that runs from then on is taken to begin as late as the
reply allows, but not later than this: a window that is thought to end too early costs a 429, too late a short wait."""
UNSAID_RESET_S = 10.0
"""How long a reading is believed that does not say when its room comes back: the shortest window a provider uses. If it
was longer, the provider's 429 will say so."""
SAME_WINDOW_S = 1.5
"""Ends of windows no further apart than this are those of one window: resets are in whole seconds, and when a request
was let in is not known better than to `ADMISSION_S`."""
ECHO_S = 0.005
"""Moments that another replica tells and that are no further apart than this are taken for the same."""


class Refill(Enum):
    """How a provider gives room back."""

    CONTINUOUS = "continuous"
    WINDOW = "window"


class Reading(Struct, frozen=True):
    """What one reply says about one limit. None = it does not say, or nothing that can be true."""

    limit: float | None = None
    remaining: float | None = None
    reset_s: float | None = None
    """Seconds from the reply's admission until all room is back."""

    @property
    def is_empty(self) -> bool:
        """Does it say anything?"""
        return self.limit is None and self.remaining is None

    @property
    def is_possible(self) -> bool:
        """Can all of it be true?"""
        return all(value is None or 0 <= value < math.inf for value in (self.limit, self.remaining, self.reset_s))


class Meter(Struct, frozen=True):
    """How one limit is counted; that never changes."""

    refill: Refill = Refill.CONTINUOUS
    window_s: float = PER_MINUTE_S
    """After how long the room is back, where no reading says so."""
    is_exact: bool = False
    """Is what is charged known, and no estimate?"""


class Heard(Struct, frozen=True):
    """The newest reading of what remains. `NOTHING_HEARD` = there was none."""

    reading: Reading = Reading()
    """As it came."""
    at: float = -math.inf
    """When the request was sent whose reply gave it."""
    mark: float = 0.0
    """What had been charged up to it, and so is in the reading."""
    elsewhere: bool = False
    """Did another replica read it? Then it is not ours to tell."""


NOTHING_HEARD = Heard()
_WINDOW = Refill.WINDOW


class Gauge(Struct, frozen=True):
    """One limit of one bucket. `level` None = nothing is known: there is room until somebody says otherwise."""

    meter: Meter = Meter()
    level: float | None = None
    """The room at the time `at`; below 0 when more was sent than there was room for."""
    at: float = 0.0
    charged: float = 0.0
    """Everything ever charged. Only grows, so that marks can be compared."""
    limit: float | None = None
    """The most room there can be, per window."""
    rate: float = 0.0
    """Room that comes back per second; 0 = it comes back at once, at `window_end`."""
    window_end: float = 0.0
    """When all room is back, where it does not come back bit by bit."""
    heard: Heard = NOTHING_HEARD

    @classmethod
    def of(
        cls, refill: Refill, window_s: float, per_minute: float | None, now: float, *, is_exact: bool = False
    ) -> "Gauge":
        """A gauge at the start; `per_minute` is a limit that the configuration knows, None = it knows none."""
        if per_minute is None:
            return cls(Meter(refill, window_s, is_exact))
        # What the configuration limits is ours to count, so it is counted in the way that wastes nothing.
        return cls(level=per_minute, at=now, limit=per_minute, rate=per_minute / PER_MINUTE_S)

    def room(self, now: float) -> float | None:
        """The room at `now`; None = unknown."""
        level = self.level
        if level is None or now <= self.at:
            return level
        if self.rate > 0:
            return _capped(level + self.rate * (now - self.at), self.limit)
        return level if now < self.window_end else self.limit

    def charge(self, amount: float, now: float) -> "Gauge":
        """Something is sent that takes `amount`. Its mark is the `charged` of the result."""
        level, at, limit, rate = self.level, self.at, self.limit, self.rate
        if level is not None:
            if now > at:
                if rate > 0:
                    level, at = level + rate * (now - at), now
                    level = level if limit is None or level < limit else limit
                elif now >= self.window_end:
                    return self._advanced(now).charge(amount, now)
            level -= amount
        return Gauge(self.meter, level, at, self.charged + amount, limit, rate, self.window_end, self.heard)

    def refund(self, amount: float, mark: float, now: float) -> "Gauge":
        """What was charged up to `mark` never reached the provider. Known already where a later reading was taken."""
        gauge = self._advanced(now)
        if gauge.level is None or mark <= gauge.heard.mark:
            return gauge
        return structs.replace(gauge, level=_capped(gauge.level + amount, gauge.limit))

    def after_reading(
        self, reading: Reading, sent: float, mark: float, now: float, in_flight: float = 0.0, *, elsewhere: bool = False
    ) -> "Gauge":
        """A reply says so; its request was sent at `sent`, charged up to `mark`. An older reading changes nothing.

        Requests overtake each other on their way: the reading of one that did knows nothing of others that were sent
        before it and take `in_flight` at most. So where the charges are exact a reading that makes more of the room
        than they have left is believed less that. `elsewhere`: it was a reply to another replica.
        """
        remaining = reading.remaining
        if sent < self.heard.at or (remaining is None and reading.limit is None):
            return self
        limit, rate = self._terms(reading)
        if remaining is None:
            return structs.replace(self._advanced(now), limit=limit)
        level: float | None = remaining
        at, reset_s = sent, UNSAID_RESET_S if reading.reset_s is None else reading.reset_s
        window_end = sent + reset_s
        if now > sent:
            window_end = (now if now - sent < ADMISSION_S else sent + ADMISSION_S) + reset_s
            if rate > 0:
                level, at = remaining + rate * (now - sent), now
                level = level if limit is None or level < limit else limit
            elif now >= window_end:
                level, at, window_end = limit, now, self._next_end(window_end, now)
        if level is not None:
            level -= self.charged - mark
            if self.meter.is_exact and self._counts(reading, limit, window_end, now):
                before = self.room(now)
                if before is not None and level > before:
                    level, mark = max(before, level - in_flight), self.heard.mark
        heard = Heard(reading, sent, mark, elsewhere)
        return Gauge(self.meter, level, at, self.charged, limit, rate, window_end, heard)

    def after_hearsay(self, reading: Reading, sent: float, mark: float, now: float, in_flight: float = 0.0) -> "Gauge":
        """Another replica read this from the reply to a request of its own, which it sent at `sent`; up to then this
        replica had charged `mark`. The very same gauge if it knows as much already, or if that cannot be."""
        is_news = self.heard.at + ECHO_S < sent <= now + ECHO_S
        if not is_news or reading.remaining is None or not reading.is_possible:
            return self
        return self.after_reading(reading, min(sent, now), mark, now, in_flight, elsewhere=True)

    def fits_in_s(self, amount: float, now: float) -> float:
        """Seconds until `amount` fits; 0 = now. More than the limit fits when all room is back."""
        gauge = self._advanced(now)
        if gauge.level is None:
            return 0.0
        need = amount if gauge.limit is None else min(amount, gauge.limit)
        if gauge.level >= need:
            return 0.0
        return (need - gauge.level) / gauge.rate if gauge.rate > 0 else max(0.0, gauge.window_end - now)

    def full_in_s(self, now: float) -> float | None:
        """Seconds until all room is back; None = unknown."""
        gauge = self._advanced(now)
        if gauge.level is None or gauge.limit is None:
            return None
        missing = gauge.limit - gauge.level
        if missing <= 0:
            return 0.0
        return missing / gauge.rate if gauge.rate > 0 else max(0.0, gauge.window_end - now)

    def _advanced(self, now: float) -> "Gauge":
        """The same gauge, seen at `now`."""
        if self.level is None or now <= self.at:
            return self
        if self.rate > 0:
            return structs.replace(self, level=self.room(now), at=now)
        if now < self.window_end:
            return self
        return structs.replace(self, level=self.limit, at=now, window_end=self._next_end(self.window_end, now))

    def _next_end(self, window_end: float, now: float) -> float:
        """When the window ends in which `now` is, where one ended at `window_end`."""
        return window_end + ((now - window_end) // self.meter.window_s + 1) * self.meter.window_s

    def _counts(self, reading: Reading, limit: float | None, window_end: float, now: float) -> bool:
        """Is the level at `now` what the last reading left, less every charge since, in the very window or at the very
        refill that the new `reading` speaks of? `limit` and `window_end` are those of the new one."""
        if self.heard.reading.reset_s is None or reading.reset_s is None:
            return False
        if self.meter.refill is _WINDOW:
            return abs(window_end - self._advanced(now).window_end) <= SAME_WINDOW_S
        return self.limit == limit and self.rate > 0

    def _terms(self, reading: Reading) -> tuple[float | None, float]:
        """The limit per window, and the room that comes back per second, as of a reading."""
        limit, remaining = reading.limit, reading.remaining
        if self.meter.refill is _WINDOW:
            if limit is None:
                return self.limit, 0.0
            # Azure names the limit per minute also where it counts in slices of 10 s.
            slice_ = limit * self.meter.window_s / PER_MINUTE_S
            return (slice_ if remaining is None or remaining <= slice_ else limit), 0.0
        if limit is None:
            limit = self.limit
        if limit is None or remaining is None:
            return limit, 0.0
        # What is missing comes back within the reset; else the limit within a minute.
        reset_s = reading.reset_s
        if reset_s is not None and reset_s > 0 and remaining < limit:
            return limit, (limit - remaining) / reset_s
        return limit, limit / PER_MINUTE_S


def _capped(level: float, limit: float | None) -> float:
    return level if limit is None or level < limit else limit
