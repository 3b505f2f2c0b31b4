"""What replicas tell each other about endpoints and rate limits, and how two such reports become one.

Merging is a join: commutative, associative and idempotent, so that it does not matter in which order, how often or by
which way a report arrives. Times are seconds on one clock, whichever; `shifted` moves a report to another.

Only first-hand knowledge is told. A moment that travels through a store looks a little later at the other end, by the
time the store took. What is told once is late once; what were told on and on would get later without end, and a
cooldown that comes back to where it began, a little longer each time, would never be over.
"""

from msgspec import Struct

from domain.health.cooldown_report import CooldownReport
from domain.rate_limit.limit_report import BucketReport


class ReplicaReport(Struct, frozen=True):
    endpoints: dict[str, CooldownReport] = {}  # by `Endpoint.identity`
    buckets: dict[str, BucketReport] = {}  # by `Endpoint.bucket`; those of clients' own keys are not shared

    @property
    def is_empty(self) -> bool:
        return not self.endpoints and not self.buckets

    def merged(self, other: "ReplicaReport") -> "ReplicaReport":
        endpoints, buckets = dict(self.endpoints), dict(self.buckets)
        for identity, cooldown in other.endpoints.items():
            endpoints[identity] = endpoints[identity].merged(cooldown) if identity in endpoints else cooldown
        for name, bucket in other.buckets.items():
            buckets[name] = buckets[name].merged(bucket) if name in buckets else bucket
        return ReplicaReport(endpoints, buckets)

    def shifted(self, by_s: float) -> "ReplicaReport":
        """The same, on a clock that is `by_s` seconds ahead."""
        return ReplicaReport(
            {identity: report.shifted(by_s) for identity, report in self.endpoints.items()},
            {name: report.shifted(by_s) for name, report in self.buckets.items()},
        )
