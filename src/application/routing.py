"""The live picture of all endpoints: who can take a request, who has one, how each is doing.

Everything here is synchronous and in one process: between reading the picture and changing it nothing else runs. The
rules are the domain's; this module holds their state.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable

from application.ports import Clock, EndpointAlarm
from domain.cooldown import FRESH, CooldownPolicy, EndpointHealth, HealthState
from domain.endpoint import Endpoint
from domain.failure import Effect, Failure
from domain.group import ModelGroup
from domain.rate_limit import UNLIMITED, RateLimitClock
from domain.selector import Selector

Draw = Callable[[], float]
"""A random number in [0, 1)."""

FIRST_CONTACT_S = 0.05
"""How long a burst waits for the first answer of an endpoint that nobody has heard of yet, so that one dead endpoint
costs one request and not the whole burst."""

MAX_CLOCKS = 10_000
"""Beyond this many rate-limit clocks (clients may bring their own keys) those that have run out are forgotten."""


class Lease:
    """One attempt's claim on an endpoint, from the pick to the last byte."""

    __slots__ = ("bucket", "endpoint", "last_resort", "open", "started", "verdict")

    def __init__(self, endpoint: Endpoint, bucket: str, started: float, *, last_resort: bool) -> None:
        self.endpoint = endpoint
        self.bucket = bucket
        self.started = started
        self.last_resort = last_resort
        self.open = True
        self.verdict = False


class EndpointStatus:
    """What is known of one endpoint now."""

    __slots__ = ("contact", "contact_until", "endpoint", "health", "heard", "in_flight", "policy")

    def __init__(self, endpoint: Endpoint, policy: CooldownPolicy) -> None:
        self.endpoint = endpoint
        self.policy = policy
        self.health: EndpointHealth = FRESH
        self.in_flight = 0
        self.heard = False
        self.contact = asyncio.Event()
        self.contact_until = 0.0


class Routing:
    """Picks endpoints and learns from what becomes of the requests."""

    def __init__(self, groups: Iterable[ModelGroup], clock: Clock, draw: Draw, alarm: EndpointAlarm) -> None:
        self._clock = clock
        self._draw = draw
        self._alarm = alarm
        self.groups = {group.name: group for group in groups}
        self._weights = {name: group.weights() for name, group in self.groups.items()}
        self._selectors = {name: Selector.fresh(len(group.endpoints)) for name, group in self.groups.items()}
        self._statuses = {
            endpoint.id: EndpointStatus(endpoint, group.cooldown)
            for group in self.groups.values()
            for endpoint in group.endpoints
        }
        self._limits: dict[str, RateLimitClock] = {}

    def pick(self, group: ModelGroup, client: str, passed_over: Collection[str]) -> Lease | None:
        """Claim the endpoint whose turn it is, among those that are well, have room and are not `passed_over` (ids).

        None = there is none. Endpoints of weight 0 are taken only when no other can be.
        """
        now = self._clock.now()
        weights = self._weights[group.name]
        primary: list[int] = []
        fallback: list[int] = []
        for index, endpoint in enumerate(group.endpoints):
            if endpoint.id in passed_over or self._limit(endpoint, client).wait_s(now):
                continue
            status = self._statuses[endpoint.id]
            if status.health.admits(now, status.in_flight):
                (primary if weights[index] else fallback).append(index)
        candidates = primary or fallback
        if not candidates:
            return None
        index, self._selectors[group.name] = self._selectors[group.name].choose(weights, candidates)
        return self._claim(group.endpoints[index], client, now, last_resort=False)

    def pick_last_resort(self, group: ModelGroup, client: str, passed_over: Collection[str]) -> Lease | None:
        """Claim the endpoint whose cooldown ends first, well or not. None = all are limited or passed over."""
        now = self._clock.now()
        candidates = [
            endpoint
            for endpoint in group.endpoints
            if endpoint.id not in passed_over and not self._limit(endpoint, client).wait_s(now)
        ]
        if not candidates:
            return None
        first = min(candidates, key=lambda endpoint: self._statuses[endpoint.id].health.open_until)
        return self._claim(first, client, now, last_resort=True)

    def limited_s(self, group: ModelGroup, client: str, barred: Collection[str]) -> float | None:
        """Seconds until the first rate-limited endpoint may be asked again; None = none is limited."""
        now = self._clock.now()
        waits = [self._limit(e, client).wait_s(now) for e in group.endpoints if e.id not in barred]
        return min((wait for wait in waits if wait), default=None)

    def askable(self, group: ModelGroup, client: str, barred: Collection[str]) -> bool:
        """Is there an endpoint, however it is doing, that no rate limit keeps away and that is not `barred`?"""
        now = self._clock.now()
        return any(e.id not in barred and not self._limit(e, client).wait_s(now) for e in group.endpoints)

    async def first_contact(self, lease: Lease) -> bool:
        """Let the first request to an unknown endpoint find out whether it lives, for at most `FIRST_CONTACT_S`.

        False = it does not: the lease is returned and another endpoint should be picked.
        """
        status = self._statuses[lease.endpoint.id]
        now = self._clock.now()
        if status.heard or lease.last_resort:
            return True
        if status.in_flight == 1:
            status.contact.clear()
            status.contact_until = now + FIRST_CONTACT_S
            return True
        if now < status.contact_until:
            try:
                async with asyncio.timeout(status.contact_until - now):
                    await status.contact.wait()
            except TimeoutError:
                return True
        return not status.health.open_until

    def succeeded(self, lease: Lease) -> None:
        """The endpoint answered well (a stream: its first content came)."""
        status = self._hear(lease)
        before = status.health
        status.health = status.policy.after_success(before, lease.started)
        if before.open_until and not status.health.open_until:
            self._alarm.recovered(lease.endpoint)
        limit = self._limits.get(lease.bucket)
        if limit is not None:
            self._limits[lease.bucket] = limit.after_success()

    def failed(self, lease: Lease, failure: Failure) -> None:
        """The attempt failed. May also follow `succeeded`, when a stream breaks."""
        status = self._hear(lease)
        match failure.meaning.effect:
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
            case Effect.NONE:
                lease.verdict = False

    def release(self, lease: Lease) -> None:
        """The attempt is over, whatever became of it. A second call does nothing."""
        if not lease.open:
            return
        lease.open = False
        status = self._statuses[lease.endpoint.id]
        status.in_flight -= 1
        if not lease.verdict:
            status.health = status.policy.after_abandon(status.health, lease.started)
            status.contact.set()

    def state(self, endpoint: Endpoint) -> tuple[HealthState, float, float]:
        """For people: the health, and the seconds until its cooldown and its rate-limit clock end (0 = none runs)."""
        now = self._clock.now()
        health = self._statuses[endpoint.id].health
        return health.state(now), max(0.0, health.open_until - now), self._limit(endpoint, "").wait_s(now)

    def _limit(self, endpoint: Endpoint, client: str) -> RateLimitClock:
        return self._limits.get(_bucket(endpoint, client), UNLIMITED)

    def _claim(self, endpoint: Endpoint, client: str, now: float, *, last_resort: bool) -> Lease:
        status = self._statuses[endpoint.id]
        status.health = status.policy.after_start(status.health, now)
        status.in_flight += 1
        return Lease(endpoint, _bucket(endpoint, client), now, last_resort=last_resort)

    def _hear(self, lease: Lease) -> EndpointStatus:
        status = self._statuses[lease.endpoint.id]
        status.heard = True
        status.contact.set()
        lease.verdict = True
        return status

    def _count(self, status: EndpointStatus, lease: Lease, failure: Failure) -> None:
        now = self._clock.now()
        before = status.health
        status.health = status.policy.after_failure(before, lease.started, now, self._draw())
        if status.health.open_until > before.open_until:
            self._alarm.cooling(status.endpoint, failure, status.health.open_until - now)

    def _fault(self, status: EndpointStatus, failure: Failure) -> None:
        now = self._clock.now()
        before = status.health
        status.health = status.policy.after_fault(before, now)
        if before.state(now) is not HealthState.COOLING:
            self._alarm.fault(status.endpoint, failure, status.health.open_until - now)

    def _set_clock(self, lease: Lease, failure: Failure) -> None:
        now = self._clock.now()
        before = self._limits.get(lease.bucket, UNLIMITED)
        after = before.after_limit(failure.retry_after_s, lease.started, now)
        if len(self._limits) >= MAX_CLOCKS:
            self._limits = {bucket: limit for bucket, limit in self._limits.items() if limit.wait_s(now)}
        self._limits[lease.bucket] = after
        lease.verdict = False
        if not before.wait_s(now):
            self._alarm.limited(lease.endpoint, failure, after.wait_s(now))


def _bucket(endpoint: Endpoint, client: str) -> str:
    """Whose rate limit it is: the endpoint's own, or the client's where the client's key is passed through."""
    return endpoint.bucket if endpoint.owns_credential else f"{endpoint.bucket}/{client}"
