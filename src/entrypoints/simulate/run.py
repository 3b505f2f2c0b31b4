"""Plays a scenario: the proxy's own routing, composed by the container as for serving, between simulated clients and
simulated providers, in virtual time."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable

from dependency_injector import providers
from msgspec import Struct
from msgspec.structs import replace

from application.endpoints.endpoint_state import EndpointState
from application.endpoints.waiting_queue import WaitingQueue
from application.state.access_tokens import AccessToken
from domain.secret import Secret
from entrypoints.config.settings import EndpointSettings, Settings
from entrypoints.container import Container
from entrypoints.simulate.scenario import Scenario
from entrypoints.simulate.traffic import Arrival
from entrypoints.simulate.world.blind import BlindRouting
from entrypoints.simulate.world.clients import Clients, Outcomes, TimedQueue
from entrypoints.simulate.world.journal import BINS, Journal
from entrypoints.simulate.world.providers import ENDPOINT, SimulatedProviders
from entrypoints.virtual_time import START_S, VirtualClock, VirtualLoop

_A_YEAR_S = 365 * 86_400.0


class Played(Struct):
    """A run that is over."""

    outcomes: Outcomes
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

    async def played() -> Played:
        clock = VirtualClock(asyncio.get_running_loop())
        journal = Journal(scenario.plans, clock, length_s)
        container = _composed(settings, scenario, clock, journal, seed)
        tokens = container.tokens()
        for source in tokens.values():
            source.start()
        blind = BlindRouting(scenario)
        clients = Clients(container.found(), container.ledger(), journal, clock, blind, scenario.streams)
        ticks = asyncio.ensure_future(_tick(clock, journal, container.waiting(), scenario, progress))
        await clients.send(arrivals)
        ended_s = clock.passed_s()
        ticks.cancel()
        for source in tokens.values():
            await source.close()
        states = {name: container.endpoint_states()[name] for name in scenario.plans}
        return Played(clients.outcomes, journal, states, blind.refused, length_s, ended_s)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(played())


async def _tick(
    clock: VirtualClock,
    journal: Journal,
    queue: WaitingQueue,
    scenario: Scenario,
    progress: Callable[[float], None],
) -> None:
    """Looks a few times in each part of the timeline at the requests that wait."""
    looks = 4
    for look in range(BINS * looks):
        await clock.sleep(START_S + look * journal.bin_s / looks - clock.now())
        journal.waits(sum(queue.waiting(group.name) for group, _ in scenario.groups))
        if look % looks == 0:
            progress(look / looks / BINS)


def _composed(settings: Settings, scenario: Scenario, clock: VirtualClock, journal: Journal, seed: int) -> Container:
    """The container of one worker without Redis, with what is outside the routing replaced."""
    in_memory = replace(settings.general.cache_params, type="memory", host=None)
    alone = replace(
        settings.general,
        redis_url=None,
        redis_host=None,
        cache=scenario.caches,
        cache_params=in_memory,
        tenancy="shared",
    )
    groups = tuple(replace(group, models=tuple(map(_that_says_its_name, group.models))) for group in settings.groups)
    container = Container(settings=replace(settings, general=alone, groups=groups))
    logger = logging.getLogger("llmproxy.simulate")
    logger.disabled = True
    for replaced, by in (
        (container.clock, clock),
        (container.draw, random.Random(seed).random),  # noqa: S311 - repeatable on purpose
        (container.logger, logger),
        (container.alarm, journal),
        (container.client, SimulatedProviders(scenario, clock, journal)),
        (container.fetch_token, _lasting_token(clock)),
    ):
        replaced.override(providers.Object(by))
    container.waiting.override(providers.Singleton(TimedQueue, container.pool, container.room, container.clock))
    return container


def _that_says_its_name(model: EndpointSettings) -> EndpointSettings:
    named = {**model.params.default_headers, ENDPOINT: Secret(model.id)}
    return replace(model, params=replace(model.params, default_headers=named))


def _lasting_token(clock: VirtualClock) -> object:
    async def fetch(scope: str) -> AccessToken:  # noqa: ARG001 - any is as good
        return AccessToken(Secret("simulated"), clock.unix() + _A_YEAR_S)

    return fetch
