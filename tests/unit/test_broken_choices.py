"""A choice that ends with an error, in a 200: the next endpoint is asked, as long as nobody has seen anything of it."""

import json
from typing import Any

import pytest

from adapters.upstreams.openai.errors.reply_judge import judge
from adapters.upstreams.openai.streams.stream_scanner import OpenAIStreamScanner
from application.answers import WholeAnswer
from application.messages import Api, FrameKind, WholeReply
from domain.failure import FailureKind
from tests.fakes import FakeReply
from tests.unit.dispatch_bench import GOOD, ROLE, Bench, good, stream

REASONS = ("error", "network_error", "insufficient_system_resource")


def whole(reason: str | None, **fields: Any) -> bytes:
    usage = fields.pop("usage", None)
    choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": None, **fields}}
    return json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage}).encode()


def failure_of(body: bytes, api: Api = Api.CHAT) -> FailureKind | None:
    failure = judge(api, WholeReply(200, (), body), owns_credential=True).failure
    return failure and failure.kind


@pytest.mark.parametrize("reason", REASONS)
def test_an_answer_that_ended_with_an_error_and_says_nothing_is_none(reason: str) -> None:
    assert failure_of(whole(reason)) is FailureKind.SERVER_ERROR
    assert failure_of(whole(reason, usage={"prompt_tokens": 3, "completion_tokens": 0})) is FailureKind.SERVER_ERROR
    text = json.dumps({"choices": [{"finish_reason": reason, "text": ""}]}).encode()
    assert failure_of(text, Api.COMPLETIONS) is FailureKind.SERVER_ERROR


@pytest.mark.parametrize("reason", REASONS)
def test_one_that_says_something_is_an_answer(reason: str) -> None:
    assert failure_of(whole(reason, content="Hi")) is None
    assert failure_of(whole(reason, tool_calls=[{"id": "c"}])) is None
    assert failure_of(whole(reason, usage={"prompt_tokens": 3, "completion_tokens": 2})) is None


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter", "tool_calls", "Error", None])
def test_an_answer_that_says_nothing_for_another_reason_is_one(reason: str | None) -> None:
    assert failure_of(whole(reason)) is None


@pytest.mark.parametrize("choices", [[], [1], "error", {"finish_reason": "error"}, [{"finish_reason": ["error"]}]])
def test_odd_choices_are_no_matter_of_reasons(choices: object) -> None:
    body = json.dumps({"choices": choices, "x": {"finish_reason": "error"}}).encode()

    assert failure_of(body) in (None, FailureKind.JUNK)


@pytest.mark.parametrize("reason", REASONS)
async def test_the_next_endpoint_answers_instead(reason: str) -> None:
    bench = Bench([lambda: FakeReply(200, [whole(reason)])], [good])

    answer = await bench.ask()

    assert isinstance(answer, WholeAnswer)
    assert answer.reply.body == GOOD
    assert bench.asked == ["e1", "e2"]


def ended(reason: str, **delta: object) -> bytes:
    data = {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    return f"data: {json.dumps(data)}\n\n".encode()


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("delta", [{}, {"content": "He"}])
async def test_a_stream_that_ends_with_an_error_before_anybody_saw_any_of_it_is_asked_for_elsewhere(
    reason: str, delta: dict[str, object]
) -> None:
    fine = ended("stop", content="Hi")
    bench = Bench([stream(ROLE + ended(reason, **delta) + b"data: [DONE]\n\n")], [stream(fine + b"data: [DONE]\n\n")])

    answer = await bench.ask(stream=True)

    assert bench.asked == ["e1", "e2"]
    answer.close()


@pytest.mark.parametrize("reason", REASONS)
def test_after_content_such_an_end_is_the_clients_to_read(reason: str) -> None:
    scanner = OpenAIStreamScanner(owns_credential=True)
    scanner.feed(b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n')
    said = ended(reason)

    assert scanner.relay(said) == said
    assert scanner.failure is None
    assert scanner.may_end


@pytest.mark.parametrize("choices", [5, "error", [1], {"finish_reason": "error"}])
def test_odd_choices_of_a_stream_are_no_matter_of_reasons(choices: object) -> None:
    event = f"data: {json.dumps({'choices': choices})}\n\n".encode()
    frames = OpenAIStreamScanner(owns_credential=True).feed(event)

    assert [frame.kind for frame in frames] == [FrameKind.PREAMBLE]
