"""The state of a running proxy, put into a composed one that has done nothing yet.

It goes in by the ways on which the proxy itself learns of such things: reports of replicas, headers of replies, 429s,
requests that begin and go well. What a status does not say stays as it is at a start: whose turn it is, and what was
learned of the size of requests.
"""

from collections.abc import Mapping

from msgspec import Struct

from application.endpoints.bucket import Bucket
from application.endpoints.endpoint_state import EndpointState, Lease
from application.endpoints.ledger import Ledger
from application.endpoints.pool import EndpointPool
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.health.cooldown import HealthState
from domain.health.cooldown_report import CooldownReport
from domain.rate_limit.limit_reading import PER_MINUTE_S, Reading, Readings, Refill
from domain.rate_limit.limit_state import LimitState
from domain.rate_limit.token_estimate import Demand
from domain.routing.route_query import RouteQuery
from entrypoints.explain.live_status import LiveEndpoint, LiveLimit, LiveStatus

_AGO_S = 1.0
_NOTHING = RouteQuery(Demand(0, 0, 0))


class LiveState(Struct, frozen=True):
    """Puts it in at one moment, `now`. Endpoints that the configuration lacks are left out."""

    _groups: Mapping[str, ModelGroup]
    """By name."""
    _states: Mapping[str, EndpointState]
    """By endpoint id."""
    _ledger: Ledger
    _pool: EndpointPool
    _now: float

    def take(self, status: LiveStatus) -> None:
        """To be called once."""
        known = [
            (group, live)
            for told in status.groups
            if (group := self._groups.get(told.model_group)) is not None
            for live in told.endpoints
            if any(endpoint.id == live.id for endpoint in group.endpoints)
        ]
        for group, live in known:
            self._take_health(group, live)
            # Others that are under way keep nobody away.
            on_trial = min(live.in_flight, self._states[live.id].health.ramp)
            for _ in range(1 if live.state is HealthState.PROBING else on_trial):
                self._claim(group, live.id)
        # Only now: what a status says is left is what those under way have not taken.
        for _, live in known:
            bucket = self._ledger.own(self._states[live.id].endpoint)
            if bucket is not None:
                self._take_limits(bucket, live)

    def _take_health(self, group: ModelGroup, live: LiveEndpoint) -> None:
        now, state = self._now, self._states[live.id]
        if live.state is HealthState.COOLING:
            if live.cooling_s:
                state.take(CooldownReport(now, now + live.cooling_s, live.cooling_s), now)
            else:  # what rests without a cooldown has no credential
                self._pool.withhold((live.id,), True)
        elif live.state is not HealthState.CLOSED or live.ramp:
            state.take(CooldownReport(now - 2 * _AGO_S, now - _AGO_S, _AGO_S), now)
        if live.state is HealthState.CLOSED and live.ramp:
            state.take(CooldownReport(closed_at=now - _AGO_S), now)
            while 0 < state.health.ramp < live.ramp and (lease := self._claim(group, live.id)) is not None:
                state.succeeded(lease)
                self._pool.release(lease)

    def _claim(self, group: ModelGroup, endpoint: str) -> Lease | None:
        others = {each.id for each in group.endpoints if each.id != endpoint}
        return self._pool.pick_last_resort(group, _NOTHING, others)

    def _take_limits(self, bucket: Bucket, live: LiveEndpoint) -> None:
        now = self._now
        bucket.restore(Readings(_reading(live.requests, bucket.requests), _reading(live.tokens, bucket.tokens)), now)
        if live.clock_s:
            # The provider's last word is all that tells the two apart.
            is_overload = live.state is HealthState.CLOSED and live.why.startswith(FailureKind.OVERLOADED)
            kind = FailureKind.OVERLOADED if is_overload else FailureKind.RATE_LIMITED
            bucket.limited(Failure(kind, retry_after_s=live.clock_s), now, now)


def _reading(live: LiveLimit | None, state: LimitState) -> Reading:
    """As a reply would say it just now."""
    if live is None or live.remaining is None:
        return Reading()
    meter, limit = state.terms.meter, live.limit
    if limit is not None and meter.refill is Refill.WINDOW:
        limit *= PER_MINUTE_S / meter.window_s  # a status has the limit of one window, a reply that of a minute
    reading = Reading(limit, live.remaining, live.reset_s)
    return reading if reading.is_possible else Reading()
