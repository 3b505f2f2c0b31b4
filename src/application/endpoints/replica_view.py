"""The part of the picture that replicas share: which endpoint and which bucket is meant by which digest."""

from collections.abc import Iterable

from application.endpoints.endpoint_state import EndpointState
from application.endpoints.ledger import Ledger
from domain.cooldown_report import NO_COOLDOWN
from domain.endpoint import Endpoint
from domain.replica_report import ReplicaReport


class ReplicaView:
    """Endpoints of several groups may be one and the same, or share a bucket: they are told of together. Where clients
    bring their own keys the limits are theirs, and only the health of the endpoint is everybody's."""

    def __init__(self, statuses: Iterable[EndpointState], ledger: Ledger) -> None:
        self._ledger = ledger
        self._statuses: dict[str, list[EndpointState]] = {}
        self._buckets: dict[str, Endpoint] = {}
        for status in statuses:
            endpoint = status.endpoint
            if endpoint.identity:
                self._statuses.setdefault(endpoint.identity, []).append(status)
            if endpoint.bucket and endpoint.owns_credential:
                self._buckets.setdefault(endpoint.bucket, endpoint)

    def checkpoint(self, now: float) -> None:
        """See `EndpointPool.checkpoint`."""
        self._ledger.checkpoint(self._buckets, now)

    def report(self, now: float) -> ReplicaReport:
        """See `EndpointPool.report`."""
        endpoints = {}
        for identity, statuses in self._statuses.items():
            report = NO_COOLDOWN
            for status in statuses:
                own = status.report()
                report = report if own is NO_COOLDOWN else report.merged(own)
            if report is not NO_COOLDOWN:
                report = report.of_interest(now, max(status.policy.longest_s for status in statuses))
            if report != NO_COOLDOWN:
                endpoints[identity] = report
        return ReplicaReport(endpoints, self._ledger.report(self._buckets, now))

    def take(self, report: ReplicaReport, now: float) -> bool:
        """See `EndpointPool.take`. Did it change anything?"""
        changed = False
        for identity, statuses in self._statuses.items():
            cooldown = report.endpoints.get(identity)
            if cooldown is not None:
                for status in statuses:
                    changed |= status.take(cooldown, now)
        for name, endpoint in self._buckets.items():
            bucket = report.buckets.get(name)
            if bucket is not None:
                changed |= self._ledger.take(endpoint, bucket, now)
        return changed
