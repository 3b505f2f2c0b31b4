"""The clients: each sends its request when its time has come, reads the answer, and does not ask again."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from contextvars import ContextVar

from msgspec import Struct, field

from application.answers import Answer, WholeAnswer
from application.caching.cached import Responder
from application.endpoints.endpoint_state import Lease
from application.endpoints.ledger import Ledger
from application.endpoints.waiting_queue import WaitingQueue
from application.errors import ProxyError
from application.messages import Api, ProxyRequest, RequestTrace
from domain.failure import Failure
from domain.group import ModelGroup
from domain.rate_limit.room import Room
from domain.rate_limit.token_estimate import Demand
from domain.routing.route_query import RouteQuery
from entrypoints.simulate.traffic import Arrival
from entrypoints.simulate.world.blind import BlindRouting
from entrypoints.simulate.world.journal import Journal
from entrypoints.simulate.world.providers import OUTPUT
from entrypoints.virtual_time import START_S, VirtualClock

_HEAD = b'{"model":"%b","user":"%d","max_tokens":%d,"temperature":0,%b"messages":[{"role":"user","content":"'
_STREAMED = b'"stream":true,"stream_options":{"include_usage":true},'
_TAIL = b'"}]}'
_WAITED: ContextVar[list[float]] = ContextVar("waited")
"""Seconds for which the request of this task waited for room, each time that it did."""


class Outcomes(Struct):
    """What became of requests, as their clients saw it."""

    requests: Counter[str] = field(default_factory=Counter)
    """By group, as all that follow."""
    answered: Counter[str] = field(default_factory=Counter)
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By group and by the code that the client was told."""
    attempts: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    """Attempts after the first of a request."""
    routed_round: int = 0
    """Requests that came when an endpoint of the first tier had no room to spare, and another one answered at once."""
    waits_s: list[float] = []
    """Of those that waited for room, whether they got it or not."""
    durations_s: list[float] = []
    """Of those that were answered, from their arrival on."""


class Clients(Struct, frozen=True):
    _answers: Responder
    _ledger: Ledger
    _journal: Journal
    _clock: VirtualClock
    _blind: BlindRouting
    _streams: bool
    outcomes: Outcomes = field(default_factory=Outcomes)

    async def send(self, arrivals: Iterable[Arrival]) -> None:
        """Each at its time; returns when all have ended."""
        async with asyncio.TaskGroup() as asking:
            for number, arrival in enumerate(arrivals):
                await self._clock.sleep(START_S + arrival.at_s - self._clock.now())
                asking.create_task(self._ask(number, arrival))

    async def _ask(self, number: int, arrival: Arrival) -> None:
        group, outcomes, began = arrival.group, self.outcomes, self._clock.now()
        said = number if arrival.repeats is None else arrival.repeats
        request = request_of(said, arrival, began, streams=self._streams)
        full = self._without_room(group, Demand.of(request.body, request.max_output_tokens))
        self._blind.ask(group, len(request.body), arrival.answered_tokens, self._clock.passed_s())
        trace, waited = RequestTrace(), list[float]()
        _WAITED.set(waited)
        outcomes.requests[group.name] += 1
        error: str | None
        try:
            failure = await _read(await self._answers(group, request, trace))
            error = None if failure is None else failure.kind.value
        except ProxyError as told:
            error = told.code
        outcomes.attempts[group.name] += len(trace.attempts)
        outcomes.retries[group.name] += max(0, len(trace.attempts) - 1)
        if waited:
            outcomes.waits_s.append(sum(waited))
        if error is not None:
            outcomes.errors[group.name, error] += 1
            self._journal.gave_up()
            return
        outcomes.answered[group.name] += 1
        outcomes.durations_s.append(self._clock.now() - began)
        outcomes.routed_round += bool(full) and not waited and trace.endpoint not in full

    def _without_room(self, group: ModelGroup, demand: Demand) -> list[str]:
        """The endpoints of the first tier that a request of this size would rather not be sent to, for their limits."""
        now, found = self._clock.now(), []
        for endpoint, tier in zip(group.endpoints, group.tiers(), strict=True):
            bucket = self._ledger.seen(endpoint, "")
            if not tier and bucket.room_for(bucket.need(demand), now) is not Room.AMPLE:
                found.append(endpoint.id)
        return found


async def _read(answer: Answer) -> Failure | None:
    """The whole of it; why it is no good one, None = it is."""
    if isinstance(answer, WholeAnswer):
        return answer.final_failure
    try:
        while not await answer.flow(lambda _: True):
            pass
        return answer.failure
    finally:
        answer.close()


class TimedQueue(WaitingQueue):
    """Notes how long each request waited."""

    async def lease(
        self, group: ModelGroup, query: RouteQuery, barred: frozenset[str], until: float, *, by_choice: bool = False
    ) -> Lease | None:
        began = self._clock.now()
        try:
            return await super().lease(group, query, barred, until, by_choice=by_choice)
        finally:
            _WAITED.get().append(self._clock.now() - began)


def request_of(number: int, arrival: Arrival, received: float, *, streams: bool = False) -> ProxyRequest:
    """A chat completion that has so many tokens, at four bytes each, and asks for just the output that it gets."""
    name, answered = arrival.group.name, arrival.answered_tokens
    head = _HEAD % (
        name.replace("\\", "\\\\").replace('"', '\\"').encode(),
        number,
        answered,
        _STREAMED if streams else b"",
    )
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
        stream=streams,
        request_id=f"simulated-{number}",
        received=received,
        max_output_tokens=answered,
        temperature=0,
    )
