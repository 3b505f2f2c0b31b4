"""What the outcome of an attempt means for the endpoints: their health, and the clock of their rate limit.

Not everything a request meets says how well an endpoint does what it is configured for. Of what is *beside* that
(files, stored responses, whatever names no model) only a connection that cannot be made counts; and what is refused for
one API while another goes well is a right or a deployment that is missing there, no reason to give up the endpoint.
"""

from collections.abc import Callable, Mapping

from application.endpoints.endpoint_state import EndpointState, Lease
from application.endpoints.ledger import Ledger
from application.ports import Clock, EndpointAlarm
from domain.cooldown import EndpointHealth, HealthState
from domain.failure import NEVER_SENT, Effect, Failure, FailureKind

_OF_ITS_USE = (Effect.FAULT, Effect.SUSPECT)
"""Effects that only what an endpoint is there for can have."""


class HealthTracker:
    """Learns from what becomes of attempts, and tells people and other replicas of changes."""

    def __init__(
        self,
        statuses: Mapping[str, EndpointState],
        ledger: Ledger,
        clock: Clock,
        draw: Callable[[], float],
        alarm: EndpointAlarm,
    ) -> None:
        """`draw` gives random numbers in [0, 1)."""
        self._statuses = statuses
        self._ledger = ledger
        self._clock = clock
        self._draw = draw
        self._alarm = alarm
        self.on_report_due: Callable[[], None] = _nothing
        """Called whenever other replicas should soon hear of something."""
        self.on_recovery: Callable[[Lease], None] = _nothing
        """Called whenever the success of a lease may let more requests in at its endpoint."""

    def succeeded(self, lease: Lease) -> None:
        """See `EndpointPool.succeeded`."""
        lease.answered = True
        status = self._hear(lease)
        if lease.is_beside:
            lease.verdict = False
            return
        before = status.health
        status.thrive(lease)
        if before.open_until and not status.health.open_until:
            self._alarm.recovered(lease.endpoint)
            self.on_report_due()
        self._ledger.succeeded(lease.held)
        if status.health is not before:
            self.on_recovery(lease)

    def failed(self, lease: Lease, failure: Failure) -> None:
        """See `EndpointPool.failed`."""
        status = self._hear(lease)
        status.failures[failure.kind.value] += 1
        lease.reached = failure.kind not in NEVER_SENT
        lease.refused = failure.is_refusal
        if failure.kind in (FailureKind.DEADLINE, FailureKind.SLOW) and not lease.is_beside:
            failure = status.of_silence(failure, self._clock.now() - lease.started)
        match self._effect(status, lease, failure):
            case Effect.COUNT:
                self._count(status, lease, failure)
            case Effect.FAULT:
                self._fault(status, failure)
            case Effect.ACCOUNT_FAULT:
                for other in self._statuses.values():
                    if other.endpoint.account == lease.endpoint.account:
                        self._fault(other, failure)
            case Effect.CLOCK:
                self._set_clock(lease, failure)
            case Effect.SUSPECT:
                self._suspect(status, lease, failure)
            case Effect.NONE:
                lease.verdict = False

    def _effect(self, status: EndpointState, lease: Lease, failure: Failure) -> Effect:
        effect = failure.meaning.effect
        if lease.is_beside and (effect in _OF_ITS_USE or (effect is Effect.COUNT and lease.reached)):
            return Effect.NONE
        if effect is Effect.FAULT and status.is_well_for_others(lease, self._clock.now()):
            return Effect.NONE
        return effect

    def _hear(self, lease: Lease) -> EndpointState:
        status = self._statuses[lease.endpoint.id]
        status.hear(lease)
        return status

    def _count(self, status: EndpointState, lease: Lease, failure: Failure) -> None:
        now = self._clock.now()
        self._may_cool(status, status.policy.after_failure(status.health, lease.started, now, self._draw()), failure)

    def _suspect(self, status: EndpointState, lease: Lease, failure: Failure) -> None:
        now, asked = self._clock.now(), hash(lease.asked)
        health = status.policy.after_unknown(status.health, asked, lease.started, now, self._draw())
        if not self._may_cool(status, health, failure):
            lease.verdict = False

    def _may_cool(self, status: EndpointState, health: EndpointHealth, failure: Failure) -> bool:
        """This is its health from now on: does it cool for longer than it did?"""
        before, status.health = status.health, health
        cools = health.open_until > before.open_until
        if cools:
            self._alarm.cooling(status.endpoint, failure, health.open_until - self._clock.now())
            self.on_report_due()
        return cools

    def _fault(self, status: EndpointState, failure: Failure) -> None:
        now = self._clock.now()
        before = status.health
        status.health = status.policy.after_fault(before, now)
        status.refuses_key = failure.kind in (FailureKind.AUTH, FailureKind.KEY)
        known = before.state(now) is HealthState.COOLING and before.cooldown_s == status.policy.fault_s
        if not known:
            self._alarm.fault(status.endpoint, failure, status.health.open_until - now)
            self.on_report_due()

    def _set_clock(self, lease: Lease, failure: Failure) -> None:
        seconds, is_new = self._ledger.limited(lease.held, failure, self._clock.now())
        lease.verdict = False
        if is_new:
            self._alarm.limited(lease.endpoint, failure, seconds)
        if is_new and lease.endpoint.owns_credential:
            self.on_report_due()


def _nothing(*_: Lease) -> None:
    """Nobody listens."""
