"""One request, rehearsed: the proxy is composed as a worker composes it, and nothing is sent.

Each question is put to a proxy of its own, since every pick changes whose turn it is and what room is left.
"""

import logging
from collections.abc import Sequence
from contextlib import closing

from dependency_injector import providers
from msgspec import Struct

from application.answers import WholeAnswer
from application.attempts.active_request import ActiveRequest
from application.attempts.opening import AttemptFailed
from application.endpoints.endpoint_state import Lease
from application.endpoints.pool import EndpointPool
from application.errors import ProxyError
from application.messages import Api, ProxyRequest, RequestTrace, WholeReply
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.health.cooldown import EndpointHealth
from domain.rate_limit.limit_state import LimitState
from domain.rate_limit.token_estimate import UNTAUGHT
from domain.routing.availability import Availability
from domain.routing.route_query import RouteQuery
from entrypoints.config.settings import Settings
from entrypoints.container import Container
from entrypoints.explain.live_state import LiveState
from entrypoints.explain.live_status import LiveLimit, LiveStatus
from entrypoints.virtual_time import VirtualClock, VirtualLoop

_ANY_DRAW = 0.5
_FAILED = Failure(FailureKind.CONNECT)  # after which none is asked twice before all are
_NO_TOKEN = Failure(FailureKind.NO_CREDENTIAL, "no access token")
_ENOUGH = WholeAnswer(WholeReply(200, (), b""))

_BY_HEALTH = frozenset({Availability.COOLING, Availability.PROBING})
_BY_LIMIT = frozenset({Availability.THROTTLED, Availability.NO_REQUESTS, Availability.NO_TOKENS})


class Wanted(Struct, frozen=True):
    """The request that is asked about."""

    model: str
    prompt_tokens: int
    max_output_tokens: int | None = None
    """None = it sets no limit."""
    affinity: str = ""
    """What it shares a prompt cache by; empty = nothing."""

    def request(self, now: float) -> ProxyRequest:
        """As the routing sees it; of its text only the length counts."""
        body = b" " * round(self.prompt_tokens / UNTAUGHT.tokens_per_byte)
        return ProxyRequest(
            api=Api.CHAT,
            path="/chat/completions",
            query="",
            headers=(),
            credentials=(),
            body=body,
            model=self.model,
            body_model=self.model,
            stream=False,
            request_id="",
            received=now,
            affinity=self.affinity,
            max_output_tokens=self.max_output_tokens,
        )


class Candidate(Struct, frozen=True):
    """One endpoint of the group, as the routing sees it before the first attempt."""

    endpoint: str
    availability: Availability
    opens_in_s: float | None
    """Seconds until what keeps it away is over; None = nothing does, or time alone does not end it."""
    need: float
    """The tokens that the request is expected to take there."""
    health: EndpointHealth
    requests: LiveLimit
    tokens: LiveLimit


class Asked(Struct, frozen=True):
    endpoint: str
    at_s: float
    """After its arrival."""
    is_last_resort: bool
    """Is it asked only because nobody else can be?"""


class Rehearsed(Struct, frozen=True):
    """What becomes of the request where each endpoint that is asked fails once."""

    asked: Sequence[Asked]
    error: ProxyError | None
    """What its client is told where nobody is asked; None = somebody is."""
    after_s: float
    """When that is."""


class _NobodyAnswers:
    """In the place of `SendAttempt`: notes which endpoint is asked, and has each fail once."""

    def __init__(self, pool: EndpointPool, began: float) -> None:
        self._pool = pool
        self._began = began
        self.asked: list[Asked] = []

    async def __call__(self, lease: Lease, *_: object) -> WholeAnswer | AttemptFailed:
        """See `SendAttempt`."""
        self._pool.release(lease)
        name = lease.endpoint.id
        if lease.state.is_withheld:
            return AttemptFailed(_NO_TOKEN)
        if any(each.endpoint == name for each in self.asked):
            return _ENOUGH
        self.asked.append(Asked(name, max(0.0, lease.started - self._began), lease.is_last_resort))
        return AttemptFailed(_FAILED)


class Rehearsal(Struct, frozen=True):
    """Answers questions about one request to one group of a configuration."""

    _settings: Settings
    _live: LiveStatus | None
    """The state of a running proxy; None = one that has just started."""
    _group_name: str
    _wanted: Wanted

    def candidates(self) -> list[Candidate]:
        """Each endpoint, in the order of the file."""
        with closing(VirtualLoop()) as loop:
            container, group, active = self._composed(loop)
            seen = container.pool().availabilities(group, active.query, (), loop.time())
            return [
                _candidate(container, endpoint, each, active.query, loop.time())
                for endpoint, each in zip(group.endpoints, seen, strict=True)
            ]

    def dispatched(self) -> Rehearsed:
        """The endpoints that are asked, in the order of failover."""
        with closing(VirtualLoop()) as loop:
            container, group, active = self._composed(loop)
            attempts = _NobodyAnswers(container.pool(), began := loop.time())
            container.attempt.override(providers.Object(attempts))
            error = None
            try:
                loop.run_until_complete(container.dispatch()(group, active.request, RequestTrace()))
            except ProxyError as told:
                error = told
            return Rehearsed(attempts.asked, None if attempts.asked else error, loop.time() - began)

    def next_picks(self, count: int) -> list[str]:
        """Whom so many requests like this one go to, were they all to come now; fewer where the rest has to wait."""
        with closing(VirtualLoop()) as loop:
            container, group, active = self._composed(loop)
            picks = (container.pool().pick(group, active.query, (), loop.time()) for _ in range(count))
            return [lease.endpoint.id for lease in picks if lease is not None]

    def _composed(self, loop: VirtualLoop) -> tuple[Container, ModelGroup, ActiveRequest]:
        """A proxy in the state that is asked about, its group, and the request to it."""
        container = Container(settings=self._settings)
        container.clock.override(providers.Object(VirtualClock(loop)))
        container.draw.override(providers.Object(lambda: _ANY_DRAW))
        logger = logging.Logger("llmproxy-explain")
        logger.addHandler(logging.NullHandler())
        container.logger.override(providers.Object(logger))
        groups, now = container.groups_by_name(), loop.time()
        if self._live is not None:
            LiveState(groups, container.endpoint_states(), container.ledger(), container.pool(), now).take(self._live)
        group = groups[self._group_name]
        wait_s = self._settings.general.max_wait
        active = ActiveRequest.of(group, self._wanted.request(now), RequestTrace(), now, wait_s)
        return container, group, active


def _candidate(
    container: Container, endpoint: Endpoint, seen: Availability, query: RouteQuery, now: float
) -> Candidate:
    pool, opens_in_s = container.pool(), None
    if seen in _BY_LIMIT:
        opens_in_s = pool.fits_in_s(endpoint, query)
    elif seen in _BY_HEALTH:
        opens_in_s = pool.opens_in_s(endpoint)
    bucket = container.ledger().seen(endpoint, query.client)
    return Candidate(
        endpoint.id,
        seen,
        opens_in_s,
        bucket.need(query.demand),
        container.endpoint_states()[endpoint.id].health,
        _limit(bucket.requests, now),
        _limit(bucket.tokens, now),
    )


def _limit(state: LimitState, now: float) -> LiveLimit:
    return LiveLimit(state.terms.limit, state.room(now), state.full_in_s(now))
