"""Plays a scenario: the proxy's own routing, composed by the container as for serving, between simulated clients and
simulated providers, in virtual time."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable
from contextvars import ContextVar

from dependency_injector import providers
from msgspec import Struct
from msgspec.structs import replace

from application.answers import WholeAnswer
from application.attempts.dispatch import Dispatch
from application.endpoints.admission_queue import AdmissionQueue
from application.endpoints.endpoint_state import EndpointState, Lease
from application.endpoints.ledger import Ledger
from application.errors import ProxyError
from application.messages import Api, ProxyRequest, RequestTrace
from application.state.access_tokens import AccessToken
from domain.group import ModelGroup
from domain.rate_limit.room import Room
from domain.rate_limit.token_estimate import Demand
from domain.routing.route_query import RouteQuery
from domain.secret import Secret
from entrypoints.config.settings import EndpointSettings, Settings
from entrypoints.container import Container
from entrypoints.simulate.blind import BlindRouting
from entrypoints.simulate.journal import BINS, Journal
from entrypoints.simulate.providers import ENDPOINT, OUTPUT, SimulatedProviders
from entrypoints.simulate.scenario import Scenario
from entrypoints.simulate.traffic import Arrival
from entrypoints.simulate.virtual_time import START_S, VirtualClock, VirtualLoop

_HEAD = b'{"model":"%b","user":"%d","max_tokens":%d,"messages":[{"role":"user","content":"'
_TAIL = b'"}]}'
_A_YEAR_S = 365 * 86_400.0
_WAITED: ContextVar[list[float]] = ContextVar("waited")
"""Seconds for which the request of this task waited for room, each time that it did."""


class Clients(Struct):
    """What became of requests, as their clients saw it."""

    requests: Counter[str]
    """By group, as all that follow."""
    answered: Counter[str]
    errors: Counter[tuple[str, str]]
    """By group and by the code that the client was told."""
    attempts: Counter[str]
    retries: Counter[str]
    """Attempts after the first of a request."""
    routed_round: int = 0
    """Requests that came when an endpoint with a weight had no room to spare, and were answered without waiting."""
    waits_s: list[float] = []
    """Of those that waited for room, whether they got it or not."""
    durations_s: list[float] = []
    """Of those that were answered, from their arrival on."""


class Played(Struct):
    """A run that is over."""

    clients: Clients
    journal: Journal
    states: dict[str, EndpointState]
    blind_429s: int
    length_s: float
    ended_s: float
    """When the last request ended, in seconds after the start."""


def play(
    settings: Settings,
    scenario: Scenario,
    arrivals: Iterable[Arrival],
    length_s: float,
    seed: int,
    progress: Callable[[float], None] = lambda _: None,
) -> Played:
    """Runs it to its end. `progress` is told the part that is over, from 0 to 1. The same scenario and seed, the same
    result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_play(settings, scenario, arrivals, length_s, seed, progress))


async def _play(
    settings: Settings,
    scenario: Scenario,
    arrivals: Iterable[Arrival],
    length_s: float,
    seed: int,
    progress: Callable[[float], None],
) -> Played:
    clock = VirtualClock(asyncio.get_running_loop())
    journal = Journal(scenario.plans, clock, length_s)
    container = _composed(settings, scenario, clock, journal, seed)
    tokens = container.tokens()
    for source in tokens.values():
        source.start()
    blind = BlindRouting(scenario)
    crowd = _Crowd(container.dispatch(), container.ledger(), journal, clock, blind)
    ticks = asyncio.ensure_future(_tick(clock, journal, container.waiting(), scenario, progress))
    await crowd.send(arrivals)
    ended_s = clock.passed_s()
    ticks.cancel()
    for source in tokens.values():
        await source.close()
    states = {name: container.endpoint_states()[name] for name in scenario.plans}
    return Played(crowd.clients, journal, states, blind.refused, length_s, ended_s)


class _Crowd:
    """The clients."""

    def __init__(
        self, dispatch: Dispatch, ledger: Ledger, journal: Journal, clock: VirtualClock, blind: BlindRouting
    ) -> None:
        self._dispatch = dispatch
        self._ledger = ledger
        self._journal = journal
        self._clock = clock
        self._blind = blind
        self._running: set[asyncio.Task[None]] = set()
        self.clients = Clients(Counter(), Counter(), Counter(), Counter(), Counter())

    async def send(self, arrivals: Iterable[Arrival]) -> None:
        """Each at its time; returns when all have ended."""
        loop = asyncio.get_running_loop()
        for number, arrival in enumerate(arrivals):
            await self._clock.sleep(START_S + arrival.at_s - self._clock.now())
            task = loop.create_task(self._ask(number, arrival))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        while self._running:
            await asyncio.wait(self._running)

    async def _ask(self, number: int, arrival: Arrival) -> None:
        group, clients, began = arrival.group, self.clients, self._clock.now()
        request = request_of(number, arrival, began)
        meets_limit = self._meets_limit(group, Demand.of(request.body, request.max_output_tokens))
        self._blind.ask(group, len(request.body), arrival.answered_tokens, self._clock.passed_s())
        trace, waited = RequestTrace(), list[float]()
        _WAITED.set(waited)
        clients.requests[group.name] += 1
        error = None
        try:
            answer = await self._dispatch(group, request, trace)
            if isinstance(answer, WholeAnswer) and answer.final_failure is not None:
                error = answer.final_failure.kind.value
        except ProxyError as told:
            error = told.code
        clients.attempts[group.name] += len(trace.attempts)
        clients.retries[group.name] += max(0, len(trace.attempts) - 1)
        if waited:
            clients.waits_s.append(sum(waited))
        if error is not None:
            clients.errors[group.name, error] += 1
            self._journal.gave_up()
            return
        clients.answered[group.name] += 1
        clients.durations_s.append(self._clock.now() - began)
        clients.routed_round += meets_limit and not waited

    def _meets_limit(self, group: ModelGroup, demand: Demand) -> bool:
        """Is there an endpoint with a weight that a request of this size would be kept away from?"""
        now = self._clock.now()
        for endpoint, weight in zip(group.endpoints, group.weights(), strict=True):
            bucket = self._ledger.seen(endpoint, "")
            if weight and bucket.room_for(bucket.need(demand), now) is not Room.AMPLE:
                return True
        return False


class _TimedQueue(AdmissionQueue):
    """Notes how long each request waited."""

    async def lease(self, group: ModelGroup, query: RouteQuery, barred: frozenset[str], until: float) -> Lease | None:
        """See `AdmissionQueue`."""
        began = self._clock.now()
        try:
            return await super().lease(group, query, barred, until)
        finally:
            _WAITED.get().append(self._clock.now() - began)


async def _tick(
    clock: VirtualClock,
    journal: Journal,
    queue: AdmissionQueue,
    scenario: Scenario,
    progress: Callable[[float], None],
) -> None:
    """Looks a few times in each part of the timeline at who waits."""
    looks = 4
    for look in range(BINS * looks):
        await clock.sleep(START_S + look * journal.bin_s / looks - clock.now())
        journal.waits(sum(queue.waiting(group.name) for group, _ in scenario.groups))
        if look % looks == 0:
            progress(look / looks / BINS)


def _composed(settings: Settings, scenario: Scenario, clock: VirtualClock, journal: Journal, seed: int) -> Container:
    """The container of one worker without Redis and cache, with what is outside the routing replaced."""
    alone = replace(settings.general, redis_url=None, redis_host=None, cache=False, tenancy="shared")
    groups = tuple(replace(group, models=tuple(map(_that_says_its_name, group.models))) for group in settings.groups)
    container = Container(settings=replace(settings, general=alone, groups=groups))
    logger = logging.getLogger("llmproxy.simulate")
    logger.disabled = True
    for replaced, by in (
        (container.clock, clock),
        (container.draw, random.Random(seed).random),  # noqa: S311 - repeatable on purpose
        (container.logger, logger),
        (container.alarm, journal),
        (container.client, SimulatedProviders(scenario.plans, clock, journal)),
        (container.fetch_token, _lasting_token(clock)),
    ):
        replaced.override(providers.Object(by))
    container.waiting.override(providers.Singleton(_TimedQueue, container.pool, container.room, container.clock))
    return container


def _that_says_its_name(model: EndpointSettings) -> EndpointSettings:
    named = {**model.params.default_headers, ENDPOINT: Secret(model.id)}
    return replace(model, params=replace(model.params, default_headers=named))


def _lasting_token(clock: VirtualClock) -> object:
    async def fetch(scope: str) -> AccessToken:  # noqa: ARG001 - any is as good
        return AccessToken(Secret("simulated"), clock.unix() + _A_YEAR_S)

    return fetch


def request_of(number: int, arrival: Arrival, received: float) -> ProxyRequest:
    """A chat completion that has so many tokens, at four bytes each, and asks for just the output that it gets."""
    name, answered = arrival.group.name, arrival.answered_tokens
    head = _HEAD % (name.replace("\\", "\\\\").replace('"', '\\"').encode(), number, answered)
    room = max(1, 4 * arrival.given_tokens - len(head) - len(_TAIL))
    return ProxyRequest(
        api=Api.CHAT,
        path="/chat/completions",
        query="",
        headers=(("content-type", "application/json"), (OUTPUT, str(answered))),
        credentials=(),
        body=head + b"x" * room + _TAIL,
        model=name,
        body_model=name,
        stream=False,
        request_id=f"simulated-{number}",
        received=received,
        max_output_tokens=answered,
    )
