"""Answers from the cache, where that is allowed; else from an endpoint, once for all that ask the same at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from math import floor
from typing import Protocol

import msgspec
from msgspec import Struct

from application.answers import Answer, WholeAnswer
from application.body.cache_fields import canonical, decode, is_unambiguous
from application.body.narrowed import is_heavy
from application.caching.replay import ReplayedStream
from application.caching.single_flight import SharedCall, SingleFlight
from application.errors import ProxyError
from application.messages import Api, Headers, ProxyRequest, RequestTrace, WholeReply
from application.ports import Clock
from application.ready import Ready
from application.store_ports import AnswerFormats, CachedAnswer, ResponseCache, Shape
from application.telemetry_ports import RequestSpan
from domain.bounded_memo import Remembered, lengths
from domain.caching.cache_key import CacheKey, CachePolicy, CacheState
from domain.group import ModelGroup

_KEPT_HEADERS = frozenset({"content-type", "content-encoding", "openai-version", "openai-model"})
"""What still holds when the answer is given again: no request id, no rate limit, no cookie, no date."""

_DECISIVE_PREFIXES = ("openai-", "x-ms-", "azureml-", "extra-parameters")  # by which a provider may answer differently

_OF_ITS_TIME = ("deadline_exceeded", "rate_limit_exceeded")  # codes of errors that say that a wait was over

_REMEMBERED = 1024
_REMEMBERED_BYTES = 4096
"""A request that is answered from the cache has mostly been asked before, word for word: so many bodies of up to so
many bytes, headers included, are remembered, and need not be read again to know their entry."""

_ASIDE_ABOVE_BYTES = 64 * 1024  # larger ones are read in a thread, not to hold up every other request

_WORTH_ASKING_AGAIN_S = 1.0


_HIT = CacheState.HIT


class Responder(Protocol):
    """The way to get a request answered for a group: raises `ProxyError`."""

    def __call__(self, group: ModelGroup, request: ProxyRequest, trace: RequestTrace) -> Awaitable[Answer]:
        """The answer; a stream must be closed by its taker."""


Saved = Callable[[str, int, int], None]
"""Told the endpoint of an answer that took no call of its own, what it had cost there, in picos, and how often it was
given so; where that cost is known."""

_Question = tuple[str, str, str, str, str, tuple[str, ...], bool, bytes]
"""API, group, tenant, path, query, the headers that decide, whether it asks for a stream, and its body."""
_Place = tuple[CacheKey, Shape]


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
        saved: Saved | None = None,
    ) -> None:
        """`saved` None = nobody asks."""
        self._policy = policy
        self._cache = cache
        self._formats = formats
        self._single_flight = single_flight
        self._dispatch = dispatch.__call__
        self._clock = clock
        self._draw = draw
        self._replay_interval_s = replay_interval_s
        self._saved = saved
        self._places = Remembered(self._find_place, most=_REMEMBERED, longest=_REMEMBERED_BYTES, size=_size_of)
        self._decisive = Remembered(_decisive, most=_REMEMBERED // 4, longest=_REMEMBERED_BYTES, size=lengths)

    def __call__(self, group: ModelGroup, request: ProxyRequest, trace: RequestTrace) -> Awaitable[Answer]:
        """See `Responder`; `Ready` where the cache has it at hand. `trace.cache` says where the answer came from."""
        if not self._policy.may_allow(request.api, request.temperature, request.store):
            return self._dispatch(group, request, trace)
        # What is pinned builds on what one account keeps, and may change.
        goes_past = request.cache_control.no_store or request.binding.pinned is not None
        if goes_past or (not request.tenant and _is_told_apart_elsewhere(group)):
            return self._dispatch(group, request, trace)
        if len(request.body) > _ASIDE_ABOVE_BYTES:
            return self._answer_large(group, request, trace)
        place = self._place(group, request)
        return self._dispatch(group, request, trace) if place is None else self._answer(place, group, request, trace)

    async def _answer_large(self, group: ModelGroup, request: ProxyRequest, trace: RequestTrace) -> Answer:
        place = await asyncio.to_thread(self._place_of_large, group, request)
        if place is None:
            return await self._dispatch(group, request, trace)
        return await self._answer(place, group, request, trace)

    def _answer(
        self, place: _Place, group: ModelGroup, request: ProxyRequest, trace: RequestTrace
    ) -> Awaitable[Answer]:
        key, shape = place
        control = request.cache_control
        refresh = control.no_cache or control.max_age_s == 0
        if not refresh and control.max_age_s is None:
            entry = self._cache.at_hand(key)
            if entry is not None and entry.shape == shape:
                trace.cache = _HIT
                return Ready(self._replay(entry))
        asked = _Asked(key, shape, refresh, request.patience_s)
        return self._look_or_share(asked, group, request, trace)

    async def _look_or_share(
        self, asked: _Asked, group: ModelGroup, request: ProxyRequest, trace: RequestTrace
    ) -> Answer:
        looked = self._clock.now()
        trace.cache = CacheState.REFRESH if asked.refresh else CacheState.MISS
        if not asked.refresh and self._single_flight.under_way(asked, looked) is None:
            entry = await self._fitting(await self._cache.get(asked.key), asked, request, trace)
            if entry is not None:
                trace.cache = CacheState.HIT
                return self._replay(entry)
        return await self._share(asked, looked, group, request, trace)

    def _place_of_large(self, group: ModelGroup, request: ProxyRequest) -> _Place | None:
        return None if is_heavy(request.body) else self._place(group, request)

    def _place(self, group: ModelGroup, request: ProxyRequest) -> _Place | None:
        """Where the answer to a request would be kept; None = it may not be answered from the cache."""
        # The name of a model in the body means the endpoints' own where that is what was asked for, else what it says.
        whose = group.name if request.model else f"\n{group.name}"
        decisive = self._decisive[request.headers]
        return self._places[
            request.api, whose, request.tenant, request.path, request.query, decisive, request.stream, request.body
        ]

    def _find_place(self, question: _Question) -> _Place | None:
        api, group, tenant, path, query, decisive, stream, body = question
        fields = decode(body)
        if fields is None or not self._policy.allows(api, fields) or not is_unambiguous(body, fields):
            return None
        key = self._policy.key(api, group, tenant, (path, query, *decisive), canonical(fields))
        return key, _shape(stream, fields.get("stream_options"))

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
        if entry.cost is not None and self._saved is not None:
            self._saved(entry.origin, entry.cost, 1)
        age_s = floor(self._age_s(entry))
        if entry.shape.stream:
            headers = (*entry.headers, ("age", str(age_s)))
            return ReplayedStream(entry, headers, self._clock, self._replay_interval_s)
        return WholeAnswer(WholeReply(200, entry.headers, b"".join(entry.chunks)), None, age_s)

    def _age_s(self, entry: CachedAnswer) -> float:
        age_s = self._clock.unix() - entry.stored_unix
        return age_s if age_s > 0.0 else 0.0

    async def _share(
        self, asked: _Asked, looked: float, group: ModelGroup, request: ProxyRequest, trace: RequestTrace
    ) -> Answer:
        while True:
            call = self._single_flight.under_way(asked, looked)
            if call is not None and call.is_done and not asked.refresh:
                entry = await call.kept()
                if entry is not None:
                    trace.cache = CacheState.HIT
                    return self._replay(entry)
                call = self._single_flight.under_way(asked, looked)
            if call is not None and not call.is_done:
                trace.cache = CacheState.REFRESH if asked.refresh else CacheState.SHARED
                try:
                    return await self._join(call, trace, is_leader=False)
                except ProxyError as error:
                    later_s = request.received - call.received
                    if error.code not in _OF_ITS_TIME or later_s < _WORTH_ASKING_AGAIN_S:
                        raise
                    continue  # whose time that was is no matter to a client that came later and has some left
            if trace.cache is CacheState.SHARED:
                trace.cache = CacheState.MISS
            if self._single_flight.budget.full:
                return await self._dispatch(group, request, trace)
            call = self._start(asked, group, request, trace.span)
            return await self._join(call, trace, is_leader=True)

    def _start(self, asked: _Asked, group: ModelGroup, request: ProxyRequest, span: RequestSpan | None) -> SharedCall:
        def ask(trace: RequestTrace) -> Awaitable[Answer]:
            trace.span = span
            return self._dispatch(group, request, trace)

        def judge(headers: Headers, chunks: tuple[bytes, ...], trace: RequestTrace) -> Awaitable[CachedAnswer | None]:
            return self._judge(asked.shape, request.api, headers, chunks, trace)

        def store(answer: CachedAnswer) -> Awaitable[None]:
            return self._cache.put(asked.key, answer, self._policy.lifetime_s(self._draw()))

        def spared(trace: RequestTrace, times: int) -> None:
            if trace.cost is not None and self._saved is not None and not asked.refresh:
                self._saved(trace.endpoint or "", trace.cost, times)

        flight, size = self._single_flight, len(request.body)
        return SharedCall(flight, asked, ask, judge, store, request.received, size, spared)

    async def _join(self, call: SharedCall, trace: RequestTrace, *, is_leader: bool) -> Answer:
        began = self._clock.now()
        try:
            answer = await call.join()
            if is_leader and isinstance(answer, WholeAnswer):
                trace.cost = call.trace.cost
            return answer
        finally:
            trace.attempts[:] = call.trace.attempts
            waited_s = self._clock.now() - began
            trace.upstream_s += min(call.trace.upstream_s, waited_s) if is_leader else waited_s

    async def _judge(
        self, shape: Shape, api: Api, headers: Headers, chunks: tuple[bytes, ...], trace: RequestTrace
    ) -> CachedAnswer | None:
        kept = tuple(pair for pair in headers if pair[0] in _KEPT_HEADERS)
        origin = "" if trace.cost is None else trace.endpoint or ""
        answer = CachedAnswer(shape, kept, chunks, self._clock.unix(), origin, trace.cost)
        if answer.size < _ASIDE_ABOVE_BYTES:
            ended_well = self._formats.ended_well(api, answer)
        else:
            ended_well = await asyncio.to_thread(self._formats.ended_well, api, answer)
        return answer if ended_well else None


def _size_of(question: _Question) -> int:
    return lengths((*question[3:6], question[7]))


def _is_told_apart_elsewhere(group: ModelGroup) -> bool:
    """Does the provider tell clients apart, by something that is not known to be a credential here?"""
    return not all(endpoint.owns_credential for endpoint in group.endpoints)


def _decisive(headers: Headers) -> tuple[str, ...]:
    return tuple(f"{name}:{value}" for name, value in headers if name.startswith(_DECISIVE_PREFIXES))


def _shape(stream: bool, options: object) -> Shape:
    if not stream:
        return Shape()
    return Shape(True, msgspec.json.encode(options, order="sorted").decode() if options else "")
