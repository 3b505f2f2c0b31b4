"""The ledger of one bucket: what its provider still lets through, less what is on its way there.

A bucket is what shares one rate limit: host, key and model. It has a gauge for requests and one for tokens, and the
clock of its last 429. Reservations are what requests in flight hold; they are for people to see and for the invariant
that an idle bucket holds none, while the gauges do the counting.
"""

import math
from enum import IntEnum

from msgspec import Struct, structs

from domain.rate_limit.limit_reading import PER_MINUTE_S, Counting, Reading, Refill
from domain.rate_limit.limit_report import NO_READING, BucketReport, ReadingReport
from domain.rate_limit.limit_state import LimitState
from domain.rate_limit.throttle import UNLIMITED, Throttle

AZURE_REQUEST_SLICE_S = 10.0
TOKEN_MARGIN = 1.05
"""A guess is taken for a little short where it decides whether a request fits."""

SOFT_WAIT_S = 2.0
"""An estimate that says "not yet" is waited for only this long: it is an estimate, and headers may mislead."""


class Readings(Struct, frozen=True, gc=False):
    """What one reply says about its bucket."""

    requests: Reading = Reading()
    tokens: Reading = Reading()


NO_READINGS = Readings()
"""Of a reply that says nothing."""


class Room(IntEnum):
    """How well a request fits, worst first."""

    NONE = 0
    """Used up, or a 429 clock runs: asking would only cost a 429."""
    SCARCE = 1
    """It may or may not fit: to be asked only when no other endpoint has room."""
    AMPLE = 2


_NONE, _AMPLE = Room.NONE, Room.AMPLE


class Marks(Struct, frozen=True, gc=False):
    """Where a reservation of one request stands in its bucket's books."""

    need: float
    """The tokens that it is expected to take."""
    requests: float
    tokens: float
    others: float = 0.0
    """How many requests were on their way when it was sent: it may overtake so many ..."""
    others_tokens: float = 0.0
    """... that take so much."""
    is_too_large: bool = False
    """Is it expected to take more than the whole limit? Then `need` is the limit."""


class Charged(Struct, frozen=True):
    """What a bucket had been charged in all up to some moment, or for each limit up to one of its own."""

    requests: float = 0.0
    tokens: float = 0.0


class Bucket(Struct, frozen=True, gc=False):
    """The state of one bucket."""

    requests: LimitState
    tokens: LimitState
    clock: Throttle = UNLIMITED
    reserved_requests: float = 0.0
    reserved_tokens: float = 0.0

    @classmethod
    def fresh(cls, provider: str, rpm: float | None, tpm: float | None, now: float, reserve: float = 0.0) -> "Bucket":
        """A bucket nothing was heard of; `rpm` and `tpm` are what the configuration knows, None = nothing. The
        fraction `reserve` of each limit, but at least 1, is kept untouched while another bucket has room."""
        azure = provider == "azure"
        refill = Refill.WINDOW if azure else Refill.CONTINUOUS
        slice_s = AZURE_REQUEST_SLICE_S if azure else PER_MINUTE_S
        requests = Counting(refill, slice_s, is_exact=True, reserve=reserve)
        return cls(LimitState.of(requests, rpm, now), LimitState.of(Counting(refill, reserve=reserve), tpm, now))

    def room_for(self, need: float, now: float) -> Room:
        """How well a request of `need` tokens fits."""
        if now < self.clock.until:
            return _NONE
        requests, tokens = self.requests, self.tokens
        need *= TOKEN_MARGIN
        # Mostly there is plenty, and there is no less now than at the last charge or reading.
        if (requests.level is None or requests.level - 1.0 >= requests.terms.plenty) and (
            tokens.level is None or tokens.level - need >= tokens.terms.plenty
        ):
            return _AMPLE
        return min(_room(requests, 1.0, now), _room(tokens, need, now))

    def is_overdrawn(self, now: float) -> bool:
        """Is more charged than there was room for?"""
        return (self.requests.room(now) or 0.0) < 0 or (self.tokens.room(now) or 0.0) < 0

    def share_left(self, need: float, now: float) -> float:
        """The fraction of the scarcer limit that would be left: the larger, the better the choice. 1 = unknown."""
        return min(_share_left(self.requests, 1.0, now), _share_left(self.tokens, need, now))

    def fits_in_s(self, need: float, now: float) -> float:
        """Seconds until a request of `need` tokens fits, as far as is known; 0 = now."""
        waits = (self.requests.fits_in_s(1.0, now), self.tokens.fits_in_s(need * TOKEN_MARGIN, now))
        return max(self.clock.wait_s(now), *waits)

    def reserve(self, need: float, now: float) -> tuple["Bucket", Marks]:
        """A request is sent that is expected to take `need` tokens: of which it can get no more than the limit, and is
        charged no more."""
        limit = self.tokens.terms.limit
        is_too_large = limit is not None and need > limit
        if limit is not None and is_too_large:
            need = limit
        requests, tokens = self.requests.charge(1.0, now), self.tokens.charge(need, now)
        bucket = Bucket(requests, tokens, self.clock, self.reserved_requests + 1.0, self.reserved_tokens + need)
        marks = Marks(
            need, requests.charged, tokens.charged, self.reserved_requests, self.reserved_tokens, is_too_large
        )
        return bucket, marks

    def settle(
        self, marks: Marks, now: float, *, reached: bool, refused: bool = False, answered: bool = True
    ) -> "Bucket":
        """The request is over, to be called once. `reached` False = the provider never saw it, it cost nothing.
        `refused`: the provider would not answer it, that took no tokens. It counts as a request all the same (OpenAI
        rate-limits guide: unsuccessful requests contribute to the limit). `answered` False: nobody waited for what
        became of it, and one larger than the limit is refused."""
        requests, tokens, limit = self.requests, self.tokens, self.tokens.terms.limit
        if not reached:
            requests = requests.refund(1.0, marks.requests, now)
            tokens = tokens.refund(marks.need, marks.tokens, now)
        elif refused or (marks.is_too_large and not answered):
            tokens = tokens.refund(marks.need, marks.tokens, now)
        elif limit is not None and marks.need > limit:
            # Charged when the limit was not known yet.
            tokens = tokens.refund(marks.need - limit if answered else marks.need, marks.tokens, now)
        reserved = self.reserved_tokens
        # Sums of fractions need not come to exactly nothing.
        left = reserved - marks.need if reserved > marks.need and self.reserved_requests > 1.0 else 0.0
        return Bucket(requests, tokens, self.clock, self.reserved_requests - 1.0, left)

    def after_reading(self, readings: Readings, marks: Marks, sent: float, now: float) -> "Bucket":
        """The headers of the reply to a request that was sent at `sent`."""
        if readings is NO_READINGS:
            return self
        requests = self.requests.after_reading(readings.requests, sent, marks.requests, now, 1.0, marks.others)
        need, others = marks.need, marks.others_tokens
        tokens = self.tokens.after_reading(readings.tokens, sent, marks.tokens, now, need, others)
        return Bucket(requests, tokens, self.clock, self.reserved_requests, self.reserved_tokens)

    def report(self) -> BucketReport:
        """What this replica was told by the provider itself."""
        clock, requests, tokens = self.clock, _told(self.requests), _told(self.tokens)
        if not clock.until or clock.set_elsewhere:
            return BucketReport(requests=requests, tokens=tokens)
        return BucketReport(clock.until, clock.unexplained, requests, tokens)

    def after_report(self, report: BucketReport, marks: Charged, now: float) -> "Bucket":
        """Another replica says so; the very same object where that changes nothing. `marks` is what this replica had
        charged when the other one's requests were sent that gave the readings."""
        clock, requests, tokens = self.clock, self.requests, self.tokens
        if report.limited_until is not None:
            clock = clock.after_peer_report(report.limited_until, report.unexplained, now)
        if report.requests.read_at is not None:
            reading, read_at = report.requests.reading, report.requests.read_at
            requests = requests.after_peer_report(reading, read_at, marks.requests, now, self.reserved_requests)
        if report.tokens.read_at is not None:
            tokens = tokens.after_peer_report(report.tokens.reading, report.tokens.read_at, marks.tokens, now)
        if clock is self.clock and requests is self.requests and tokens is self.tokens:
            return self
        return structs.replace(self, clock=clock, requests=requests, tokens=tokens)

    def after_limit(self, delay_s: float | None, sent: float, now: float, *, overload: bool = False) -> "Bucket":
        """A 429, or an overload; `delay_s` None = it named no delay."""
        return structs.replace(self, clock=self.clock.after_limit(delay_s, sent, now, overload=overload))

    def after_success(self) -> "Bucket":
        """The bucket answered."""
        clock = self.clock.after_success()
        return self if clock is self.clock else structs.replace(self, clock=clock)


def _told(gauge: LimitState) -> ReadingReport:
    terms = gauge.terms
    if terms.is_from_peer or terms.read_at == -math.inf:
        return NO_READING
    return ReadingReport(terms.reading, terms.read_at)


def _room(gauge: LimitState, amount: float, now: float) -> Room:
    level, limit, kept = gauge.room(now), gauge.terms.limit, gauge.terms.kept
    if level is None or _is_ample(gauge, amount, now):
        return _AMPLE
    need = amount if limit is None else min(amount, limit - kept)
    if level >= max(need, 1.0) or gauge.probe_in_s(now) <= 0.0:
        return Room.SCARCE
    return Room.SCARCE if level >= 1.0 and gauge.refills_in_s(need, now) > SOFT_WAIT_S else _NONE


def _is_ample(gauge: LimitState, amount: float, now: float) -> bool:
    room, whole = gauge.sure_room(now), gauge.whole_window()
    kept, window, meter = gauge.terms.kept, gauge.terms.window, gauge.terms.meter
    if room is None or whole is None:
        return room is None or room - amount >= kept
    if window is not None:
        kept = meter.kept(whole)
        if not meter.is_exact and window.may_slide(meter):
            # A guess is worth little where a window holds a few requests: there must be room for two of them.
            amount *= 2.0
    # What is larger than the whole limit can only be tried, and best when nothing else has taken from it.
    return room - min(amount, whole - kept) >= kept


def _share_left(gauge: LimitState, amount: float, now: float) -> float:
    level, limit = gauge.room(now), gauge.terms.limit
    return 1.0 if level is None or not limit else (level - amount) / limit
