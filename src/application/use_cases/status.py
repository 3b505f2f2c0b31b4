"""What is known of every endpoint and its limits, and of what is held and kept, for `GET /status` and `GET /metrics`.

What requests are in flight and what was counted is of all workers. What an endpoint is like, and what is left of its
limits, each worker knows by itself: that is of the one that answers.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct, structs

from application.endpoints.endpoint_state import EndpointState
from application.endpoints.ledger import Ledger
from application.observing.counted import Counted
from application.observing.endpoint_troubles import EndpointTroubles
from application.observing.recent import AttemptsOfEndpoint, Traffic, attempts_at, traffic
from application.observing.tallies import EndpointTally
from application.observing.worker_reports import WorkerNow, WorkerReport
from application.ports import Clock
from application.store_ports import StoreHealth, StoreReport
from application.use_cases.costs import CostStatus, cost_of, cost_of_all, cost_of_group, has_prices
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
    """Since the start of the proxy."""
    recent: AttemptsOfEndpoint
    cost: CostStatus | None
    """None = no endpoint of the configuration has a price."""


class GroupStatus(Struct, frozen=True):
    model_group: str
    waiting: int
    """Requests that wait for room."""
    endpoints: tuple[EndpointStatusReport, ...]
    recent: Traffic
    cost: CostStatus | None
    """As with endpoints."""


class CacheStatus(Struct, frozen=True):
    store: StoreReport
    requests: dict[str, int]
    """How many were a hit, a miss, shared, a refresh, or bypassed the cache, since the start of the proxy."""


class StoresStatus(Struct, frozen=True):
    cache: CacheStatus | None
    """None = answers are not cached."""
    endpoint_state: StoreReport


class HeldStatus(Struct, frozen=True):
    """What the workers hold for their clients."""

    bytes: int
    max_bytes: int
    """The budget: `max_held_bytes` for each worker; 0 = none."""
    refused: int
    """How often something did not fit, since the start."""
    detached: int
    """Background requests that go on though their clients have left."""


class ReportStores(Struct, frozen=True):
    """How the stores are doing, from memory: none is asked."""

    _states: StoreHealth
    _cache: StoreHealth | None

    def __call__(self, counted: Counted, workers: Sequence[WorkerReport]) -> StoresStatus:
        if self._cache is None:
            return StoresStatus(None, self._states.health())
        health, requests = self._cache.health(), dict.fromkeys(map(str, CacheState), 0)
        for labels, times in counted.requests.items():
            if labels.group:
                requests[labels.cache] += times
        kept = [now for now in nows(workers) if now.cache_entries is not None]
        if kept:
            entries = sum(now.cache_entries or 0 for now in kept)
            health = structs.replace(health, entries=entries, bytes=sum(now.cache_bytes or 0 for now in kept))
        return StoresStatus(CacheStatus(health, requests), self._states.health())


def held_by(workers: Sequence[WorkerReport], max_bytes: int) -> HeldStatus:
    """What all of them hold; each may hold `max_bytes`."""
    there = nows(workers)
    return HeldStatus(
        sum(now.held_bytes for now in there),
        max_bytes * len(there),
        sum(report.counted.held_refused for report in workers),
        sum(now.detached for now in there),
    )


def nows(workers: Sequence[WorkerReport]) -> Sequence[WorkerNow]:
    """What those have in hand that are there."""
    return [report.now for report in workers if report.now is not None]


class ReportStatus:
    """The live picture, in numbers: no key, no prompt, no client."""

    def __init__(
        self,
        groups: Sequence[ModelGroup],
        states: Mapping[str, EndpointState],
        ledger: Ledger,
        troubles: EndpointTroubles,
        clock: Clock,
    ) -> None:
        self._groups = groups
        self._states = states
        self._ledger = ledger
        self._troubles = troubles
        self._clock = clock
        self._has_prices = has_prices(groups)

    def __call__(self, counted: Counted, recent: Counted, workers: Sequence[WorkerReport]) -> tuple[GroupStatus, ...]:
        """At this moment, in the order of the configuration; `recent`: what happened in the last minutes."""
        in_flight: Counter[str] = Counter()
        waiting: Counter[str] = Counter()
        for now in nows(workers):
            in_flight.update(now.at_endpoints)
            waiting.update(now.waiting)
        return tuple(self._group(group, counted, recent, in_flight, waiting[group.name]) for group in self._groups)

    def _group(
        self, group: ModelGroup, counted: Counted, recent: Counted, in_flight: Mapping[str, int], waiting: int
    ) -> GroupStatus:
        lately = [recent.endpoints.get(endpoint.id, EndpointTally()) for endpoint in group.endpoints]
        attempts = sum(tally.attempts for tally in lately)
        endpoints = tuple(
            self._endpoint(
                endpoint,
                share,
                tier,
                in_flight[endpoint.id],
                counted,
                attempts_at(tally, attempts),
            )
            for endpoint, share, tier, tally in zip(
                group.endpoints, group.shares(), group.tier_names(), lately, strict=True
            )
        )
        cost = cost_of_group(group, counted) if self._has_prices else None
        return GroupStatus(group.name, waiting, endpoints, traffic(recent, group.name), cost)

    def cost(self, counted: Counted) -> CostStatus | None:
        """Of the proxy; None = no endpoint has a price."""
        return cost_of_all(self._groups, counted) if self._has_prices else None

    def _endpoint(
        self,
        endpoint: Endpoint,
        share: float,
        tier: str,
        in_flight: int,
        counted: Counted,
        recent: AttemptsOfEndpoint,
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
            in_flight=in_flight,
            cooling_s=round(cooling_s, 1),
            clock_s=round(clock_s, 1),
            requests=_limit(bucket.requests, bucket.reserved_requests, now) if bucket else None,
            tokens=_limit(bucket.tokens, bucket.reserved_tokens, now) if bucket else None,
            ramp=known.health.ramp,
            why=self._why(endpoint, state, clock_s),
            attempts=counted.endpoints.get(endpoint.id, EndpointTally()).attempts,
            recent=recent,
            cost=cost_of(endpoint, counted) if self._has_prices else None,
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
