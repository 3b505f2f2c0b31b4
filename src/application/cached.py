"""Answers from the cache, where that is allowed; else from an endpoint, once for all who ask the same at a time."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
from msgspec import Struct

from application.answers import Answer, WholeAnswer
from application.errors import ProxyError
from application.flights import Flight, Flights
from application.messages import Headers, ProxyRequest, Trail, WholeReply
from application.ports import Clock
from application.replay import ReplayedStream
from application.store_ports import AnswerFormats, CachedAnswer, ResponseCache, Shape
from domain.cache import CacheKey, CachePolicy, CacheState, decode_strictly
from domain.group import ModelGroup

_KEPT_HEADERS = frozenset({"content-type", "content-encoding", "openai-version", "openai-model"})
"""What still holds when the answer is given again: no request id, no rate limit, no cookie, no date."""

_DECISIVE_PREFIXES = ("openai-", "x-ms-")
"""Request headers by which a provider may answer differently."""

_OUT_OF_TIME = "deadline_exceeded"
_WORTH_ASKING_AGAIN_S = 1.0


class Answers(Protocol):
    """Whatever gets a request answered for a group: raises `ProxyError`."""

    def __call__(self, group: ModelGroup, request: ProxyRequest, trail: Trail) -> Awaitable[Answer]:
        """The answer; a stream must be closed by whoever takes it."""


class _Asked(Struct, frozen=True):
    """What makes two requests under way identical."""

    key: CacheKey
    shape: Shape
    refresh: bool
    patience_s: float | None


class CachedAnswers:
    """Stands before `Dispatch` and has the same face."""

    def __init__(
        self,
        policy: CachePolicy,
        cache: ResponseCache,
        formats: AnswerFormats,
        flights: Flights,
        dispatch: Answers,
        clock: Clock,
        draw: Callable[[], float],
        replay_interval_s: float = 0.0,
    ) -> None:
        self._policy = policy
        self._cache = cache
        self._formats = formats
        self._flights = flights
        self._dispatch = dispatch
        self._clock = clock
        self._draw = draw
        self._replay_interval_s = replay_interval_s
        self.counts: Counter[CacheState] = Counter()
        """How many requests were answered from where, since the start."""

    async def __call__(self, group: ModelGroup, request: ProxyRequest, trail: Trail) -> Answer:
        """See `Answers`. `trail.cache` says where the answer came from."""
        try:
            return await self._answer(group, request, trail)
        finally:
            self.counts[trail.cache] += 1

    async def _answer(self, group: ModelGroup, request: ProxyRequest, trail: Trail) -> Answer:
        control = request.cache_control
        fields = None
        goes_past = control.no_store or request.pinned is not None  # builds on what one account keeps and may change
        if not goes_past and self._policy.needs_look(request.api.value, request.body):
            fields = decode_strictly(request.body)
        if fields is None or not self._policy.allows(request.api.value, fields):
            return await self._dispatch(group, request, trail)
        parts = (request.path, request.query, *_decisive(request.headers))
        key = self._policy.key(request.api.value, group.name, request.tenant, parts, fields)
        shape = _shape(request, fields.get("stream_options"))
        asked = _Asked(key, shape, control.no_cache or control.max_age_s == 0, request.patience_s)
        trail.cache = CacheState.REFRESH if asked.refresh else CacheState.MISS
        looked = self._clock.now()
        if not asked.refresh and self._flights.under_way(asked, looked) is None:
            found = await self._find(asked, request, trail)
            if found is not None:
                trail.cache = CacheState.HIT
                return self._replay(found)
        return await self._fly(asked, looked, group, request, trail)

    async def _find(self, asked: _Asked, request: ProxyRequest, trail: Trail) -> CachedAnswer | None:
        """The entry, in the shape that is wanted; None = there is none, or none young enough."""
        entry = await self._cache.get(asked.key)
        if entry is None:
            return None
        max_age_s = request.cache_control.max_age_s
        if max_age_s is not None and self._age_s(entry) > max_age_s:
            trail.cache = CacheState.REFRESH
            return None
        return self._formats.reshaped(request.api, entry, asked.shape)

    def _replay(self, entry: CachedAnswer) -> Answer:
        headers = (*entry.headers, ("age", str(int(self._age_s(entry)))))
        if entry.shape.stream:
            return ReplayedStream(entry, headers, self._clock, self._replay_interval_s)
        return WholeAnswer(WholeReply(200, headers, b"".join(entry.chunks)))

    def _age_s(self, entry: CachedAnswer) -> float:
        return max(0.0, self._clock.unix() - entry.stored_unix)

    async def _fly(
        self, asked: _Asked, looked: float, group: ModelGroup, request: ProxyRequest, trail: Trail
    ) -> Answer:
        while True:
            flight = self._flights.under_way(asked, looked)
            if flight is not None and not (asked.refresh and flight.landed):
                trail.cache = CacheState.HIT if flight.landed else CacheState.SHARED
                try:
                    return await self._board(flight, trail, is_founder=False)
                except ProxyError as error:
                    later_s = request.received - flight.received
                    if error.code != _OUT_OF_TIME or later_s < _WORTH_ASKING_AGAIN_S:
                        raise
                    continue  # whose time that was is no matter to a client that came later and has some left
            if self._flights.full:
                return await self._dispatch(group, request, trail)

            def ask(flight_trail: Trail) -> Awaitable[Answer]:
                return self._dispatch(group, request, flight_trail)

            def keep(headers: Headers, chunks: tuple[bytes, ...]) -> Awaitable[None] | None:
                return self._keep(asked, request, headers, chunks)

            flight = self._flights.start(asked, ask, keep, request.received)
            return await self._board(flight, trail, is_founder=True)

    async def _board(self, flight: Flight, trail: Trail, *, is_founder: bool) -> Answer:
        began = self._clock.now()
        try:
            return await flight.board()
        finally:
            trail.attempts[:] = flight.trail.attempts
            waited_s = self._clock.now() - began
            trail.upstream_s += min(flight.trail.upstream_s, waited_s) if is_founder else waited_s

    def _keep(
        self, asked: _Asked, request: ProxyRequest, headers: Headers, chunks: tuple[bytes, ...]
    ) -> Awaitable[None] | None:
        kept = tuple(pair for pair in headers if pair[0] in _KEPT_HEADERS)
        answer = CachedAnswer(asked.shape, kept, chunks, self._clock.unix())
        if not self._formats.ended_well(request.api, answer):
            return None
        return self._cache.put(asked.key, answer, self._policy.lifetime_s(self._draw()))


def _decisive(headers: Headers) -> tuple[str, ...]:
    return tuple(f"{name}:{value}" for name, value in headers if name.startswith(_DECISIVE_PREFIXES))


def _shape(request: ProxyRequest, options: object) -> Shape:
    if not request.stream:
        return Shape()
    return Shape(True, msgspec.json.encode(options, order="sorted").decode() if options else "")
