"""The books of all rate limits: a bucket each for what shares one, charged at the pick, read from every reply.

The rules are `domain.rate_limit`'s; here they meet the endpoints. An endpoint with a key of its own has one bucket for
everybody, which replicas tell each other of; where clients bring their keys each client has its own.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from application.charges import ChargeHistory
from domain.endpoint import Endpoint
from domain.failure import Failure
from domain.news import NO_LIMIT, BucketNews
from domain.rate_limit import Bucket, Charged, Marks, Need, Readings, Room
from domain.tokens import Demand, TokenEstimate, Usage

MAX_BUCKETS = 10_000
"""Clients may bring their own keys; beyond this many buckets those that hold nothing are forgotten."""


class Reservation(Struct, frozen=True):
    """What one attempt holds of a bucket."""

    bucket: str
    marks: Marks
    sent: float


class Ledger:
    """Synchronous, like all of routing: between a look at the room and the reservation nothing else runs."""

    def __init__(self, reserve: float, now: float) -> None:
        self._reserve = reserve
        self._started = now
        self._buckets: dict[str, Bucket] = {}
        self._estimates: dict[str, TokenEstimate] = {}
        self._charges = ChargeHistory()

    def room(self, endpoint: Endpoint, client: str, demand: Demand, now: float) -> Room:
        """How well a request fits where it would be charged."""
        name = _name(endpoint, client)
        bucket = self._buckets.get(name)
        if bucket is None:
            if endpoint.rpm is None and endpoint.tpm is None:
                return Room.AMPLE
            bucket = self._open(name, endpoint)
        return bucket.room_for(self._need(name, demand), self._reserve, now)

    def share_left(self, endpoint: Endpoint, client: str, demand: Demand, now: float) -> float:
        """To choose among the scarce: the fraction of the limit that would be left."""
        name = _name(endpoint, client)
        bucket = self._buckets.get(name)
        return 1.0 if bucket is None else bucket.share_left(self._need(name, demand), now)

    def fits_in_s(self, endpoint: Endpoint, client: str, demand: Demand, now: float) -> float:
        """Seconds until a request fits, as far as is known; 0 = now."""
        name = _name(endpoint, client)
        bucket = self._buckets.get(name)
        return 0.0 if bucket is None else bucket.fits_in_s(self._need(name, demand), now)

    def charge(self, endpoint: Endpoint, client: str, demand: Demand, now: float) -> Reservation:
        """A request is sent."""
        name = _name(endpoint, client)
        bucket = self._buckets.get(name) or self._open(name, endpoint)
        self._buckets[name], marks = bucket.reserve(self._need(name, demand), now)
        return Reservation(name, marks, now)

    def overdrawn(self, held: Reservation, now: float) -> bool:
        """Is more charged than there is room for? Then what was not sent yet should not be."""
        return self._buckets[held.bucket].is_overdrawn(now)

    def settle(self, held: Reservation, now: float, *, reached: bool) -> None:
        """The request is over; to be called once for each `charge`."""
        self._buckets[held.bucket] = self._buckets[held.bucket].settle(held.marks, now, reached=reached)

    def read(self, held: Reservation, readings: Readings, now: float) -> None:
        """The headers of its reply came."""
        self._buckets[held.bucket] = self._buckets[held.bucket].after_reading(readings, held.marks, held.sent, now)

    def limited(self, held: Reservation, failure: Failure, now: float) -> tuple[float, bool]:
        """It was answered 429: (seconds until the bucket may be asked again, whether that is news)."""
        bucket = self._buckets[held.bucket]
        news = not bucket.clock.wait_s(now)
        bucket = bucket.after_limit(failure.retry_after_s, held.sent, now)
        self._buckets[held.bucket] = bucket
        return bucket.clock.wait_s(now), news

    def succeeded(self, held: Reservation) -> None:
        """It was answered well."""
        self._buckets[held.bucket] = self._buckets[held.bucket].after_success()

    def learn(self, held: Reservation, demand: Demand, usage: Usage) -> None:
        """Its reply said what it took."""
        estimate = self._estimates.get(held.bucket, TokenEstimate())
        self._estimates[held.bucket] = estimate.after_usage(demand, usage)

    def clock_s(self, endpoint: Endpoint, now: float) -> float:
        """Seconds until the endpoint's own 429 clock ends; 0 = none runs."""
        bucket = self._buckets.get(endpoint.bucket)
        return 0.0 if bucket is None else bucket.clock.wait_s(now)

    def own_buckets(self, endpoints: Iterable[Endpoint]) -> Mapping[str, Bucket | None]:
        """The bucket of each endpoint (by endpoint id) that has a key of its own; None = nothing was heard yet."""
        return {e.id: self._buckets.get(e.bucket) for e in endpoints if e.owns_credential}

    def checkpoint(self, names: Iterable[str], now: float) -> None:
        """Remember where the books of these buckets stand, to be called about ten times a second while replicas tell
        each other what they read."""
        for name in names:
            bucket = self._buckets.get(name)
            if bucket is not None:
                self._charges.note(name, bucket, now)

    def report(self, names: Iterable[str], now: float) -> dict[str, BucketNews]:
        """What this replica found out of these buckets and is still of interest."""
        report = {}
        for name in names:
            bucket = self._buckets.get(name)
            news = NO_LIMIT if bucket is None else bucket.news().of_interest(now)
            if news != NO_LIMIT:
                report[name] = news
        return report

    def take(self, endpoint: Endpoint, news: BucketNews, now: float) -> bool:
        """Another replica says this of the endpoint's bucket: does it change anything?"""
        name = endpoint.bucket
        bucket = self._buckets.get(name) or self._open(name, endpoint)
        marks = Charged(
            self._charges.at(name, news.requests.read_at).requests, self._charges.at(name, news.tokens.read_at).tokens
        )
        self._buckets[name] = bucket.after_news(news, marks, now)
        return self._buckets[name] is not bucket

    def _need(self, name: str, demand: Demand) -> Need:
        return Need(self._estimates.get(name, _UNTAUGHT).tokens(demand))

    def _open(self, name: str, endpoint: Endpoint) -> Bucket:
        if len(self._buckets) >= MAX_BUCKETS:
            self._forget_idle()
        bucket = Bucket.fresh(endpoint.provider, endpoint.rpm, endpoint.tpm, self._started)
        self._buckets[name] = bucket
        if endpoint.owns_credential:
            self._charges.begin(name)
        return bucket

    def _forget_idle(self) -> None:
        """What no request holds; what it knew is learned again from the next reply."""
        self._buckets = {name: bucket for name, bucket in self._buckets.items() if bucket.reserved_requests > 0}
        self._estimates = {name: e for name, e in self._estimates.items() if name in self._buckets}


_UNTAUGHT = TokenEstimate()


def _name(endpoint: Endpoint, client: str) -> str:
    return endpoint.bucket if endpoint.owns_credential else f"{endpoint.bucket}/{client}"
