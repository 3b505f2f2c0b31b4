"""What a provider says on a Realtime socket: which messages are read, and what they mean."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.upstreams.openai.realtime_events import RealtimeEvents
from application.socket_ports import SocketEvent
from domain.endpoint import Endpoint
from domain.failure import FailureKind
from domain.rate_limit.limit_reading import Reading, Readings
from domain.rate_limit.token_estimate import Usage

ENDPOINT = Endpoint(id="gpt/1", model="m", provider="openai", weight=1, bucket="b", account="a", identity="i")
EVENTS = RealtimeEvents()


def event(**fields: Any) -> SocketEvent | None:
    return EVENTS.event(ENDPOINT, json.dumps(fields).encode())


def test_limits_are_readings() -> None:
    limits = [
        {"name": "requests", "limit": 1000, "remaining": 999, "reset_seconds": 60},
        {"name": "tokens", "limit": 50000, "remaining": 49950, "reset_seconds": 1.5},
        {"name": "sessions", "limit": 1, "remaining": 0, "reset_seconds": 1},
    ]

    assert event(type="rate_limits.updated", event_id="e", rate_limits=limits) == SocketEvent(
        readings=Readings(Reading(1000, 999, 60), Reading(50000, 49950, 1.5))
    )


@pytest.mark.parametrize(
    "limit",
    [
        {"name": "tokens", "limit": -1, "remaining": "x"},
        {"name": "tokens", "limit": 10**400},  # a whole number that no float can be
        {"name": ["tokens"]},
        {},
    ],
)
def test_limits_that_cannot_be_true_say_nothing(limit: Any) -> None:
    found = event(type="rate_limits.updated", rate_limits=[limit])

    assert found is not None
    assert found.readings.tokens.is_empty


def test_a_turn_that_ends_says_what_it_took() -> None:
    usage = {"total_tokens": 30, "input_tokens": 20, "output_tokens": 10, "input_token_details": {"audio_tokens": 7}}

    assert event(type="response.done", response={"status": "completed", "usage": usage}) == SocketEvent(
        turn="ends", usage=Usage(20, 10)
    )


def test_a_turn_that_fails_says_why() -> None:
    error = {"type": "tokens", "code": "rate_limit_exceeded", "message": "Please try again in 2s."}
    found = event(type="response.done", response={"status": "failed", "status_details": {"error": error}})

    assert found is not None
    assert found.failure is not None
    assert (found.turn, found.failure.kind, found.failure.retry_after_s) == ("ends", FailureKind.RATE_LIMITED, 2.0)


def test_a_turn_ends_also_where_its_end_cannot_be_read() -> None:
    assert event(type="response.done", response=7) == SocketEvent(turn="ends")


def test_what_matters_not_is_not_read() -> None:
    assert event(type="session.created") is None
    assert EVENTS.event(ENDPOINT, b'{"x":"' + b"a" * 256 + b'","type":"response.done"}') is None
    assert event(type="response.output_audio.delta", delta="x") is None


@pytest.mark.parametrize(
    ("code", "words", "kind", "status"),
    [
        (3000, {"code": "invalid_api_key"}, FailureKind.KEY, 400),
        (3000, {}, FailureKind.AUTH, 400),
        (4000, {"code": "beta_api_shape_disabled", "type": "invalid_request_error"}, FailureKind.CLIENT, 400),
        (4000, {"code": "model_not_found"}, FailureKind.NOT_FOUND, 404),
        (1011, {"type": "server_error"}, FailureKind.SERVER_ERROR, 400),
        (1013, {}, FailureKind.OVERLOADED, 400),
        (1006, {}, FailureKind.RESET, 400),
        (1000, {"message": "?"}, FailureKind.UNKNOWN, 400),
    ],
)
def test_an_error_before_anything_else_is_a_refusal(code: int, words: Any, kind: FailureKind, status: int) -> None:
    message = json.dumps({"type": "error", "error": words}).encode()

    failure, reply = EVENTS.refusal(ENDPOINT, message, code)

    assert failure.kind is kind
    assert reply is not None
    assert (reply.status, json.loads(reply.body)) == (status, {"error": words})


@pytest.mark.parametrize(("code", "kind"), [(1000, "truncated"), (1006, "connection_reset"), (3000, "auth_failed")])
def test_a_close_before_anything_else_is_one_too(code: int, kind: str) -> None:
    failure, reply = EVENTS.refusal(ENDPOINT, b"", code)

    assert (failure.kind.value, reply) == (kind, None)


@pytest.mark.parametrize("error", [b"Infinity", b'{"message":"\\ud800","code":"x"}', b"[" * 5000, b'"half'])
def test_a_refusal_that_is_no_strict_json_is_one_too(error: bytes) -> None:
    failure, reply = EVENTS.refusal(ENDPOINT, b'{"type":"error","error":%b}' % error, 3000)

    assert failure.kind is FailureKind.AUTH
    assert reply is None or error in reply.body


@given(
    st.sampled_from(["error", "response.done", "response.created", "rate_limits.updated"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["error", "response", "usage", "status", "status_details", "rate_limits", "name", "limit"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
    st.integers(1000, 4999),
)
def test_nothing_that_a_provider_says_breaks_the_reader(kind: str, said: Any, code: int) -> None:
    message = json.dumps({"type": kind} | (said if isinstance(said, dict) else {"error": said})).encode()

    found = EVENTS.event(ENDPOINT, message)
    EVENTS.refusal(ENDPOINT, message, code)

    assert found is None or found.is_error == (kind == "error")
