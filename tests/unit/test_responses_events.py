"""What a provider says on a Responses socket: which messages are read, and what they mean."""

import json
from typing import Any

import pytest

from adapters.upstreams.openai.responses_events import ResponsesEvents
from application.socket_ports import LOST, SocketEvent
from application.sockets.whole_messages import BEGINNING_BYTES
from domain.endpoint import Endpoint
from domain.failure import FailureKind
from domain.rate_limit.token_estimate import Usage

ENDPOINT = Endpoint(id="gpt/1", model="m", provider="openai", weight=1, bucket="b", account="a", identity="i")
EVENTS = ResponsesEvents()


def event(**fields: Any) -> SocketEvent | None:
    return EVENTS.event(ENDPOINT, json.dumps(fields).encode())


@pytest.mark.parametrize("kind", ["response.created", "response.queued", "response.in_progress"])
def test_a_turn_begins_and_says_in_which_lane(kind: str) -> None:
    assert event(stream_id="x" * 256, type=kind, response={"id": "r"}) == SocketEvent(turn="begins", lane="x" * 256)


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete", "response.cancelled"])
def test_a_turn_ends_and_says_what_it_took(kind: str) -> None:
    usage = {"input_tokens": 20, "output_tokens": 10, "input_tokens_details": {"cached_tokens": 5}}

    assert event(type=kind, response={"usage": usage}) == SocketEvent(turn="ends", usage=Usage(20, 10, 5))
    assert event(type=kind, response={"usage": "much"}) == SocketEvent(turn="ends")


@pytest.mark.parametrize(
    "kind", ["response.output_text.delta", "response.output_item.done", "response.created.not", "errors", ""]
)
def test_all_else_is_content(kind: str) -> None:
    assert event(type=kind, delta='"type":"error"', item={}) is None


@pytest.mark.parametrize(
    ("status", "error", "kind", "after_s"),
    [
        (429, {"code": "rate_limit_exceeded", "message": "Please try again in 3s."}, FailureKind.RATE_LIMITED, 3.0),
        (503, {"code": "server_is_overloaded"}, FailureKind.OVERLOADED, 7.0),
        (500, {"code": "server_error"}, FailureKind.SERVER_ERROR, None),
        (401, {"code": "invalid_api_key"}, FailureKind.KEY, None),
        (400, {"code": "previous_response_not_found"}, FailureKind.STATE, None),
        (400, {"code": "websocket_connection_limit_reached"}, FailureKind.CLIENT, None),
        (None, {"code": "rate_limit_exceeded"}, FailureKind.RATE_LIMITED, None),
        ("x", None, FailureKind.UNKNOWN, None),
    ],
)
def test_an_error_ends_the_turn_and_its_status_says_most(
    status: Any, error: Any, kind: FailureKind, after_s: float | None
) -> None:
    headers = {"Retry-After": "7"} if kind is FailureKind.OVERLOADED else None
    found = event(type="error", status=status, error=error, headers=headers, stream_id="l")

    assert found is not None
    assert found.failure is not None
    assert (found.is_error, found.turn, found.lane) == (True, "ends", "l")
    assert (found.failure.kind, found.failure.retry_after_s) == (kind, after_s)


def test_a_response_that_failed_says_why() -> None:
    found = event(type="response.failed", response={"error": {"code": "server_error", "message": "m"}})

    assert found is not None
    assert found.failure is not None
    assert (found.is_error, found.turn, found.failure.kind) == (False, "ends", FailureKind.SERVER_ERROR)


def test_of_a_message_that_is_too_long_its_kind_and_lane_are_known() -> None:
    said = b'{"stream_id":"l","type":"response.completed","response":{"output":"' + bytes(BEGINNING_BYTES)

    assert EVENTS.event(ENDPOINT, said[:BEGINNING_BYTES]) == SocketEvent(turn="ends", lane="l")


@pytest.mark.parametrize("said", [b"", b"{", b'{"type":"error"', b'"type":"error"', b"\xff"])
def test_nothing_breaks_it(said: bytes) -> None:
    EVENTS.event(ENDPOINT, said)
    EVENTS.refusal(ENDPOINT, said, 1000)


def test_a_refusal_is_shown_in_the_providers_words_with_its_status() -> None:
    said = b'{"type":"error","status":404,"error":{"code":"model_not_found", "message":"No."}}'

    failure, reply = EVENTS.refusal(ENDPOINT, said, 0)

    assert failure.kind is FailureKind.NOT_FOUND
    assert reply is not None
    assert (reply.status, reply.body) == (404, b'{"error":{"code":"model_not_found", "message":"No."}}')


@pytest.mark.parametrize(
    ("code", "kind"),
    [(LOST, FailureKind.RESET), (1011, FailureKind.SERVER_ERROR), (1013, FailureKind.OVERLOADED),
     (1000, FailureKind.TRUNCATED), (1009, FailureKind.CLIENT)],
)  # fmt: skip
def test_a_close_without_a_word_means_what_its_code_says(code: int, kind: FailureKind) -> None:
    assert (EVENTS.refusal(ENDPOINT, b"", code)[0].kind, EVENTS.refusal(ENDPOINT, b"", code)[1]) == (kind, None)


def test_a_refusal_keeps_the_headers_that_say_something_to_its_client() -> None:
    said = (
        b'{"type":"error","status":400,"headers":{"X-Request-Id":"req_1","content-length":"9","retry-after":7},'
        b'"error":{"code":"invalid_value"}}'
    )

    reply = EVENTS.refusal(ENDPOINT, said, 0)[1]

    assert reply is not None
    assert reply.headers == (("content-type", "application/json"), ("x-request-id", "req_1"))


def test_a_response_that_failed_is_shown_as_a_stream_would_and_not_whose_lane_it_is() -> None:
    said = b'{"type":"response.failed","stream_id":"l",\r\n"response":{"error":\n{"code":"invalid_prompt"}}, "x":1}'

    failure, reply = EVENTS.refusal(ENDPOINT, said, 0)

    assert failure.kind is FailureKind.CLIENT
    assert reply is not None
    assert (reply.status, reply.headers) == (200, (("content-type", "text/event-stream"),))
    told = b'{"type":"response.failed","response":{"error": {"code":"invalid_prompt"}},"x":1}'
    assert reply.body == b"event: response.failed\ndata: %b\n\n" % told
