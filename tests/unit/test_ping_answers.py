"""What an endpoint's answers to a check mean; over the wire it is in tests/integration/test_check_ping.py."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from application.messages import WholeReply
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from entrypoints.check.ping.answers import listed, on_deployment, on_models
from entrypoints.check.ping.ask import Stages
from tests.examples import examples

OPENAI = Endpoint("e", "m", "openai")
KEYLESS = Endpoint("e", "m", "openai", owns_credential=False)
AZURE = Endpoint("e", "m", "azure")
LIST = b'{"data": [{"id": "m"}]}'


def reply(status: int, body: bytes = b"") -> WholeReply:
    return WholeReply(status, (), body)


@pytest.mark.parametrize(
    ("status", "kind", "serves"),
    [
        (404, FailureKind.NOT_FOUND, False),
        (404, None, False),
        (400, FailureKind.NOT_FOUND, False),
        (401, FailureKind.AUTH, False),
        (403, FailureKind.KEY, False),
        (400, FailureKind.CLIENT, True),
        (422, FailureKind.CLIENT, True),
        (429, FailureKind.RATE_LIMITED, True),
        (500, FailureKind.SERVER_ERROR, None),
        (302, None, None),
    ],
)
def test_a_deployment_is_missing_only_where_that_is_said(
    status: int, kind: FailureKind | None, serves: bool | None
) -> None:
    answer = on_deployment(AZURE, "d", reply(status), None if kind is None else Failure(kind, f"{status} x"))

    assert answer.serves is serves
    assert "deployment d" in answer.says


@given(st.integers(100, 599), st.sampled_from([None, *FailureKind]), st.sampled_from([OPENAI, KEYLESS, AZURE]))
@settings(max_examples=examples(100))
def test_only_a_list_or_a_limit_or_a_missing_key_is_good_news(
    status: int, kind: FailureKind | None, endpoint: Endpoint
) -> None:
    answer = on_models(endpoint, reply(status, b"{}"), None if kind is None else Failure(kind))

    if answer.serves:
        assert status == 429 or (not endpoint.owns_credential and status in (401, 403))


def test_an_azure_list_says_nothing_of_a_deployment() -> None:
    assert on_models(OPENAI, reply(200, LIST), None).serves is True
    assert on_models(AZURE, reply(200, LIST), None).serves is None


@given(st.binary(max_size=60))
@example(b'{"data": [{"id": "\xff"}]}')
@example(b'{"data": [{"id": "m", "x": ' + b"[" * 5000)
@settings(max_examples=examples(100))
def test_whatever_comes_is_a_list_or_none(body: bytes) -> None:
    assert listed(reply(200, body)) is None or body.strip()[:1] in (b"{", b"[")


def test_stages_follow_each_other_and_what_was_before_belongs_to_none() -> None:
    times = iter([0.0, 5.0, 5.5, 7.0])
    stages = Stages(lambda: next(times))

    stages.begin()
    stages.over("dns")
    stages.over("tcp")

    assert stages.times_ms == {"dns": 500.0, "tcp": 1500.0}
