"""The ledger of one bucket: what its provider still lets through, less what is on its way there.

A bucket is what shares one rate limit: host, key and model. It has a gauge for requests and one for tokens, and the
clock of its last 429. Reservations are what requests in flight hold; they are for people to see and for the invariant
that an idle bucket holds none, while the gauges do the counting.
"""

import math
from enum import IntEnum

from msgspec import Struct, structs

from domain.gauge import PER_MINUTE_S, Gauge, Reading, Refill
from domain.limit_clock import UNLIMITED, RateLimitClock
from domain.news import NO_READING, BucketNews, ReadingNews

AZURE_REQUEST_SLICE_S = 10.0
TOKEN_MARGIN = 1.05
"""A guess is taken for a little short where it decides whether a request fits."""

SOFT_WAIT_S = 2.0
"""An estimate that says "not yet" is waited for only this long: it is an estimate, and headers may mislead."""


class Need(Struct, frozen=True):
    """What one request is expected to take."""

    tokens: float
    requests: float = 1.0


class Readings(Struct, frozen=True):
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


class Marks(Struct, frozen=True):
    """Where a reservation stands in its bucket's books."""

    need: Need
    requests: float
    tokens: float


class Charged(Struct, frozen=True):
    """What a bucket had been charged in all up to some moment, or for each limit up to one of its own."""

    requests: float = 0.0
    tokens: float = 0.0


class Bucket(Struct, frozen=True):
    """The state of one bucket."""

    requests: Gauge
    tokens: Gauge
    clock: RateLimitClock = UNLIMITED
    reserved_requests: float = 0.0
    reserved_tokens: float = 0.0

    @classmethod
    def fresh(cls, provider: str, rpm: float | None, tpm: float | None, now: float) -> "Bucket":
        """A bucket nothing was heard of; `rpm` and `tpm` are what the configuration knows, None = nothing."""
        azure = provider == "azure"
        refill = Refill.WINDOW if azure else Refill.CONTINUOUS
        slice_s = AZURE_REQUEST_SLICE_S if azure else PER_MINUTE_S
        return cls(Gauge.of(refill, slice_s, rpm, now, is_exact=True), Gauge.of(refill, PER_MINUTE_S, tpm, now))

    def room_for(self, need: Need, reserve: float, now: float) -> Room:
        """How well `need` fits, keeping the fraction `reserve` of each limit, but at least 1, untouched."""
        if self.clock.wait_s(now):
            return Room.NONE
        return min(
            _room(self.requests, need.requests, reserve, now),
            _room(self.tokens, need.tokens * TOKEN_MARGIN, reserve, now),
        )

    def is_overdrawn(self, now: float) -> bool:
        """Is more charged than there was room for?"""
        return (self.requests.room(now) or 0.0) < 0 or (self.tokens.room(now) or 0.0) < 0

    def share_left(self, need: Need, now: float) -> float:
        """The fraction of the scarcer limit that would be left: the larger, the better the choice. 1 = unknown."""
        return min(_share_left(self.requests, need.requests, now), _share_left(self.tokens, need.tokens, now))

    def fits_in_s(self, need: Need, now: float) -> float:
        """Seconds until `need` fits, as far as is known; 0 = now."""
        waits = (self.requests.fits_in_s(need.requests, now), self.tokens.fits_in_s(need.tokens * TOKEN_MARGIN, now))
        return max(self.clock.wait_s(now), *waits)

    def reserve(self, need: Need, now: float) -> tuple["Bucket", Marks]:
        """A request is sent."""
        requests, tokens = self.requests.charge(need.requests, now), self.tokens.charge(need.tokens, now)
        bucket = structs.replace(
            self,
            requests=requests,
            tokens=tokens,
            reserved_requests=self.reserved_requests + need.requests,
            reserved_tokens=self.reserved_tokens + need.tokens,
        )
        return bucket, Marks(need, requests.charged, tokens.charged)

    def settle(self, marks: Marks, now: float, *, reached: bool) -> "Bucket":
        """The request is over, to be called once. `reached` False = the provider never saw it, it cost nothing."""
        bucket = structs.replace(
            self,
            reserved_requests=max(0.0, self.reserved_requests - marks.need.requests),
            reserved_tokens=max(0.0, self.reserved_tokens - marks.need.tokens),
        )
        if reached:
            return bucket
        return structs.replace(
            bucket,
            requests=self.requests.refund(marks.need.requests, marks.requests, now),
            tokens=self.tokens.refund(marks.need.tokens, marks.tokens, now),
        )

    def after_reading(self, readings: Readings, marks: Marks, sent: float, now: float) -> "Bucket":
        """The headers of the reply to a request that was sent at `sent`."""
        if readings is NO_READINGS:
            return self
        others = max(0.0, self.reserved_requests - marks.need.requests)
        return structs.replace(
            self,
            requests=self.requests.after_reading(readings.requests, sent, marks.requests, now, in_flight=others),
            tokens=self.tokens.after_reading(readings.tokens, sent, marks.tokens, now),
        )

    def news(self) -> BucketNews:
        """What this replica was told by the provider itself."""
        clock, requests, tokens = self.clock, _told(self.requests), _told(self.tokens)
        if not clock.until or clock.set_elsewhere:
            return BucketNews(requests=requests, tokens=tokens)
        return BucketNews(clock.until, clock.unexplained, requests, tokens)

    def after_news(self, news: BucketNews, marks: Charged, now: float) -> "Bucket":
        """Another replica says so; the very same object where that changes nothing. `marks` is what this replica had
        charged when the other one's requests were sent that gave the readings."""
        clock, requests, tokens = self.clock, self.requests, self.tokens
        if news.limited_until is not None:
            clock = clock.after_hearsay(news.limited_until, news.unexplained, now)
        if news.requests.read_at is not None:
            reading, read_at = news.requests.reading, news.requests.read_at
            requests = requests.after_hearsay(reading, read_at, marks.requests, now, in_flight=self.reserved_requests)
        if news.tokens.read_at is not None:
            tokens = tokens.after_hearsay(news.tokens.reading, news.tokens.read_at, marks.tokens, now)
        if clock is self.clock and requests is self.requests and tokens is self.tokens:
            return self
        return structs.replace(self, clock=clock, requests=requests, tokens=tokens)

    def after_limit(self, delay_s: float | None, sent: float, now: float) -> "Bucket":
        """A 429; `delay_s` None = it named no delay."""
        return structs.replace(self, clock=self.clock.after_limit(delay_s, sent, now))

    def after_success(self) -> "Bucket":
        """The bucket answered."""
        clock = self.clock.after_success()
        return self if clock is self.clock else structs.replace(self, clock=clock)


def _told(gauge: Gauge) -> ReadingNews:
    if gauge.read_elsewhere or gauge.read_at == -math.inf:
        return NO_READING
    return ReadingNews(gauge.reading, gauge.read_at)


def _room(gauge: Gauge, amount: float, reserve: float, now: float) -> Room:
    level = gauge.room(now)
    if level is None:
        return Room.AMPLE
    kept, need = 0.0, amount
    if gauge.limit is not None:
        kept = reserve * gauge.limit
        kept = max(kept, 1.0)
        # What is larger than the whole limit can only be tried, and best when nothing else has taken from it.
        need = min(need, gauge.limit - kept)
    if level - need >= kept:
        return Room.AMPLE
    if level < 1:
        return Room.NONE
    if level >= need:
        return Room.SCARCE
    return Room.SCARCE if gauge.fits_in_s(need, now) > SOFT_WAIT_S else Room.NONE


def _share_left(gauge: Gauge, amount: float, now: float) -> float:
    level = gauge.room(now)
    if level is None or not gauge.limit:
        return 1.0
    return (level - amount) / gauge.limit
