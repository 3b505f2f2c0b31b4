"""What the outcome of an attempt means for the endpoints: their health, and the throttle of their rate limit."""

import asyncio
from collections.abc import Mapping

from msgspec import Struct

from application.endpoints.endpoint_state import EndpointState, Lease
from application.endpoints.room_signal import RoomSignal
from application.ports import Clock, Draw
from application.telemetry_ports import EndpointAlarm
from domain.failure import Effect, Failure
from domain.rate_limit.limit_reading import Readings


class HealthTracker(Struct, frozen=True):
    """Learns from what becomes of attempts, and tells people and other replicas of changes."""

    _states: Mapping[str, EndpointState]
    _clock: Clock
    _draw: Draw
    _alarm: EndpointAlarm
    _room: RoomSignal
    _report_due: asyncio.Event
    """Set whenever other replicas should soon hear of something: a cooldown, a 429, a recovery."""

    def replied(self, lease: Lease, readings: Readings) -> None:
        """The headers of the reply came, good or not."""
        if lease.state.silence.requests:
            lease.state.replied()
        lease.bucket.read(readings, lease.held, lease.started, self._clock.now())
        if self._room.is_heard:
            self._room.at(lease)

    def spilled(self, lease: Lease) -> None:
        """The endpoint had another deployment of its provider answer."""
        lease.held = lease.bucket.spilled(lease.held, self._clock.now())

    def told(self, lease: Lease, readings: Readings) -> None:
        """The endpoint says on its socket, unasked, how its limits stand."""
        lease.bucket.told(readings, self._clock.now())
        if self._room.is_heard:
            self._room.at(lease)

    def succeeded(self, lease: Lease) -> None:
        """The endpoint answered well (a stream: its first content came)."""
        state, throttle = lease.state, lease.bucket.throttle
        before = state.health
        state.succeeded(lease)
        if (throttle.unexplained or throttle.batch) and not lease.query.is_beside:
            lease.bucket.succeeded(lease.started)
        if state.health is not before:
            if before.open_until and not state.health.open_until:
                self._alarm.recovered(lease.endpoint)
                self._report_due.set()
            self._room.at(lease)

    def failed(self, lease: Lease, failure: Failure) -> None:
        """The attempt failed. May also follow `succeeded`, when a stream breaks."""
        now = self._clock.now()
        failure, effect = lease.state.failed(lease, failure, now)
        if effect in (Effect.COUNT, Effect.SUSPECT):
            if lease.state.count(lease, effect, now, self._draw()):
                self._alarm.cooling(lease.endpoint, failure, lease.state.health.open_until - now)
                self._report_due.set()
        elif effect is Effect.FAULT:
            self._fault(lease.state, failure, now)
        elif effect is Effect.ACCOUNT_FAULT:
            for state in self._states.values():
                if state.endpoint.account == lease.endpoint.account:
                    self._fault(state, failure, now)
        elif effect is Effect.CLOCK:
            self._throttle(lease, failure, now)

    def _fault(self, state: EndpointState, failure: Failure, now: float) -> None:
        if state.fault(failure, now):
            self._alarm.fault(state.endpoint, failure, state.health.open_until - now)
            self._report_due.set()

    def _throttle(self, lease: Lease, failure: Failure, now: float) -> None:
        seconds, is_new = lease.bucket.limited(failure, lease.started, now)
        lease.held = lease.bucket.refused(failure, lease.held, lease.started, now)
        if is_new:
            self._alarm.limited(lease.endpoint, failure, seconds)
            if lease.endpoint.owns_credential:
                self._report_due.set()
