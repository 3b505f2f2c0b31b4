"""Upstream errors to failures: the captures of `tests/data/upstream_errors.json`, and what they leave out."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.upstreams.openai.errors.error_fields import ErrorFields
from adapters.upstreams.openai.errors.error_kinds import classify
from adapters.upstreams.openai.errors.reply_judge import judge
from application.messages import Api, WholeReply
from domain.failure import Effect, Failure, FailureKind

CAPTURES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "upstream_errors.json").read_text())[
    "fixtures"
]
WHOLE = [capture for capture in CAPTURES if capture["status"] >= 400]


def reply(capture: dict[str, Any]) -> WholeReply:
    body = capture["body"]
    raw = body if isinstance(body, str) else json.dumps(body)
    return WholeReply(capture["status"], tuple(capture["headers"].items()), raw.encode())


def action(failure: Failure) -> str:
    meaning = failure.meaning
    if not meaning.next_endpoint or failure.kind is FailureKind.STATE:
        # Only other accounts are asked for what this one does not keep, and only where nobody knows who does.
        return "return_to_client"
    if meaning.effect is Effect.CLOCK:
        return "retry_after"
    long = meaning.effect in (Effect.FAULT, Effect.ACCOUNT_FAULT) and failure.kind is not FailureKind.NOT_FOUND
    return "cooldown" if long else "failover"


@pytest.mark.parametrize("capture", WHOLE, ids=lambda capture: capture["id"])
def test_each_capture_leads_to_the_action_it_asks_for(capture: dict[str, Any]) -> None:
    passes_through = capture["id"] == "openai_401_no_key"

    failure = judge(Api.CHAT, reply(capture), owns_credential=not passes_through).failure

    assert failure is not None
    assert action(failure) == capture["expected_action"]


@pytest.mark.parametrize(
    ("capture_id", "delay_s"),
    [
        ("openai_429_tpm", 9),
        ("openai_429_tpm_1m30s", 90),
        ("openai_429_tpm_20ms", 0.02),
        ("openai_429_rpm", 20),
        ("azure_429_token_policy", 55),
        ("azure_429_86400", 86400),
        ("azure_429_call_rate", 38),
        ("azure_429_short", 50),
        ("azure_429_high_demand", 6),
        ("azure_429_remaining_minus_one", 11),
        ("openai_503_server_is_overloaded", 1),
    ],
)
def test_the_delay_of_each_capture_is_read(capture_id: str, delay_s: float) -> None:
    capture = next(capture for capture in CAPTURES if capture["id"] == capture_id)

    failure = judge(Api.CHAT, reply(capture), owns_credential=True).failure

    assert failure is not None
    assert failure.retry_after_s == pytest.approx(delay_s)


@pytest.mark.parametrize("capture", WHOLE, ids=lambda capture: capture["id"])
def test_what_is_shown_of_an_error_is_one_plain_word(capture: dict[str, Any]) -> None:
    failure = judge(Api.CHAT, reply(capture), owns_credential=True).failure

    assert failure is not None
    assert len(failure.reason.split()) <= 2
    assert "sk-ab" not in failure.reason


def test_a_clients_own_key_is_the_clients_own_business() -> None:
    for status, code in ((401, "invalid_api_key"), (403, ""), (429, "insufficient_quota")):
        failure = classify(status, ErrorFields(code=code), owns_credential=False)
        assert failure.kind is FailureKind.CLIENT


def test_a_refused_key_is_out_for_every_endpoint_that_uses_it() -> None:
    failure = classify(401, ErrorFields(code="invalid_api_key"), owns_credential=True)

    assert failure.meaning.effect is Effect.ACCOUNT_FAULT


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_a_fault_of_the_configuration(status: int) -> None:
    failure = classify(status, ErrorFields(), owns_credential=True)

    assert failure.kind is FailureKind.MISCONFIGURED
    assert failure.hint is not None


@pytest.mark.parametrize("body", [b"", b"<html>404</html>", b'{"error":{"code":"404","message":"Resource not found"}}'])
def test_a_404_of_the_path_is_the_endpoints_fault(body: bytes) -> None:
    failure = judge(Api.CHAT, WholeReply(404, (), body), owns_credential=True).failure

    assert failure is not None
    assert failure.kind is FailureKind.NOT_FOUND


def test_a_404_of_something_the_request_names_is_the_clients_business() -> None:
    body = b'{"error":{"message":"No such File object: file-1","param":"file_id","code":null}}'
    failure = judge(Api.CHAT, WholeReply(404, (), body), owns_credential=True).failure

    assert failure is not None
    assert failure.kind is FailureKind.CLIENT


GOOD = b'{"id":"c","object":"chat.completion","choices":[{"message":{"content":"Hi"}}]}'


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", FailureKind.JUNK),
        (b"<html>busy</html>", FailureKind.JUNK),
        (b'{"id":"c"', FailureKind.JUNK),
        (b"[]", FailureKind.JUNK),
        (b'"hello"', FailureKind.JUNK),
        (b'{"message":"Network connection lost"}', FailureKind.JUNK),
        (b"[" * 100_000, FailureKind.JUNK),
        (b'{"error":{"message":"The server had an error","type":"server_error"}}', FailureKind.SERVER_ERROR),
        (b'{"error":{"code":"rate_limit_exceeded"},"choices":[]}', FailureKind.RATE_LIMITED),
        (b'{"error":"upstream gone"}', FailureKind.UNKNOWN),
    ],
)
def test_junk_and_errors_under_status_200_are_found(body: bytes, kind: FailureKind) -> None:
    failure = judge(Api.CHAT, WholeReply(200, (), body), owns_credential=True).failure

    assert failure is not None
    assert failure.kind is kind


def test_a_good_answer_is_no_failure_also_when_it_says_that_error_is_null() -> None:
    with_null = GOOD[:-1] + b',"error":null}'

    assert judge(Api.CHAT, WholeReply(200, (), GOOD), owns_credential=True).failure is None
    assert judge(Api.CHAT, WholeReply(200, (), with_null), owns_credential=True).failure is None


def test_half_an_emoji_in_an_answer_is_no_junk() -> None:
    body = GOOD.replace(b"Hi", b"\\ud83d")

    assert judge(Api.CHAT, WholeReply(200, (), body), owns_credential=True).failure is None


def test_a_zipped_answer_is_read_and_a_zip_bomb_is_junk() -> None:
    zipped = (("content-encoding", "gzip"),)
    bomb = gzip.compress(b" " * (65 * 1024 * 1024))

    assert judge(Api.CHAT, WholeReply(200, zipped, gzip.compress(GOOD)), owns_credential=True).failure is None
    failure = judge(Api.CHAT, WholeReply(200, zipped, bomb), owns_credential=True).failure
    assert failure is not None
    assert failure.kind is FailureKind.JUNK


@given(st.integers(300, 599), st.binary(max_size=300), st.booleans())
def test_no_error_body_whatever_is_in_it_breaks_the_classification(status: int, body: bytes, owns: bool) -> None:
    failure = judge(Api.CHAT, WholeReply(status, (("retry-after", "x"),), body), owns_credential=owns).failure

    assert failure is not None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_no_error_object_whatever_its_shape_breaks_the_classification(error: object) -> None:
    body = json.dumps({"error": error}).encode()

    assert judge(Api.CHAT, WholeReply(500, (), body), owns_credential=True).failure is not None
    assert judge(Api.CHAT, WholeReply(200, (), body), owns_credential=True).failure is not None


@pytest.mark.parametrize("api", [Api.STORED, Api.OTHER])
@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, FailureKind.UNSERVABLE), (403, FailureKind.PATH_REFUSED), (307, FailureKind.PATH_REFUSED)],
)
def test_what_an_endpoint_refuses_beside_its_models_does_not_rest_it(api: Api, status: int, kind: FailureKind) -> None:
    body = b'{"error":{"message":"You have insufficient permissions (missing scopes).","type":"x"}}'
    failure = judge(api, WholeReply(status, (), body), owns_credential=True).failure

    assert failure is not None
    assert failure.kind is kind
    assert failure.meaning.effect is Effect.NONE
