"""What is served here, and how it is doing: for `GET /v1/models` and `GET /health`."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from application.endpoints.endpoint_state import EndpointState
from application.endpoints.ledger import Ledger
from application.ports import Clock
from domain.group import ModelGroup
from domain.health.cooldown import HealthState


class EndpointReport(Struct, frozen=True):
    """One endpoint, for people. Times in seconds from now; 0 = none runs."""

    id: str
    state: str
    weight: int
    cooling_s: float
    rate_limited_s: float


class GroupReport(Struct, frozen=True):
    """One model group: `ok`, `degraded` (some endpoints rest), or `unavailable` (all do)."""

    model_group: str
    status: str
    endpoints: tuple[EndpointReport, ...]


class HealthReport(Struct, frozen=True):
    """The whole proxy: `unavailable` only when no group at all can serve."""

    status: str
    groups: tuple[GroupReport, ...]


class ReportHealth(Struct, frozen=True):
    """How all endpoints are doing, from what traffic showed: no request is made, no token spent."""

    _groups: Sequence[ModelGroup]
    _states: Mapping[str, EndpointState]
    _ledger: Ledger
    _clock: Clock

    def __call__(self) -> HealthReport:
        groups = tuple(self._group(group) for group in self._groups)
        statuses = {group.status for group in groups}
        if statuses == {"unavailable"}:
            return HealthReport("unavailable", groups)
        return HealthReport("ok" if statuses == {"ok"} else "degraded", groups)

    def _group(self, group: ModelGroup) -> GroupReport:
        reports, now = [], self._clock.now()
        for endpoint in group.endpoints:
            state, cooling_s = self._states[endpoint.id].shown(now)
            limited_s = self._ledger.throttled_s(endpoint, now)
            reports.append(
                EndpointReport(endpoint.id, state.value, endpoint.weight, round(cooling_s, 1), round(limited_s, 1))
            )
        resting = [r for r in reports if r.state == HealthState.COOLING.value or r.rate_limited_s]
        status = "ok" if not resting else "unavailable" if len(resting) == len(reports) else "degraded"
        return GroupReport(group.name, status, tuple(reports))
