"""The part of the picture that replicas share: which endpoint and which bucket is meant by which digest."""

from collections.abc import Mapping

from application.endpoints.endpoint_state import EndpointState
from application.endpoints.ledger import Ledger
from application.endpoints.room_signal import RoomSignal
from domain.health.cooldown_report import NO_COOLDOWN
from domain.replica_report import ReplicaReport


class ReplicaView:
    """Endpoints of several groups may be one and the same, or share a bucket: they are told of together. Where clients
    bring their own keys the limits are theirs, and only the health of the endpoint is everybody's."""

    def __init__(self, states: Mapping[str, EndpointState], ledger: Ledger, room: RoomSignal) -> None:
        self._ledger = ledger
        self._room = room
        self._states: dict[str, list[EndpointState]] = {}
        for state in states.values():
            if state.endpoint.identity:
                self._states.setdefault(state.endpoint.identity, []).append(state)

    def checkpoint(self, now: float) -> None:
        """Remember what was sent up to now, so that readings of other replicas can be compared with it."""
        self._ledger.checkpoint(now)

    def report(self, now: float) -> ReplicaReport:
        """What was found out here and is still of interest to other replicas; nothing that they told."""
        endpoints = {}
        for identity, states in self._states.items():
            report = NO_COOLDOWN
            for state in states:
                own = state.report()
                report = report if own is NO_COOLDOWN else report.merged(own)
            if report is not NO_COOLDOWN:
                report = report.of_interest(now, max(state.policy.longest_s for state in states))
            if report != NO_COOLDOWN:
                endpoints[identity] = report
        return ReplicaReport(endpoints, self._ledger.report(now))

    def take(self, report: ReplicaReport, now: float) -> None:
        """What other replicas found out, in this one's time. No alarm is raised: they have raised theirs."""
        changed = self._ledger.take(report.buckets, now)
        for identity, cooldown in report.endpoints.items():
            for state in self._states.get(identity, ()):
                changed |= state.take(cooldown, now)
        if changed:
            self._room.anywhere()
