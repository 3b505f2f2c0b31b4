"""The cache before the endpoints: what is answered from it, what goes past it, what gets in."""

import asyncio
import json
from typing import Any

import pytest

from adapters.stores.memory.cache import MemoryResponseCache
from adapters.upstreams.reshape.answer_formats import OpenAIAnswerFormats
from application.answers import Answer, WholeAnswer
from application.caching.cached import CachedAnswers
from application.caching.replay import AT_ONCE_BYTES, ReplayedStream
from application.caching.single_flight import SingleFlight
from application.errors import ProxyError, UpstreamsFailed
from application.held_bytes import HeldBytes
from application.messages import Api, Attempt, Binding, Headers, ProxyRequest, RequestTrace, WholeReply
from application.store_ports import CachedAnswer, Shape
from domain.caching.cache_key import CacheControl, CachePolicy, CacheState
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from tests.fakes import FakeClock
from tests.flows import next_piece
from tests.unit.live_stream import LiveStream, settled

POLICY = CachePolicy()
GROUP = ModelGroup("g", (Endpoint("e1", "m", "openai"),))
HEADERS: Headers = (
    ("content-type", "application/json"),
    ("x-request-id", "req_upstream"),
    ("x-ratelimit-remaining-requests", "7"),
    ("set-cookie", "a=b"),
    ("openai-organization", "org"),
    ("openai-version", "2020-10-01"),
    ("date", "Mon, 23 Nov 2026 10:00:00 GMT"),
)
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "m-2026",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi", "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
EVENTS = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}\n\n',
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{"content":"Hi"},"logprobs":null,"finish_reason":null}]}\n\n',
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
)


class Shop:
    """Cached answers over a dispatch that answers what the test says and counts how often it is asked."""

    def __init__(self, policy: CachePolicy = POLICY) -> None:
        self.clock = FakeClock()
        self.cache = MemoryResponseCache(1 << 20, self.clock)
        self.single_flight = SingleFlight(self.clock, HeldBytes())
        self.asked = 0
        self.reply: Any = whole
        self.answers = CachedAnswers(
            policy, self.cache, OpenAIAnswerFormats(), self.single_flight, self._dispatch, self.clock, lambda: 0.5,
            saved=lambda *told: self.saved.append(told),
        )  # fmt: skip
        self.cost: int | None = None
        self.saved: list[tuple[str, int, int]] = []
        self.trace = RequestTrace()

    async def _dispatch(self, group: ModelGroup, request: ProxyRequest, trace: RequestTrace) -> Answer:
        self.asked += 1
        await asyncio.sleep(0)
        trace.attempts.append(Attempt("e1", "ok"))
        trace.cost = self.cost
        answer = self.reply()
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    async def ask(self, body: dict[str, Any] | None = None, **fields: Any) -> Answer:
        self.trace = RequestTrace()
        return await self.answers(GROUP, request(body, received=self.clock.now(), **fields), self.trace)

    async def body(self, body: dict[str, Any] | None = None, **fields: Any) -> bytes:
        """The answer's bytes, all events of it, after everything behind it has settled."""
        answer = await self.ask(body, **fields)
        if isinstance(answer, WholeAnswer):
            text = answer.reply.body
        else:
            pieces = []
            while piece := await next_piece(answer):
                pieces.append(piece)
            answer.close()
            text = b"".join(pieces)
        await settled()
        return text


def request(body: dict[str, Any] | None = None, **fields: Any) -> ProxyRequest:
    content = {"model": "g", "temperature": 0, "messages": []} | (body or {})
    given: dict[str, Any] = {
        "api": Api.CHAT, "path": "/chat/completions", "query": "", "headers": (), "credentials": (),
        "body": json.dumps(content).encode(), "model": "g", "body_model": "g", "stream": content.get("stream") is True,
        "request_id": "req", "received": 0.0, "tenant": "client",
        "temperature": content["temperature"], "store": content.get("store"),
    }  # fmt: skip
    return ProxyRequest(**given | fields)


def whole(status: int = 200, **changed: Any) -> WholeAnswer:
    return WholeAnswer(WholeReply(status, HEADERS, json.dumps(COMPLETION | changed).encode()))


def stream(*events: bytes) -> LiveStream:
    live = LiveStream()
    live.headers = (("content-type", "text/event-stream; charset=utf-8"), ("x-request-id", "r"))
    live.feed(*(events or EVENTS), b"")
    return live


async def test_the_second_answer_is_the_first_byte_for_byte_without_a_call() -> None:
    shop = Shop()
    first = await shop.body()

    assert shop.trace.cache is CacheState.MISS
    assert await shop.body() == first
    assert shop.trace.cache is CacheState.HIT
    assert shop.asked == 1
    assert shop.trace.attempts == []


@pytest.mark.parametrize("interval_s", [0.0, 0.01])
async def test_a_stream_is_replayed_at_once_or_piece_by_piece_with_pauses(interval_s: float) -> None:
    shop = Shop()
    shop.answers._replay_interval_s = interval_s
    shop.reply = stream
    first = await shop.body({"stream": True})
    answer = await shop.ask({"stream": True})

    assert not isinstance(answer, WholeAnswer)
    pieces = list(EVENTS) if interval_s else [b"".join(EVENTS)]
    assert [await next_piece(answer) for _ in pieces] == pieces
    assert await next_piece(answer) == b""
    assert first == b"".join(EVENTS)
    assert (shop.asked, shop.trace.cache) == (1, CacheState.HIT)


async def test_a_long_stream_is_replayed_in_pieces_of_a_bounded_size() -> None:
    chunks = tuple(b"x" * 1000 for _ in range(100))
    entry = CachedAnswer(Shape(stream=True), (), chunks, 0.0)
    replayed = ReplayedStream(entry, (), Shop().clock, 0.0)
    taken: list[bytes] = []

    def take(piece: bytes) -> bool:
        taken.append(piece)
        return len(taken) != 2

    assert not await replayed.flow(take)
    assert await replayed.flow(take)
    assert b"".join(taken) == b"".join(chunks)
    assert max(map(len, taken)) < AT_ONCE_BYTES + 1000


async def test_only_headers_that_still_mean_something_are_kept_and_the_age_is_told() -> None:
    shop = Shop()
    await shop.body()
    shop.clock.advance(42)
    answer = await shop.ask()

    assert isinstance(answer, WholeAnswer)
    assert answer.age_s == 42
    assert set(answer.reply.headers) == {("content-type", "application/json"), ("openai-version", "2020-10-01")}


@pytest.mark.parametrize("body", [{"temperature": 0.7}, {"temperature": None}, {"n": 2}, {"store": True}])
async def test_what_may_not_be_cached_goes_past(body: dict[str, Any]) -> None:
    shop = Shop()
    await shop.body(body)
    await shop.body(body)

    assert shop.asked == 2
    assert shop.trace.cache is CacheState.BYPASS


async def test_a_request_that_only_some_endpoints_may_answer_goes_past() -> None:
    shop = Shop()
    await shop.body()
    await shop.body(binding=Binding(pinned=frozenset({"e1"})))

    assert (shop.asked, shop.trace.cache) == (2, CacheState.BYPASS)


async def test_a_response_is_streamed_once_and_serves_both_shapes() -> None:
    shop = Shop()
    written = (
        b'{"id":"resp_1","object":"response","status":"completed",'
        b'"output":[{"type":"message","content":[{"type":"output_text","text":"Hi"}]}]}'
    )
    events = (
        b'event: response.created\ndata: {"type":"response.created"}\n\n',
        b'event: response.completed\ndata: {"type":"response.completed","response":%b}\n\n' % written,
    )
    shop.reply = lambda: stream(*events)
    asked: Any = {"api": Api.RESPONSES, "path": "/responses"}
    streamed = [await shop.body({"store": False, "input": "Hi", "stream": True}, **asked) for _ in range(2)]
    whole_body = await shop.body({"store": False, "input": "Hi"}, **asked)

    assert streamed == [b"".join(events)] * 2
    assert whole_body == written
    assert (shop.asked, shop.trace.cache) == (1, CacheState.HIT)


async def test_apis_do_not_share_entries() -> None:
    shop = Shop()
    await shop.body()
    await shop.body(api=Api.COMPLETIONS)

    assert (shop.asked, shop.trace.cache) == (2, CacheState.MISS)


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "another client"},
        {"query": "api-version=2024-10-21"},
        {"headers": (("openai-beta", "x"),)},
        {"body": {"seed": 1}},
    ],
)
async def test_other_clients_and_other_requests_have_entries_of_their_own(other: dict[str, Any]) -> None:
    shop = Shop()
    await shop.body()
    await shop.body(**other)

    assert shop.asked == 2


async def test_headers_that_change_nothing_share_the_entry() -> None:
    shop = Shop()
    await shop.body(headers=(("user-agent", "a"), ("x-stainless-retry-count", "0")))
    await shop.body(headers=(("user-agent", "b"),))

    assert shop.asked == 1


@pytest.mark.parametrize(
    "answer",
    [
        lambda: whole(choices=[{"index": 0, "message": {"content": "H"}, "finish_reason": "length"}]),
        lambda: whole(choices=[{"index": 0, "message": {"content": ""}, "finish_reason": "content_filter"}]),
        lambda: whole(status=201),
        lambda: WholeAnswer(WholeReply(400, (), b"{}"), Failure(FailureKind.CLIENT)),
        lambda: WholeAnswer(WholeReply(200, HEADERS, b"junk")),
    ],
)
async def test_what_did_not_end_well_is_not_kept(answer: Any) -> None:
    shop = Shop()
    shop.reply = answer
    await shop.body()
    await shop.body()

    assert shop.asked == 2


async def test_a_cut_stream_is_not_kept() -> None:
    shop = Shop()
    shop.reply = lambda: stream(*EVENTS[:2])
    await shop.body({"stream": True})
    await shop.body({"stream": True})

    assert shop.asked == 2


async def test_a_stream_whose_client_leaves_half_way_is_not_kept() -> None:
    shop = Shop()
    shop.reply = stream
    answer = await shop.ask({"stream": True})
    assert not isinstance(answer, WholeAnswer)
    await next_piece(answer)
    # Leaves before the end has been read from upstream: nothing of the rest was there yet.
    live = LiveStream()
    shop.reply = lambda: live
    live.feed(EVENTS[0])
    other = await shop.ask({"stream": True, "seed": 1})
    assert not isinstance(other, WholeAnswer)
    await next_piece(other)
    other.close()
    await settled()
    shop.reply = stream
    await shop.body({"stream": True, "seed": 1})

    assert shop.asked == 3
    assert live.closed


async def test_a_whole_answer_serves_a_stream_and_a_stream_without_usage_no_whole_answer() -> None:
    shop = Shop()
    await shop.body()
    assert b"[DONE]" in await shop.body({"stream": True})
    assert shop.asked == 1

    shop.reply = stream
    await shop.body({"seed": 1, "stream": True})
    shop.reply = whole
    await shop.body({"seed": 1})
    assert shop.asked == 3
    await shop.body({"seed": 1, "stream": True, "stream_options": {"include_usage": True}})
    assert shop.asked == 3


async def test_no_cache_asks_anew_and_replaces_the_entry() -> None:
    shop = Shop()
    await shop.body()
    shop.reply = lambda: whole(id="chatcmpl-2")
    fresh = await shop.body(cache_control=CacheControl(no_cache=True))
    assert shop.trace.cache is CacheState.REFRESH

    assert b"chatcmpl-2" in fresh
    assert await shop.body() == fresh
    assert (shop.asked, shop.trace.cache) == (2, CacheState.HIT)


async def test_no_store_neither_reads_nor_writes() -> None:
    shop = Shop()
    await shop.body(cache_control=CacheControl(no_store=True))
    assert shop.trace.cache is CacheState.BYPASS
    await shop.body()
    await shop.body(cache_control=CacheControl(no_store=True))

    assert shop.asked == 3


@pytest.mark.parametrize(
    ("max_age_s", "state"), [(100.0, CacheState.HIT), (10.0, CacheState.REFRESH), (0.0, CacheState.REFRESH)]
)
async def test_max_age_takes_only_what_is_young_enough(max_age_s: float, state: CacheState) -> None:
    shop = Shop()
    await shop.body()
    shop.clock.advance(50)
    await shop.body(cache_control=CacheControl(max_age_s=max_age_s))

    assert shop.trace.cache is state


async def test_entries_end_after_their_time_to_live() -> None:
    shop = Shop(CachePolicy(ttl_s=100))
    await shop.body()
    shop.clock.advance(101)
    await shop.body()

    assert shop.asked == 2


async def test_identical_misses_are_one_call_and_say_so() -> None:
    shop = Shop()
    trails = [RequestTrace() for _ in range(200)]
    answers = await asyncio.gather(*(shop.answers(GROUP, request(), trace) for trace in trails))

    assert shop.asked == 1
    assert len({answer.reply.body for answer in answers if isinstance(answer, WholeAnswer)}) == 1
    assert [trace.cache for trace in trails] == [CacheState.MISS] + [CacheState.SHARED] * 199
    assert all([a.endpoint for a in trace.attempts] == ["e1"] for trace in trails)


@pytest.mark.parametrize(("fields", "times"), [({}, 2), ({"cache_control": CacheControl(no_cache=True)}, 0)])
async def test_requests_that_share_a_call_save_its_cost_unless_they_ask_anew(
    fields: dict[str, Any], times: int
) -> None:
    shop = Shop()
    shop.cost = 70
    await asyncio.gather(*(shop.answers(GROUP, request(**fields), RequestTrace()) for _ in range(3)))

    assert shop.saved == ([("e1", 70, times)] if times else [])


async def test_requests_that_share_a_call_without_a_known_cost_save_nothing_known() -> None:
    shop = Shop()
    await asyncio.gather(*(shop.answers(GROUP, request(), RequestTrace()) for _ in range(3)))

    assert not shop.saved


async def test_a_patient_client_is_not_told_the_end_of_anothers_patience() -> None:
    shop = Shop()
    calls: list[asyncio.Future[Answer]] = []

    async def hang(group: ModelGroup, asked: ProxyRequest, trace: RequestTrace) -> Answer:
        calls.append(asyncio.get_running_loop().create_future())
        return await calls[-1]

    shop.answers._dispatch = hang
    early = asyncio.ensure_future(shop.answers(GROUP, request(received=0.0), RequestTrace()))
    await settled()
    late = asyncio.ensure_future(shop.answers(GROUP, request(received=30.0), RequestTrace()))
    await settled()
    calls[0].set_exception(UpstreamsFailed("g", Failure(FailureKind.DEADLINE), (), spent=True))
    await settled()
    good = whole()
    calls[1].set_result(good)

    with pytest.raises(UpstreamsFailed):
        await early
    assert await late is good


async def test_clients_that_only_their_provider_can_tell_apart_are_not_answered_from_the_cache() -> None:
    shop = Shop()
    passing = ModelGroup("g", (Endpoint("e1", "m", "openai", owns_credential=False),))
    trails = [RequestTrace(), RequestTrace()]
    await asyncio.gather(*(shop.answers(passing, request(tenant=""), trace) for trace in trails))
    await settled()
    named = RequestTrace()
    await shop.answers(passing, request(tenant="somebody"), named)

    assert [trace.cache for trace in trails] == [CacheState.BYPASS] * 2
    assert shop.asked == 3
    assert named.cache is CacheState.MISS


async def test_clients_of_different_patience_do_not_share_a_call() -> None:
    shop = Shop()
    await asyncio.gather(shop.ask(patience_s=1.0), shop.ask(patience_s=600.0))

    assert shop.asked == 2


async def test_a_refresh_is_not_answered_by_what_has_just_landed() -> None:
    shop = Shop()
    await shop.ask()
    await shop.ask(cache_control=CacheControl(no_cache=True))
    await shop.ask(cache_control=CacheControl(no_cache=True))

    assert shop.asked == 3


async def test_who_comes_while_the_answer_is_stored_gets_what_the_cache_would_give() -> None:
    shop = Shop()
    stored = asyncio.Event()
    put = shop.cache.put

    async def slowly(*arguments: Any) -> None:
        await stored.wait()
        await put(*arguments)

    shop.cache.put = slowly  # type: ignore[method-assign]
    await shop.ask()
    answer = await shop.ask()
    stored.set()

    assert isinstance(answer, WholeAnswer)
    assert (shop.trace.cache, shop.trace.attempts, shop.asked) == (CacheState.HIT, [], 1)
    assert answer.age_s == 0
    assert not [name for name, _ in answer.reply.headers if name.startswith("x-")]


async def test_errors_are_raised_and_nothing_is_kept() -> None:
    shop = Shop()
    shop.reply = lambda: ProxyError("all down")
    with pytest.raises(ProxyError, match="all down"):
        await shop.ask()
    shop.reply = whole
    await shop.body()

    assert shop.asked == 2


async def test_without_memory_for_recordings_requests_go_past_single_flight() -> None:
    shop = Shop()
    shop.single_flight = SingleFlight(shop.clock, HeldBytes(), max_held_bytes=0)
    shop.answers._single_flight = shop.single_flight
    await asyncio.gather(shop.ask(), shop.ask())

    assert shop.asked == 2
