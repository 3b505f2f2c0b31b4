"""What each event of a stream means."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.upstreams.openai.streams.expected_end import ExpectedStream
from adapters.upstreams.openai.streams.stream_scanner import OpenAIStreamScanner
from adapters.upstreams.openai.streams.worth_reading import _WORTH_READING, is_worth_reading
from application.messages import Frame, FrameKind
from domain.failure import FailureKind


def data(payload: object, name: str = "") -> bytes:
    lead = f"event: {name}\n" if name else ""
    return f"{lead}data: {json.dumps(payload)}\n\n".encode()


def delta(**fields: object) -> dict[str, object]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def read(event: bytes) -> Frame:
    (frame,) = OpenAIStreamScanner(owns_credential=True).feed(event)
    return frame


AZURE_PREAMBLE = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [{}]}


@pytest.mark.parametrize(
    "event",
    [
        b": keep-alive\n\n",
        b"retry: 1000\n\n",
        data(AZURE_PREAMBLE),
        data(delta(role="assistant")),
        data(delta(role="assistant", content="", refusal=None)),
        data({"choices": [], "usage": {"total_tokens": 3}}),
        data({}, "ping"),
        data({"type": "response.created", "response": {"status": "in_progress", "error": None}}, "response.created"),
        data({"type": "response.queued"}, "response.queued"),
        data({"type": "response.in_progress"}),
    ],
)
def test_preamble_is_what_another_endpoint_could_have_said_too(event: bytes) -> None:
    assert read(event).kind is FrameKind.PREAMBLE


@pytest.mark.parametrize(
    "event",
    [
        data(delta(content="Hi")),
        data(delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": ""}}])),
        data(delta(refusal="No.")),
        b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"},"finish_reason":null}]}\n\n',
        data(delta(reasoning_content="hmm")),
        data(delta(function_call={"name": "f"})),
        data({"choices": [{"index": 0, "text": "completion"}]}),
        data({"type": "response.output_text.delta", "delta": "Hi"}),
    ],
)
def test_content_is_whatever_a_client_would_show_or_act_on(event: bytes) -> None:
    assert read(event).kind is FrameKind.CONTENT


@pytest.mark.parametrize(
    "event",
    [
        b"data: [DONE]\n\n",
        data({"type": "response.completed", "response": {"error": None}}, "response.completed"),
        data({"type": "response.incomplete", "response": {}}),
        data({"type": "response.cancelled", "response": {}}),
    ],
)
def test_terminal_events_end_the_stream_also_when_only_relayed(event: bytes) -> None:
    relaying = OpenAIStreamScanner(owns_credential=True)
    relaying.relay(event)

    assert read(event).kind is FrameKind.END
    assert relaying.ended


def test_with_two_choices_the_stream_ends_when_both_have() -> None:
    scanner = OpenAIStreamScanner(True, ExpectedStream(choices=2))
    first = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    second = {"choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]}
    scanner.relay(data(first))
    scanner.relay(data(first))
    assert not scanner.may_end
    scanner.relay(data(second))

    assert scanner.may_end
    assert not scanner.ended


@pytest.mark.parametrize("words", ["[DONE]", '"finish_reason":"stop"', "response.completed", '"error":{'])
def test_content_that_talks_about_the_protocol_is_only_content(words: str) -> None:
    scanner = OpenAIStreamScanner(owns_credential=True)
    scanner.relay(data(delta(content=f"say {words} now")))

    assert not scanner.ended
    assert scanner.failure is None


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (data({"error": {"message": "boom", "type": "server_error", "code": None}}), FailureKind.SERVER_ERROR),
        (data({"error": {"code": "rate_limit_exceeded", "message": "x"}}), FailureKind.RATE_LIMITED),
        (data({"type": "error", "code": "server_error", "message": "flat"}, "error"), FailureKind.SERVER_ERROR),
        (data({"type": "error", "error": {"code": "insufficient_quota"}}, "error"), FailureKind.MONEY),
        (
            data({"type": "response.failed", "response": {"error": {"code": "server_is_overloaded"}}}),
            FailureKind.OVERLOADED,
        ),
        (data({"error": {"type": "invalid_request_error", "code": "context_length_exceeded"}}), FailureKind.CLIENT),
        (b"data: <html>\n\n", FailureKind.JUNK),
        (b"<html>oops</html>\n\n", FailureKind.JUNK),
    ],
)
def test_errors_inside_a_200_are_told_apart(event: bytes, kind: FailureKind) -> None:
    frame = read(event)

    assert frame.kind is FrameKind.ERROR
    assert frame.failure is not None
    assert frame.failure.kind is kind


@pytest.mark.parametrize("lead", [b"", b"event: error\n"])
def test_an_error_that_is_no_utf8_is_an_error_all_the_same(lead: bytes) -> None:
    frame = read(lead + b'data: {"error":{"message":"\xff boom","type":"server_error"}}\n\n')

    assert frame.kind is FrameKind.ERROR
    assert frame.failure is not None


def test_an_error_after_content_is_noticed_while_it_passes() -> None:
    scanner = OpenAIStreamScanner(owns_credential=True)
    scanner.feed(data(delta(content="Hi")))
    error = data({"error": {"message": "boom", "type": "server_error"}})

    assert scanner.relay(error) == error
    assert scanner.failure is not None
    assert scanner.failure.kind is FailureKind.SERVER_ERROR


def test_the_delay_in_an_in_stream_rate_limit_is_read() -> None:
    message = "Rate limit reached. Please try again in 11.054s."
    frame = read(
        data({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": message}}})
    )

    assert frame.failure is not None
    assert frame.failure.retry_after_s == pytest.approx(11.054)


def test_a_broken_event_after_content_is_the_clients_to_judge() -> None:
    scanner = OpenAIStreamScanner(owns_credential=True)
    scanner.feed(data(delta(content="Hi")))

    assert scanner.relay(b'data: {"finish_reason": "stop\n\n') == b'data: {"finish_reason": "stop\n\n'
    assert scanner.failure is None


def test_the_last_event_counts_also_without_its_blank_line() -> None:
    scanner = OpenAIStreamScanner(owns_credential=True)
    scanner.relay(data(delta(content="Hi")) + b"data: [DONE]")

    assert scanner.finish() == b"data: [DONE]"
    assert scanner.ended


def test_error_frames_have_the_shape_the_sdks_raise_on() -> None:
    chat = OpenAIStreamScanner(owns_credential=True)
    responses = OpenAIStreamScanner(owns_credential=True)
    responses.feed(data({"type": "response.created", "sequence_number": 4, "response": {}}))

    chat_error = msgspec.json.decode(chat.error_frame("broke", "upstream_stream_error").removeprefix(b"data: "))
    lead, _, body = responses.error_frame("broke", "upstream_stream_error").partition(b"\ndata: ")

    assert chat_error == {
        "error": {"message": "broke", "type": "server_error", "param": None, "code": "upstream_stream_error"}
    }
    assert lead == b"event: error"
    assert msgspec.json.decode(body)["sequence_number"] == 5
    assert msgspec.json.decode(body)["error"]["message"] == msgspec.json.decode(body)["message"] == "broke"


WORDS = [
    *('"finish_reason"', '"usage"', '"error"', "event:", "error", "[DONE]", "response.", "completed", "failed"),
    *("incomplete", " : ", ":", '"', "{", "}", "\n", " ", "null", "x"),
]


@given(st.lists(st.sampled_from(WORDS), max_size=8))
def test_plain_words_find_all_that_is_worth_reading(parts: list[str]) -> None:
    chunk = "".join(parts).encode()

    assert is_worth_reading(chunk) is (_WORTH_READING.search(chunk) is not None)


GOES_ON = {"id": "c", "choices": [{"index": 0, "delta": {"content": 'error [DONE] "usage":{'}, "finish_reason": None}]}


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_usage_beside_a_choice_that_goes_on_is_read(separators: tuple[str, str]) -> None:
    scanner = OpenAIStreamScanner(owns_credential=True)
    scanner.feed(data(delta(content="Hi")))
    for total in (3, 4):
        event = {**GOES_ON, "usage": {"prompt_tokens": 1, "completion_tokens": total - 1, "total_tokens": total}}
        chunk = f"data: {json.dumps(event, separators=separators)}\n\n".encode()
        assert scanner.relay(chunk) == chunk
        assert scanner.relay(data(GOES_ON)) == data(GOES_ON)

    assert scanner.usage is not None
    assert scanner.usage.output_tokens == 3
    assert not scanner.noticed
