"""A provisioned deployment's leaky bucket, learned from outside: how fast it drains, how much it holds, how full it is.

Azure OpenAI (provisioned throughput guide): a call is let in while the bucket is below its brim, whatever it takes, and
adds its prompt tokens, less cached ones, and `max_tokens`; what it took less or more is corrected at its end; the
bucket drains without pause. Above the brim a call is refused, and told when it is below again. How fast it drains and
how much it holds is told nowhere.

So each refusal names a moment at which the bucket is just full. What was charged between two of them, by the time
between them, is how fast it drained: exactly where it never ran empty, else it can drain faster. The rate that is used
is a little more than the one that was measured, the more so the less was measured, and the longer nothing was refused:
too high a rate costs one refusal, which mends it; too low a one would never be noticed. Amounts are tokens, times are
monotonic seconds. Whoever else uses the deployment makes it drain slower.
"""

from math import exp2

from msgspec import Struct, structs

from domain.rate_limit.limit_reading import PER_MINUTE_S, Counting, Refill
from domain.rate_limit.limit_state import LimitState
from domain.rate_limit.limit_terms import LimitTerms

_COUNTING = Counting(Refill.LEAKY)
_HELD_S, _LEAST_HELD_S = PER_MINUTE_S, 2.0
"""It is taken to hold what drains in so long, until a refusal says that it holds less; at least so much."""
_HELD_GROWS = 1.05
_MARGIN_NEEDS, _MARGIN_S = 3.0, 0.5
"""So many requests, or what drains in so long, are kept free while another endpoint has room: whichever is more."""
_LEAST_MARGINS = 8.0
"""It holds at least so many margins."""
_FREE_NEEDS, _FREE_S = 10.0, 4.0
"""With more room than that it may have run empty, as nobody knows for certain how much it holds."""
_REMEMBERED = 200.0
"""A rate is what the last so many requests measured."""
_CONFIGURED = 20.0
"""What the configuration says is believed as if so many had measured it."""
_TRUSTED = 20.0
"""By a rate that so many measured it is judged how much the bucket holds."""
_LEAST_ADDED, _MOST_AT_FIRST, _MOST_ADDED = 0.003, 0.5, 4.0
"""Parts of the measured rate: what is added to it at least, at most right after a refusal, and at most in time."""
_DOUBLES_EVERY = 100.0
"""So many requests without a refusal, and with the bucket near its brim, make twice as much of what is added."""
_OUTGROWN_BY, _OUTGROWN_AFTER = 0.05, 4.0
"""With that much added, and after so many doublings of it as make so much, the measured rate is given up."""
_OUTGROWN_MEASURED = 5.0
_LEAST_TIME_S = 1.0
_QUIET_S = 5.0
"""Before the first refusal, a pause that is longer than this is not counted as time in which it drained."""
_LONGEST_WAIT_S = 300.0
_LEARNING_RATE = 0.05


class LeakyBucket(Struct, frozen=True, gc=False):
    """One bucket. `rate` None = nothing was refused yet and the configuration does not know: there is room."""

    full_at: float
    """When it is just full, as the newest refusal said; before the first one when its first request was sent."""
    rate: float | None = None
    """Tokens that drain per second, as measured."""
    measured: float = 0.0
    """By so many requests, of those that are remembered; 0 = it is a first guess."""
    room: float = 0.0
    """Below the brim, at the time `at`; negative = it is fuller than full."""
    at: float = 0.0
    sent: float = 0.0
    """What was charged in all. Only grows, so that marks can be compared."""
    given_back: float = 0.0
    """Of that."""
    need: float = 0.0
    """What a request takes, on average."""
    held_s: float = _HELD_S
    """How much it holds: what drains in so long."""
    full_charged: float = 0.0
    """What had been charged, less what had been given back, when it was just full."""
    heard_at: float = 0.0
    """When that was told."""
    pressed_from: float = 0.0
    """What had been charged when it was just full, or had much room, for the last time."""
    peak: float = 0.0
    """The most room since it was just full."""

    @classmethod
    def of(cls, per_minute: float | None, now: float) -> "LeakyBucket":
        """At the start; `per_minute` is what the configuration says that it drains, None = it does not."""
        if per_minute is None:
            return cls(now)
        rate = per_minute / PER_MINUTE_S
        return cls(now, rate, _CONFIGURED, rate * _HELD_S, now, peak=rate * _HELD_S)

    @property
    def charged(self) -> float:
        """In all, less what was given back."""
        return self.sent - self.given_back

    @property
    def added(self) -> float:
        """What is added to the measured rate, as a part of it."""
        at_first = max(_LEAST_ADDED, min(_MOST_AT_FIRST, 1.0 / max(self.measured, 1.0)))
        return min(at_first * self._pressed, _MOST_ADDED)

    @property
    def _pressed(self) -> float:
        """1 = it was refused, or had much room, just now; doubles with each so many requests without either."""
        needs = (self.sent - self.pressed_from) / max(self.need, 1.0)
        return exp2(min(needs / _DOUBLES_EVERY, 10.0))

    def limit_state(self) -> LimitState:
        """As a limit, which routing, waiting and people look at."""
        if self.rate is None:
            return LimitState(None, self.at, self.sent, 0.0, LimitTerms(_COUNTING))
        used = self.rate * (1.0 + self.added)
        kept = min(self._margin(self.rate), 0.5 * self._held(self.rate))
        terms = LimitTerms(_COUNTING, self._held(self.rate), kept, kept, used, floor=-self._held(self.rate))
        return LimitState(self.room, self.at, self.sent, 0.0, terms)

    def charge(self, amount: float, now: float) -> "LeakyBucket":
        """A request is sent that takes `amount`. Its mark is the `sent` of the result."""
        seen = self._at(now)
        need = amount if not seen.sent else seen.need + _LEARNING_RATE * (amount - seen.need)
        return structs.replace(seen, room=seen.room - amount, sent=seen.sent + amount, need=need)

    def correct(self, less: float, now: float) -> "LeakyBucket":
        """A request is over, and took so much less than it was charged; negative = more."""
        seen = self._at(now)
        room = seen.room + less if seen.rate is None else min(seen.room + less, seen._held(seen.rate))
        return structs.replace(seen, room=room, given_back=seen.given_back + less)

    def after_refusal(self, wait_s: float | None, amount: float, mark: float, sent: float, now: float) -> "LeakyBucket":
        """A request that was charged `amount`, up to `mark`, and sent at `sent` was told to wait `wait_s` seconds;
        None = it was not told how long. What it was charged is still to be given back.

        Of several that were on their way together the first tells all there is to tell.
        """
        if sent < self.heard_at:
            return self
        seen = self._at(now)
        wait_s = min(wait_s or 0.0, _LONGEST_WAIT_S)
        later = max(0.0, seen.sent - mark)
        charged = seen.charged - amount - later
        full_at = now + wait_s
        learned = seen._measured(charged - seen.full_charged, full_at - seen.full_at, seen.room + amount + later)
        return structs.replace(
            learned,
            room=-(learned.rate or 0.0) * wait_s - amount - later,
            full_at=full_at,
            full_charged=charged,
            heard_at=now,
            pressed_from=learned.sent,
            peak=0.0,
        )

    def after_peer_report(self, full_at: float, now: float) -> "LeakyBucket":
        """Another replica was refused, and told that it is just full at `full_at`. What that one sent is not known, so
        nothing is measured."""
        seen = self._at(now)
        rate = seen.rate
        room = 0.0 if rate is None else min(seen.room, -rate * max(full_at - now, 0.0))
        return structs.replace(
            seen, room=room, full_at=full_at, full_charged=seen.charged, pressed_from=seen.sent, peak=0.0
        )

    def begun_anew(self, per_minute: float | None, now: float, room: float | None = None) -> "LeakyBucket":
        """As `of`, but for what requests on their way were charged. `room`: what is known to be left of it; None =
        nothing is."""
        fresh = LeakyBucket.of(per_minute, now)
        left = fresh.room if room is None else room
        return structs.replace(
            fresh, room=left, peak=left, sent=self.sent, given_back=self.given_back, need=self.need,
            full_charged=self.charged, pressed_from=self.sent,
        )  # fmt: skip

    def _at(self, now: float) -> "LeakyBucket":
        """The same, seen at `now`."""
        if now <= self.at:
            return self
        if self.rate is None:
            # It ran empty meanwhile: what came before says little of how fast it drains.
            is_anew = now - self.at > _QUIET_S
            full_at, full_charged = (now, self.charged) if is_anew else (self.full_at, self.full_charged)
            return structs.replace(self, at=now, full_at=full_at, full_charged=full_charged)
        room = self.room + self.rate * (1.0 + self.added) * (now - self.at)
        room = min(room, self._held(self.rate))
        seen = structs.replace(self, room=room, at=now, peak=max(self.peak, room))
        if room <= self._free(self.rate):
            return seen
        return structs.replace(seen._outgrown(), pressed_from=self.sent)

    def _outgrown(self) -> "LeakyBucket":
        """After so long without a refusal the rate must be larger than what was measured long ago."""
        if self.rate is None or self._pressed <= _OUTGROWN_AFTER or self.added <= _OUTGROWN_BY:
            return self
        return structs.replace(self, rate=self.rate * (1.0 + self.added), measured=_OUTGROWN_MEASURED)

    def _measured(self, charged: float, seconds: float, room: float) -> "LeakyBucket":
        """After `charged` tokens between two moments at which it was just full, so many seconds apart. At the second
        there was `room` by this account, and none in truth."""
        rate, need = self.rate, max(self.need, 1.0)
        if rate is None:
            # It was empty at first, and nobody knows how much it holds: this is too much rather than too little.
            return structs.replace(self, rate=max(charged, need) / max(seconds, _LEAST_TIME_S))
        if not self.heard_at or charged <= 0.0 or seconds <= 0.0:
            return self
        seen = charged / seconds
        was_free = self.peak > self._free(rate)
        if not self.measured and was_free:
            return structs.replace(self, rate=max(rate, seen))
        if not self.measured:
            return structs.replace(self, rate=seen, measured=charged / need)
        if was_free and room > 2.0 * self._margin(rate) and self.measured > _TRUSTED:
            held_s = max(_LEAST_HELD_S, min(self.held_s, (self.peak - room) / rate))
            return structs.replace(self, rate=max(rate, seen), held_s=held_s)
        held_s = min(_HELD_S, self.held_s * _HELD_GROWS)
        if was_free:
            return structs.replace(self, rate=max(rate, seen), held_s=held_s)
        outgrown = self._outgrown()
        if outgrown is not self:
            return structs.replace(outgrown, rate=max(outgrown.rate or 0.0, seen), held_s=held_s)
        before = min(self.measured, _REMEMBERED) * need
        measured = before + charged
        return structs.replace(self, rate=measured / (before / rate + seconds), measured=measured / need, held_s=held_s)

    def _held(self, rate: float) -> float:
        return max(rate * self.held_s, _LEAST_MARGINS * self._margin(rate))

    def _free(self, rate: float) -> float:
        return min(max(_FREE_NEEDS * self.need, _FREE_S * rate), 0.5 * self._held(rate))

    def _margin(self, rate: float) -> float:
        return max(_MARGIN_NEEDS * self.need, _MARGIN_S * rate)
