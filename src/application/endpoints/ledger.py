"""The books of all rate limits: an entry for each bucket, charged at the pick, read from every reply.

The rules are `domain.rate_limit`'s; here they meet the endpoints. An endpoint with a key of its own has one bucket for
everybody, which replicas report to each other; where clients bring their keys each client has its own.
"""

from collections.abc import Mapping

from application.endpoints.charge_history import ChargeHistory
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.rate_limit.bucket import Bucket, Charged, Ending, Readings, Reservation, Room
from domain.rate_limit.limit_report import NO_LIMIT, BucketReport
from domain.rate_limit.token_estimate import UNTAUGHT, Demand, Usage

MAX_BUCKETS = 10_000
"""Clients may bring their own keys; beyond this many buckets those that hold nothing are forgotten."""


class LedgerEntry:
    """One bucket now, what requests in flight hold of it, and what was learned of those that it is charged for."""

    __slots__ = ("bucket", "estimate", "reserved_requests", "reserved_tokens")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.estimate = UNTAUGHT
        self.reserved_requests = 0.0
        self.reserved_tokens = 0.0

    def room(self, demand: Demand, now: float) -> Room:
        """How well a request fits."""
        return self.bucket.room_for(self.estimate.tokens(demand), now)

    def fits_in_s(self, demand: Demand, now: float) -> float:
        """Seconds until a request fits, as far as is known; 0 = now."""
        return self.bucket.fits_in_s(self.estimate.tokens(demand), now)

    def charge(self, need: float, now: float) -> Reservation:
        """A request is sent that is expected to take `need` tokens."""
        requests, tokens = self.reserved_requests, self.reserved_tokens
        self.bucket, held = self.bucket.reserve(need, now, requests, tokens)
        self.reserved_requests = requests + 1.0
        self.reserved_tokens = tokens + held.tokens
        return held

    def is_overdrawn(self, now: float) -> bool:
        """Is more charged than there is room for? Then what was not sent yet should not be."""
        return self.bucket.is_overdrawn(now)

    def read(self, readings: Readings, held: Reservation, sent: float, now: float) -> None:
        """The headers came of the reply to a request that was sent at `sent`."""
        self.bucket = self.bucket.after_reading(readings, held, sent, now)

    def succeeded(self) -> None:
        """A request was answered well."""
        self.bucket = self.bucket.after_success()

    def limited(self, failure: Failure, sent: float, now: float) -> tuple[float, bool]:
        """It was answered 429, or with overload: (seconds until the bucket may be asked again, is that new?)."""
        is_new = not self.bucket.throttle.wait_s(now)
        overload = failure.kind is FailureKind.OVERLOADED
        self.bucket = self.bucket.after_limit(failure.retry_after_s, sent, now, overload=overload)
        return self.bucket.throttle.wait_s(now), is_new

    def settle(self, held: Reservation, ending: Ending, now: float) -> None:
        """The request is over; to be called once for each `charge`."""
        self.bucket = self.bucket.settle(held, ending, now)
        self.reserved_requests = left = self.reserved_requests - 1.0
        # Sums of fractions need not come to exactly nothing.
        tokens = self.reserved_tokens - held.tokens
        self.reserved_tokens = tokens if tokens > 0.0 and left > 0.0 else 0.0

    def learn(self, demand: Demand, usage: Usage) -> None:
        """A reply said what its request took."""
        self.estimate = self.estimate.after_usage(demand, usage)

    def take(self, report: BucketReport, charged: Charged, now: float) -> bool:
        """Another replica says this of the bucket: does it change anything? See `Bucket.after_report`."""
        before = self.bucket
        self.bucket = before.after_report(report, charged, now, self.reserved_requests)
        return self.bucket is not before

    def is_overloaded(self, now: float) -> bool:
        """Does it rest because it said that it is overloaded, and not because somebody asked for too much?"""
        throttle = self.bucket.throttle
        return throttle.overload and throttle.until > now


class Ledger:
    """The entries, found by the bucket of an endpoint, and of the client where that brings the key."""

    def __init__(self, reserve: float, now: float) -> None:
        """`reserve`: see `Bucket.fresh`."""
        self._reserve = reserve
        self._started = now
        self._own: dict[str, LedgerEntry] = {}
        """Of endpoints with a key of their own: as many as are configured."""
        self._clients: dict[str, LedgerEntry] = {}
        self._charges = ChargeHistory()

    def own(self, endpoint: Endpoint) -> LedgerEntry | None:
        """The entry of an endpoint that has a key of its own, always the same; None = its clients bring theirs."""
        if not endpoint.owns_credential:
            return None
        entry = self._own.get(endpoint.bucket)
        if entry is None:
            entry = self._own[endpoint.bucket] = self._opened(endpoint)
            self._charges.begin(endpoint.bucket)
        return entry

    def of(self, endpoint: Endpoint, client: str) -> LedgerEntry:
        """Where a request of this client is charged at this endpoint."""
        own = self.own(endpoint)
        if own is not None:
            return own
        name = f"{endpoint.bucket}/{client}"
        entry = self._clients.get(name)
        if entry is None:
            if len(self._clients) >= MAX_BUCKETS:
                # What is forgotten is learned again from the next reply.
                self._clients = {n: entry for n, entry in self._clients.items() if entry.reserved_requests > 0}
            entry = self._clients[name] = self._opened(endpoint)
        return entry

    def known(self, endpoint: Endpoint) -> LedgerEntry | None:
        """For people; None = its clients bring their keys, or nothing is known of it yet."""
        entry = self.own(endpoint)
        return None if entry is None or entry.bucket.is_unknown else entry

    def throttled_s(self, endpoint: Endpoint, now: float) -> float:
        """For people: seconds until its own throttle ends; 0 = none runs."""
        entry = self.own(endpoint)
        return 0.0 if entry is None else entry.bucket.throttle.wait_s(now)

    def checkpoint(self, now: float) -> None:
        """Remember where the books of all shared buckets stand, to be called about ten times a second while replicas
        tell each other what they read."""
        for name, entry in self._own.items():
            self._charges.note(name, entry.bucket, now)

    def report(self, now: float) -> dict[str, BucketReport]:
        """What this replica found out of the shared buckets and is still of interest."""
        reports = {name: entry.bucket.report().of_interest(now) for name, entry in self._own.items() if name}
        return {name: report for name, report in reports.items() if report != NO_LIMIT}

    def take(self, reports: Mapping[str, BucketReport], now: float) -> bool:
        """Another replica says this of shared buckets: does it change anything?"""
        changed = False
        for name, report in reports.items():
            entry = self._own.get(name)
            if entry is not None and name:
                requests = self._charges.at(name, report.requests.read_at).requests
                tokens = self._charges.at(name, report.tokens.read_at).tokens
                changed |= entry.take(report, Charged(requests, tokens), now)
        return changed

    def _opened(self, endpoint: Endpoint) -> LedgerEntry:
        return LedgerEntry(Bucket.fresh(endpoint.provider, endpoint.rpm, endpoint.tpm, self._started, self._reserve))
