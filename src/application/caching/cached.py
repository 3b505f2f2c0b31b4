"""Answers from the cache, where that is allowed; else from an endpoint, once for all who ask the same at a time."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
from msgspec import Struct

from application.answers import Answer, WholeAnswer
from application.body.cache_fields import canonical, decode, is_unambiguous, needs_look
from application.body.narrowed import is_heavy
from application.caching.replay import ReplayedStream
from application.caching.single_flight import Flight, SingleFlight
from application.errors import ProxyError
from application.messages import Api, Headers, ProxyRequest, RequestTrace, WholeReply
from application.ports import Clock
from application.ready import Ready
from application.store_ports import AnswerFormats, CachedAnswer, ResponseCache, Shape
from domain.bounded_memo import Remembered, lengths
from domain.caching.cache_key import CacheKey, CachePolicy, CacheState
from domain.group import ModelGroup

_KEPT_HEADERS = frozenset({"content-type", "content-encoding", "openai-version", "openai-model"})
"""What still holds when the answer is given again: no request id, no rate limit, no cookie, no date."""

_DECISIVE_PREFIXES = ("openai-", "x-ms-", "azureml-", "extra-parameters")
"""Request headers by which a provider may answer differently."""

_OF_ITS_TIME = ("deadline_exceeded", "rate_limit_exceeded")
"""Codes of errors that say that a wait was over."""

_REMEMBERED = 1024
_REMEMBERED_BYTES = 4096
"""A request that is answered from the cache has mostly been asked before, word for word: so many bodies of up to so
many bytes, headers included, are remembered, and need not be read again to know their entry."""

_ASIDE_ABOVE_BYTES = 64 * 1024
"""Larger answers and requests are read in a thread: it takes milliseconds, and would hold up every other request."""

_WORTH_ASKING_AGAIN_S = 1.0


class Responder(Protocol):
    """Whatever gets a request answered for a group: raises `ProxyError`."""

    def __call__(self, group: ModelGroup, request: ProxyRequest, trace: RequestTrace) -> Awaitable[Answer]:
        """The answer; a stream must be closed by whoever takes it."""


_Question = tuple[str, str, str, tuple[str, ...], bool, bytes]
"""API, group, tenant, what else of a request decides, whether it asks for a stream, and its body."""


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
        single_flight: SingleFlight,
        dispatch: Responder,
        clock: Clock,
        draw: Callable[[], float],
        replay_interval_s: float = 0.0,
    ) -> None:
        self._policy = policy
        self._cache = cache
        self._formats = formats
        self._single_flight = single_flight
        self._dispatch = dispatch
        self._clock = clock
        self._draw = draw
        self._replay_interval_s = replay_interval_s
        self._places = Remembered(self._find_place, most=_REMEMBERED, longest=_REMEMBERED_BYTES, size=_size_of)
        self.counts: Counter[CacheState] = Counter()
        """How many requests were answered from where, since the start."""

    def __call__(self, group: ModelGroup, request: ProxyRequest, trace: RequestTrace) -> Awaitable[Answer]:
        """See `Responder`; `Ready` where the cache has it at hand. `trace.cache` says where the answer came from."""
        control = request.cache_control
        # What is pinned builds on what one account keeps, and may change.
        goes_past = control.no_store or request.binding.pinned is not None
        is_beside = goes_past or _is_anonymous(group, request)
        if is_beside or not needs_look(self._policy, request.api, request.body):
            return self._bypass(group, request, trace)
        if len(request.body) > _ASIDE_ABOVE_BYTES:
            return self._answer_large(group, request, trace)
        place = self._place(group, request)
        return self._bypass(group, request, trace) if place is None else self._answer(place, group, request, trace)

    def _bypass(self, group: ModelGroup, request: ProxyRequest, trace: RequestTrace) -> Awaitable[Answer]:
        self.counts[CacheState.BYPASS] += 1
        return self._dispatch(group, request, trace)

    async def _answer_large(self, group: ModelGroup, request: ProxyRequest, trace: RequestTrace) -> Answer:
        place = await asyncio.to_thread(self._place, group, request)
        if place is None:
            return await self._bypass(group, request, trace)
        return await self._answer(place, group, request, trace)

    def _answer(
        self, place: tuple[CacheKey, Shape], group: ModelGroup, request: ProxyRequest, trace: RequestTrace
    ) -> Awaitable[Answer]:
        control = request.cache_control
        asked = _Asked(*place, control.no_cache or control.max_age_s == 0, request.patience_s)
        looked = self._clock.now()
        if asked.refresh:
            trace.cache = CacheState.REFRESH
            return self._counted(self._fly(asked, looked, group, request, trace), trace)
        trace.cache = CacheState.MISS
        if self._single_flight.under_way(asked, looked) is not None:
            return self._counted(self._fly(asked, looked, group, request, trace), trace)
        found = self._cache.get(asked.key)
        if isinstance(found, Ready) and control.max_age_s is None:
            entry = found.value
            if entry is not None and entry.shape == asked.shape:
                trace.cache = CacheState.HIT
                self.counts[CacheState.HIT] += 1
                return Ready(self._replay(entry))
        return self._counted(self._look(found, asked, looked, group, request, trace), trace)

    async def _counted(self, answer: Awaitable[Answer], trace: RequestTrace) -> Answer:
        try:
            return await answer
        finally:
            self.counts[trace.cache] += 1

    async def _look(
        self,
        looking: Awaitable[CachedAnswer | None],
        asked: _Asked,
        looked: float,
        group: ModelGroup,
        request: ProxyRequest,
        trace: RequestTrace,
    ) -> Answer:
        entry = await self._fitting(await looking, asked, request, trace)
        if entry is not None:
            trace.cache = CacheState.HIT
            return self._replay(entry)
        return await self._fly(asked, looked, group, request, trace)

    def _place(self, group: ModelGroup, request: ProxyRequest) -> tuple[CacheKey, Shape] | None:
        """Where the answer to a request would be kept; None = it may not be answered from the cache."""
        api, body = request.api, request.body
        if len(body) > _ASIDE_ABOVE_BYTES and is_heavy(body):
            return None
        parts = (request.path, request.query, *_decisive(request.headers))
        # The name of a model in the body means the endpoints' own where that is what was asked for, else what it says.
        whose = group.name if request.model else f"\n{group.name}"
        return self._places[api, whose, request.tenant, parts, request.stream, body]

    def _find_place(self, question: _Question) -> tuple[CacheKey, Shape] | None:
        api, group, tenant, parts, stream, body = question
        fields = decode(body)
        if fields is None or not self._policy.allows(api, fields) or not is_unambiguous(body, fields):
            return None
        return self._policy.key(api, group, tenant, parts, canonical(fields)), _shape(
            stream, fields.get("stream_options")
        )

    async def _fitting(
        self, entry: CachedAnswer | None, asked: _Asked, request: ProxyRequest, trace: RequestTrace
    ) -> CachedAnswer | None:
        """The entry, in the shape that is wanted; None = there is none, or none young enough."""
        if entry is None:
            return None
        max_age_s = request.cache_control.max_age_s
        if max_age_s is not None and self._age_s(entry) > max_age_s:
            trace.cache = CacheState.REFRESH
            return None
        if entry.shape == asked.shape:
            return entry
        if entry.size < _ASIDE_ABOVE_BYTES:
            return self._formats.reshaped(request.api, entry, asked.shape)
        return await asyncio.to_thread(self._formats.reshaped, request.api, entry, asked.shape)

    def _replay(self, entry: CachedAnswer) -> Answer:
        headers = (*entry.headers, ("age", str(int(self._age_s(entry)))))
        if entry.shape.stream:
            return ReplayedStream(entry, headers, self._clock, self._replay_interval_s)
        return WholeAnswer(WholeReply(200, headers, b"".join(entry.chunks)))

    def _age_s(self, entry: CachedAnswer) -> float:
        return max(0.0, self._clock.unix() - entry.stored_unix)

    async def _fly(
        self, asked: _Asked, looked: float, group: ModelGroup, request: ProxyRequest, trace: RequestTrace
    ) -> Answer:
        while True:
            flight = self._single_flight.under_way(asked, looked)
            if flight is not None and flight.is_done and not asked.refresh:
                entry = await flight.kept()
                if entry is not None:
                    trace.cache = CacheState.HIT
                    return self._replay(entry)
                flight = self._single_flight.under_way(asked, looked)
            if flight is not None and not flight.is_done:
                trace.cache = CacheState.REFRESH if asked.refresh else CacheState.SHARED
                try:
                    return await self._board(flight, trace, is_founder=False)
                except ProxyError as error:
                    later_s = request.received - flight.received
                    if error.code not in _OF_ITS_TIME or later_s < _WORTH_ASKING_AGAIN_S:
                        raise
                    continue  # whose time that was is no matter to a client that came later and has some left
            if trace.cache is CacheState.SHARED:
                trace.cache = CacheState.MISS
            if self._single_flight.full:
                return await self._dispatch(group, request, trace)
            flight = self._start(asked, group, request)
            return await self._board(flight, trace, is_founder=True)

    def _start(self, asked: _Asked, group: ModelGroup, request: ProxyRequest) -> Flight:
        def ask(trace: RequestTrace) -> Awaitable[Answer]:
            return self._dispatch(group, request, trace)

        def judge(headers: Headers, chunks: tuple[bytes, ...]) -> Awaitable[CachedAnswer | None]:
            return self._judge(asked.shape, request.api, headers, chunks)

        def store(answer: CachedAnswer) -> Awaitable[None]:
            return self._cache.put(asked.key, answer, self._policy.lifetime_s(self._draw()))

        return self._single_flight.start(asked, ask, judge, store, request.received, len(request.body))

    async def _board(self, flight: Flight, trace: RequestTrace, *, is_founder: bool) -> Answer:
        began = self._clock.now()
        try:
            return await flight.join()
        finally:
            trace.attempts[:] = flight.trace.attempts
            waited_s = self._clock.now() - began
            trace.upstream_s += min(flight.trace.upstream_s, waited_s) if is_founder else waited_s

    async def _judge(self, shape: Shape, api: Api, headers: Headers, chunks: tuple[bytes, ...]) -> CachedAnswer | None:
        kept = tuple(pair for pair in headers if pair[0] in _KEPT_HEADERS)
        answer = CachedAnswer(shape, kept, chunks, self._clock.unix())
        if answer.size < _ASIDE_ABOVE_BYTES:
            ended_well = self._formats.ended_well(api, answer)
        else:
            ended_well = await asyncio.to_thread(self._formats.ended_well, api, answer)
        return answer if ended_well else None


def _size_of(question: _Question) -> int:
    return lengths((question[3], question[5]))


def _is_anonymous(group: ModelGroup, request: ProxyRequest) -> bool:
    """Is it the provider who tells clients apart, by something that is not known to be a credential here?"""
    return not request.tenant and not all(endpoint.owns_credential for endpoint in group.endpoints)


def _decisive(headers: Headers) -> list[str]:
    return [f"{name}:{value}" for name, value in headers if name.startswith(_DECISIVE_PREFIXES)]


def _shape(stream: bool, options: object) -> Shape:
    if not stream:
        return Shape()
    return Shape(True, msgspec.json.encode(options, order="sorted").decode() if options else "")
