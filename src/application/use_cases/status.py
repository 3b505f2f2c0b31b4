"""What is known of every endpoint and its limits, for `GET /status`."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from application.endpoints.admission_queue import AdmissionQueue
from application.endpoints.endpoint_state import EndpointState
from application.endpoints.ledger import Ledger
from application.held_bytes import HeldBytes
from application.observing.endpoint_troubles import EndpointTroubles
from application.observing.recent import AttemptsOfEndpoint, Copy, Traffic
from application.ports import Clock
from application.state.detached import Detached
from application.store_ports import StoreHealth, StoreReport
from domain.caching.cache_key import CacheState
from domain.endpoint import Endpoint
from domain.group import ModelGroup
from domain.health.cooldown import HealthState
from domain.rate_limit.limit_state import LimitState


class LimitStatus(Struct, frozen=True):
    """One limit of one bucket. None = unknown."""

    limit: float | None
    remaining: float | None
    """As of now: what the last reply said, less what was sent since, plus what has come back."""
    reserved: float
    """What requests in flight hold."""
    reset_s: float | None
    """Seconds until all room is back."""


class EndpointStatusReport(Struct, frozen=True):
    """One endpoint. Times in seconds from now; 0 = none runs."""

    id: str
    model: str
    provider: str
    weight: int
    share: float
    tier: str
    """What people call it: `first`, `priority 1`, ..., `fallback`."""
    state: str
    in_flight: int
    cooling_s: float
    clock_s: float
    """How long the provider's last 429 keeps it away."""
    requests: LimitStatus | None
    tokens: LimitStatus | None
    """None = its limits are the clients' own: their keys are passed through; or no reply has come yet."""
    ramp: int
    """How many requests at a time it gets after a cooldown; 0 = as many as there are."""
    why: str
    """Why it rests; empty = it does not, or nothing is known here."""
    attempts: int
    """Since the start of this worker."""
    recent: AttemptsOfEndpoint


class GroupStatus(Struct, frozen=True):
    """One model group."""

    model_group: str
    waiting: int
    """Requests that wait for room."""
    endpoints: tuple[EndpointStatusReport, ...]
    recent: Traffic


class CacheStatus(Struct, frozen=True):
    """The response cache."""

    store: StoreReport
    requests: dict[str, int]
    """How many were a hit, a miss, shared, a refresh, or bypassed the cache, since the start of this worker."""


class StoresStatus(Struct, frozen=True):
    """What is kept where."""

    cache: CacheStatus | None
    """None = answers are not cached."""
    endpoint_state: StoreReport


class HeldStatus(Struct, frozen=True):
    """What this worker holds for its clients."""

    bytes: int
    max_bytes: int
    """The budget (`max_held_bytes`); 0 = none."""
    refused: int
    """How often something did not fit, since the start."""
    detached: int
    """Background requests that go on though their clients have left."""


class ReportHeld:
    """What is held, by the account of it."""

    def __init__(self, held: HeldBytes, detached: Detached) -> None:
        self._held = held
        self._detached = detached

    def __call__(self) -> HeldStatus:
        """At this moment."""
        held = self._held
        return HeldStatus(held.held_bytes, held.max_bytes, held.refused, self._detached.count)


class ReportStores:
    """How the stores are doing, from memory: none is asked."""

    def __init__(self, states: StoreHealth, cache: StoreHealth | None, counts: Mapping[CacheState, int]) -> None:
        self._states = states
        self._cache = cache
        self._counts = counts

    def __call__(self) -> StoresStatus:
        """At this moment."""
        if self._cache is None:
            return StoresStatus(None, self._states.health())
        counts = {state.value: self._counts.get(state, 0) for state in CacheState}
        return StoresStatus(CacheStatus(self._cache.health(), counts), self._states.health())


class ReportStatus:
    """The live picture, in numbers: no key, no prompt, no client."""

    def __init__(
        self,
        groups: Sequence[ModelGroup],
        states: Mapping[str, EndpointState],
        ledger: Ledger,
        waiting: AdmissionQueue,
        troubles: EndpointTroubles,
        clock: Clock,
    ) -> None:
        self._groups = groups
        self._states = states
        self._ledger = ledger
        self._waiting = waiting
        self._troubles = troubles
        self._clock = clock

    def __call__(self, recent: Copy) -> tuple[GroupStatus, ...]:
        """At this moment, in the order of the configuration; `recent`: what happened in the last minutes."""
        return tuple(self._group(group, recent) for group in self._groups)

    def _group(self, group: ModelGroup, recent: Copy) -> GroupStatus:
        attempts = sum(recent.attempts[endpoint.id] for endpoint in group.endpoints)
        endpoints = tuple(
            self._endpoint(endpoint, share, tier, recent.attempts_at(endpoint.id, attempts))
            for endpoint, share, tier in zip(group.endpoints, group.shares(), group.tier_names(), strict=True)
        )
        return GroupStatus(group.name, self._waiting.waiting(group.name), endpoints, recent.traffic(group.name))

    def _endpoint(
        self, endpoint: Endpoint, share: float, tier: str, recent: AttemptsOfEndpoint
    ) -> EndpointStatusReport:
        now, known = self._clock.now(), self._states[endpoint.id]
        state, cooling_s = known.shown(now)
        clock_s, bucket = self._ledger.throttled_s(endpoint, now), self._ledger.known(endpoint)
        return EndpointStatusReport(
            id=endpoint.id,
            model=endpoint.model,
            provider=endpoint.provider,
            weight=endpoint.weight,
            share=round(share, 4),
            tier=tier,
            state=state.value,
            in_flight=known.in_flight,
            cooling_s=round(cooling_s, 1),
            clock_s=round(clock_s, 1),
            requests=_limit(bucket.requests, bucket.reserved_requests, now) if bucket else None,
            tokens=_limit(bucket.tokens, bucket.reserved_tokens, now) if bucket else None,
            ramp=known.health.ramp,
            why=self._why(endpoint, state, clock_s),
            attempts=known.attempts,
            recent=recent,
        )

    def _why(self, endpoint: Endpoint, state: HealthState, clock_s: float) -> str:
        if state is HealthState.CLOSED:
            return self._troubles.why_limited(endpoint) if clock_s else ""
        return self._troubles.why_cooling(endpoint)


def _limit(gauge: LimitState, reserved: float, now: float) -> LimitStatus:
    room = gauge.room(now)
    reset_s = gauge.full_in_s(now)
    return LimitStatus(
        limit=gauge.terms.limit,
        remaining=None if room is None else round(max(0.0, room), 1),
        reserved=round(reserved, 1),
        reset_s=None if reset_s is None else round(reset_s, 1),
    )
