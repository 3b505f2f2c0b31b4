"""The books of all rate limits: which bucket a request is charged to, and what replicas know of the shared ones.

An endpoint with a key of its own has one bucket for everybody, which replicas report to each other; where clients bring
their keys each client has its own.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping

from application.endpoints.bucket import Bucket
from application.endpoints.provisioned_bucket import ProvisionedBucket
from domain.endpoint import Endpoint
from domain.rate_limit.limit_report import NO_LIMIT, BucketReport, Charged

MAX_BUCKETS = 10_000
"""Clients may bring their own keys; beyond this many buckets those that hold nothing are forgotten."""

KEPT_S = 2.0
"""Readings of other replicas are younger than this, or older than the newest of our own."""


class ChargeHistory:
    """What each shared bucket had been charged at the moments of the last seconds: one checkpoint for each change.

    Another replica's reading counts what this one had sent by then, and no more. So that the rest can be taken off it,
    the books remember where they stood.
    """

    def __init__(self) -> None:
        self._points: dict[str, deque[tuple[float, Charged]]] = {}

    def begin(self, name: str) -> None:
        """A bucket is opened: nothing was ever charged to it."""
        self._points[name] = deque([(-math.inf, Charged())])

    def carry(self, name: str, earlier: "ChargeHistory") -> None:
        """A bucket goes on whose books were kept elsewhere."""
        self._points[name] = earlier._points[name]

    def note(self, name: str, charged: Charged, now: float) -> None:
        """This is where its books stand."""
        points = self._points[name]
        if points[-1][1] != charged:
            points.append((now, charged))
        while len(points) > 1 and points[1][0] <= now - KEPT_S:
            points.popleft()

    def at(self, name: str, moment: float | None) -> Charged:
        """Where they stood at `moment`, or at the last checkpoint before it: rather too little than too much, as what
        was charged since is held against a reading. The oldest that is known, if that is younger."""
        points = self._points[name]
        if moment is not None:
            for at, charged in reversed(points):
                if at <= moment:
                    return charged
        return points[0][1]


class Ledger:
    """The buckets, found by the bucket of an endpoint, and of the client where that brings the key."""

    def __init__(self, reserve: float, now: float, earlier: "Ledger | None" = None) -> None:
        """`reserve`: see `Bucket`. `earlier`: the books of the configuration before, whose buckets go on here as they
        are until `take_over`; None = there was none."""
        self._reserve = reserve
        self._started = now
        self._earlier = earlier
        self._own: dict[str, Bucket] = {}
        """Of endpoints with a key of their own: as many as are configured."""
        self._clients: dict[str, Bucket] = {}
        self._untouched: dict[str, Bucket] = {}
        """What a client's bucket is like before anything is charged to it."""
        self._charges = ChargeHistory()

    def own(self, endpoint: Endpoint) -> Bucket | None:
        """The bucket of an endpoint that has a key of its own, always the same; None = its clients bring theirs."""
        if not endpoint.owns_credential:
            return None
        bucket = self._own.get(endpoint.bucket)
        if bucket is None:
            bucket = self._own[endpoint.bucket] = self._carried(endpoint) or self._opened(endpoint)
        return bucket

    def seen(self, endpoint: Endpoint, client: str) -> Bucket:
        """What a request of this client would be charged to at this endpoint: to look at, and no more."""
        bucket = self.own(endpoint) or self._clients.get(_of_client(endpoint, client))
        if bucket is None:
            bucket = self._untouched.get(endpoint.bucket)
        if bucket is None:
            bucket = self._untouched[endpoint.bucket] = self._opened(endpoint)
        return bucket

    def charged(self, endpoint: Endpoint, client: str) -> Bucket:
        """What a request of this client is charged to at this endpoint."""
        own = self.own(endpoint)
        if own is not None:
            return own
        name = _of_client(endpoint, client)
        bucket = self._clients.get(name)
        if bucket is None:
            if len(self._clients) >= MAX_BUCKETS:
                # What is forgotten is learned again from the next reply.
                self._clients = {n: bucket for n, bucket in self._clients.items() if bucket.reserved_requests > 0}
            bucket = self._clients[name] = self._opened(endpoint)
        return bucket

    def known(self, endpoint: Endpoint) -> Bucket | None:
        """For people; None = its clients bring their keys, or nothing is known of it yet."""
        bucket = self.own(endpoint)
        return None if bucket is None or bucket.is_unknown else bucket

    def throttled_s(self, endpoint: Endpoint, now: float) -> float:
        """For people: seconds until its own throttle ends; 0 = none runs."""
        bucket = self.own(endpoint)
        return 0.0 if bucket is None else bucket.throttle.wait_s(now)

    def checkpoint(self, now: float) -> None:
        """Remember where the books of all shared buckets stand, to be called about ten times a second while replicas
        tell each other what they read."""
        for name, bucket in self._own.items():
            self._charges.note(name, bucket.charged, now)

    def report(self, now: float) -> dict[str, BucketReport]:
        """What this replica found out of the shared buckets and is still of interest."""
        reports = {name: bucket.report().of_interest(now) for name, bucket in self._own.items() if name}
        return {name: report for name, report in reports.items() if report != NO_LIMIT}

    def take(self, reports: Mapping[str, BucketReport], now: float) -> bool:
        """Another replica says this of shared buckets: does it change anything?"""
        changed = False
        for name, report in reports.items():
            bucket = self._own.get(name)
            if bucket is not None and name:
                requests = self._charges.at(name, report.requests.read_at).requests
                tokens = self._charges.at(name, report.tokens.read_at).tokens
                changed |= bucket.take(report, Charged(requests, tokens), now)
        return changed

    def take_over(self, endpoints: Iterable[Endpoint], now: float) -> None:
        """The earlier books are closed: what the configuration says of `endpoints` holds for their buckets from now
        on, those of clients included."""
        earlier, self._earlier = self._earlier, None
        for endpoint in endpoints:
            bucket = self.own(endpoint)
            if bucket is not None:
                self._configure(bucket, endpoint, now)
            elif earlier is not None:
                for name, known in earlier._clients.items():
                    if name.startswith(f"{endpoint.bucket}/") and known.is_leaky is endpoint.is_provisioned:
                        self._configure(known, endpoint, now)
                        self._clients[name] = known

    def _carried(self, endpoint: Endpoint) -> Bucket | None:
        name, earlier = endpoint.bucket, self._earlier
        known = None if earlier is None else earlier._own.get(name)
        if earlier is None or known is None or known.is_leaky is not endpoint.is_provisioned:
            self._charges.begin(name)
            return None
        self._charges.carry(name, earlier._charges)
        return known

    def _opened(self, endpoint: Endpoint) -> Bucket:
        said = endpoint.provider, endpoint.rpm, endpoint.tpm, self._started, self._reserve
        return ProvisionedBucket(*said, endpoint.output_token_ratio) if endpoint.is_provisioned else Bucket(*said)

    def _configure(self, bucket: Bucket, endpoint: Endpoint, now: float) -> None:
        said = endpoint.provider, endpoint.rpm, endpoint.tpm, now, self._reserve
        if isinstance(bucket, ProvisionedBucket):
            bucket.configure(*said, endpoint.output_token_ratio)
        else:
            bucket.configure(*said)


def _of_client(endpoint: Endpoint, client: str) -> str:
    """The name of the bucket of a client that brings its own key."""
    return f"{endpoint.bucket}/{client}"
