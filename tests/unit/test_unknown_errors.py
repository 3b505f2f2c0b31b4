"""Errors of unknown cause: one other endpoint is asked, nobody cools for one prompt, and the client reads the words."""

import json
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from application.answers import Answer, WholeAnswer
from application.attempts.event_stream_answer import EventStreamAnswer
from application.errors import UpstreamsFailed
from application.messages import Api, ProxyRequest, RequestTrace
from domain.health.cooldown import FRESH, UNKNOWN_REQUESTS, CooldownPolicy, EndpointHealth, HealthState
from tests.fakes import FakeReply
from tests.unit.dispatch_bench import CONTENT, DONE, GOOD, ROLE, Bench, body_of, good, pieces, refused, status, stream

ODD = {"message": "Something odd about your words", "code": "odd"}
FLAGGED = {"code": 403, "message": "The input was flagged"}
PAGE = b"<html><h1>Request blocked</h1></html>"


def odd(words: str = "odd") -> FakeReply:
    return FakeReply(200, [json.dumps({"error": {**ODD, "message": words}}).encode()])


def blocked() -> FakeReply:
    return FakeReply(403, [PAGE], (("content-type", "text/html"),))


def event(error: object) -> bytes:
    return b"data: " + json.dumps({"error": error}).encode() + b"\n\n"


RESPONSES_REFUSAL = (
    b"event: error\ndata: "
    + json.dumps(
        {"type": "error", "error": {"type": "invalid_request", "code": "cyber_policy", "message": "No."}}
    ).encode()
    + b"\n\n"
)


class Asking(Bench):
    """Every question is another one, unless it is said to be the same."""

    asked_so_far = 0

    async def say(self, text: str = "", *, stream: bool = False, api: Api = Api.CHAT) -> Answer:
        self.asked_so_far += 1
        self.trace = RequestTrace()
        body = json.dumps({"model": "m", "stream": stream, "input": text or str(self.asked_so_far)}).encode()
        path = {Api.CHAT: "/chat/completions", Api.RESPONSES: "/responses", Api.COMPLETIONS: "/completions"}[api]
        request = ProxyRequest(api, path, "", (), (), body, "g", "m", stream, "req", self.clock.now())
        return await self.dispatch(self.group, request, self.trace)

    @property
    def states(self) -> list[str]:
        return [self.picture.state(endpoint).value for endpoint in self.group.endpoints]


async def read(answer: Answer) -> tuple[int, bytes]:
    if isinstance(answer, WholeAnswer):
        return answer.reply.status, answer.reply.body
    assert isinstance(answer, EventStreamAnswer)
    try:
        return answer.status, b"".join([piece async for piece in pieces(answer)])
    finally:
        answer.close()


@pytest.mark.parametrize("script", [[odd], [blocked], [status(403, FLAGGED)], [status(404, ODD)]])
async def test_one_other_endpoint_is_asked_and_the_second_ones_words_are_relayed(
    script: Sequence[Callable[[], FakeReply]],
) -> None:
    bench = Asking(script, script, script, script)
    code, body = await read(await bench.say())
    (first, second) = bench.asked

    assert first != second
    assert (code, body) == (script[0]().status, b"".join(p for p in script[0]()._pieces if isinstance(p, bytes)))
    assert bench.states == ["closed"] * 4
    assert bench.nothing_is_left()


@pytest.mark.parametrize("script", [[odd], [blocked]])
async def test_a_lone_endpoint_is_not_asked_twice(script: Sequence[Callable[[], FakeReply]]) -> None:
    bench = Asking(script)
    await read(await bench.say())

    assert bench.asked == ["e1"]
    assert bench.clock.slept == []


async def test_where_the_other_endpoint_does_better_its_answer_is_the_answer() -> None:
    bench = Asking([odd], [good])

    assert body_of(await bench.say()) == GOOD
    assert bench.states == ["closed", "closed"]


@pytest.mark.parametrize("other", [refused, status(500), status(429, retry_after="100"), status(401)])
async def test_no_sentence_of_ours_takes_the_place_of_what_a_provider_said(other: Callable[[], FakeReply]) -> None:
    bench = Asking([odd], [other], retries=1, max_wait_s=0)
    code, body = await read(await bench.say())

    assert (code, json.loads(body)["error"]["code"]) == (200, "odd")


async def test_an_endpoint_that_is_cooling_is_not_troubled_with_it() -> None:
    bench = Asking([good, odd], [refused])
    await bench.say()
    await bench.say()
    assert bench.states == ["closed", "cooling"]
    code, _ = await read(await bench.say())

    assert code == 200
    assert bench.asked == ["e1"]


@pytest.mark.parametrize("api", [Api.CHAT, Api.RESPONSES, Api.COMPLETIONS])
@pytest.mark.parametrize("preamble", [b"", ROLE, b": hello\n\n"])
async def test_an_unknown_error_event_before_content_is_relayed_as_the_second_said_it(
    api: Api, preamble: bytes
) -> None:
    bench = Asking(*[[stream(preamble + event({**ODD, "message": name}))] for name in ("one", "two", "three")])
    code, body = await read(await bench.say(stream=True, api=api))

    assert (code, body) == (200, preamble + event({**ODD, "message": "two"}))
    assert bench.asked == ["e1", "e2"]
    assert bench.states == ["closed"] * 3


@pytest.mark.parametrize("ending", [b"", b"\n\n"])
async def test_a_refusal_event_is_relayed_after_one_call(ending: bytes) -> None:
    refusal = RESPONSES_REFUSAL.removesuffix(b"\n\n") + ending
    bench = Asking([stream(refusal)], [stream(refusal)])
    code, body = await read(await bench.say(stream=True, api=Api.RESPONSES))

    assert (code, body) == (200, refusal)
    assert bench.asked == ["e1"]
    assert bench.states == ["closed", "closed"]


async def test_a_refusal_after_content_ends_the_stream_as_the_provider_ended_it_and_counts_for_nobody() -> None:
    bench = Asking([stream(CONTENT, RESPONSES_REFUSAL)], [good])
    code, body = await read(await bench.say(stream=True))

    assert (code, body) == (200, CONTENT + RESPONSES_REFUSAL)
    assert bench.states == ["closed", "closed"]


@pytest.mark.parametrize("is_stream", [False, True])
async def test_one_prompt_that_is_repeated_takes_nobody_out(is_stream: bool) -> None:
    script = [stream(event(ODD))] if is_stream else [odd]
    bench = Asking(script, script)
    for _ in range(20):
        await read(await bench.say("the same", stream=is_stream))

    assert bench.states == ["closed", "closed"]


@pytest.mark.parametrize("is_stream", [False, True])
async def test_three_different_requests_in_a_row_cool_it(is_stream: bool) -> None:
    script = [stream(event(ODD))] if is_stream else [odd]
    bench = Asking(script, [stream(CONTENT, DONE) if is_stream else good])
    while bench.states == ["closed", "closed"]:
        await read(await bench.say(stream=is_stream))

    met = sum(call.url.startswith("http://e1/") for call in bench.upstream.calls)
    assert met == UNKNOWN_REQUESTS
    assert bench.states == ["cooling", "closed"]
    assert [told for told in bench.alarm.told if told[0] == "cooling"] == [("cooling", "e1")]


async def test_a_success_between_begins_anew() -> None:
    bench = Asking([odd, odd, good, odd, odd, good], weights=[1])
    for _ in range(6):
        await bench.say()

    assert bench.states == ["closed"]


async def test_a_probe_that_meets_an_unknown_error_cools_it_again_if_it_is_another_request() -> None:
    bench = Asking([odd, odd, odd, odd, good])
    for _ in range(3):
        await bench.say()
    assert bench.states == ["cooling"]
    bench.clock.advance(70)
    await bench.say("yet another")
    cooling_s = bench.picture.cooling_s(bench.group.endpoints[0])

    assert bench.states == ["cooling"]
    assert cooling_s > 100


async def test_unknown_errors_of_what_is_beside_an_endpoints_purpose_count_for_nothing() -> None:
    bench = Asking([status(403, FLAGGED)])
    for number in range(10):
        files = ProxyRequest(
            Api.OTHER, "/files", "", (), (), b"%d" % number, "", None, False, "req", bench.clock.now(), method="POST"
        )
        with_words = await bench.dispatch(bench.group, files, RequestTrace())
        assert (await read(with_words))[0] == 403

    assert bench.states == ["closed"]


async def test_no_more_attempts_than_allowed() -> None:
    bench = Asking([odd], [good], retries=0)
    code, _ = await read(await bench.say())

    assert (code, bench.asked) == (200, ["e1"])


async def test_an_outage_is_still_an_outage() -> None:
    bench = Asking([status(500)], [status(500)])

    with pytest.raises(UpstreamsFailed):
        await bench.say()
    assert bench.states == ["cooling", "cooling"]


POLICY = CooldownPolicy(allowed_fails=1, cooldown_s=60.0, jitter=0.0)


@given(st.lists(st.tuples(st.integers(0, 4) | st.none(), st.floats(0, 100))))
def test_it_cools_just_when_the_last_success_is_as_many_different_requests_ago(
    steps: list[tuple[int | None, float]],
) -> None:
    """A model of it: None is a success; numbers are requests that meet an error of unknown cause."""
    health: EndpointHealth = FRESH
    now, seen = 1000.0, set[int]()
    for request, wait_s in steps:
        now += wait_s
        if health.open_until:
            health, seen = FRESH, set()
        if request is None:
            health, seen = POLICY.after_success(health, now), set()
        else:
            health, seen = POLICY.after_unknown(health, request, now, now, 0.5), seen | {request}

        cools = len(seen) >= UNKNOWN_REQUESTS
        assert health.state(now) is (HealthState.COOLING if cools else HealthState.CLOSED)
        assert len(health.unknown) <= UNKNOWN_REQUESTS


def test_what_was_sent_before_a_cooldown_does_not_lengthen_it() -> None:
    health = structs.replace(FRESH, unknown=(1, 2))
    cooling = POLICY.after_unknown(health, 3, 10.0, 20.0, 0.5)

    assert POLICY.after_unknown(cooling, 4, 15.0, 30.0, 0.5) == cooling
