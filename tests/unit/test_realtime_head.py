"""What opens a Realtime socket, put as any other request is."""

import pytest

from adapters.http.server.request.head import RequestHead
from adapters.http.sockets.realtime_head import Opening, opening_of
from application.errors import InvalidRequest

SHAKES = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-key", b"x")]


def opening(query: str, *headers: tuple[bytes, bytes], deployment: str | None = None) -> Opening:
    asked = RequestHead("GET", "1.1", b"/v1/realtime", "/v1/realtime", query.encode(), [*SHAKES, *headers], keeps=False)
    return opening_of(asked, deployment)


@pytest.mark.parametrize(
    ("query", "deployment", "model", "said"),
    [
        ("model=gpt", None, "gpt", "model=gpt"),
        ("deployment=gpt&api-version=2025-04-01-preview", None, "gpt", "model=gpt"),
        ("api-version=1&x=y&model=a%20b%2Fc", None, "a b/c", "model=a%20b/c&x=y"),
        ("", "gpt", "gpt", "model=gpt"),
        ("model=gpt&deployment=gpt", "gpt", "gpt", "model=gpt"),
        ("intent=transcription", None, "", "intent=transcription"),
        ("call_id=rtc_1", None, "", "call_id=rtc_1"),
    ],
)
def test_the_model_is_named_once(query: str, deployment: str | None, model: str, said: str) -> None:
    found = opening(query, deployment=deployment)

    assert (found.model, found.query, found.head.query_string) == (model, said, said.encode())


@pytest.mark.parametrize(
    ("query", "headers", "sent"),
    [
        ("model=m&api-key=k%2B1", [], {b"api-key": b"k+1"}),
        (
            "model=m",
            [(b"sec-websocket-protocol", b"realtime, openai-insecure-api-key.k1")],
            {b"authorization": b"Bearer k1"},
        ),
        (
            "model=m",
            [
                (b"sec-websocket-protocol", b"realtime,openai-organization.org-1"),
                (b"sec-websocket-protocol", b"openai-project.p1"),
            ],
            {b"openai-organization": b"org-1", b"openai-project": b"p1"},
        ),
        ("model=m&api-key=k1", [(b"authorization", b"Bearer k1")], {b"authorization": b"Bearer k1", b"api-key": b"k1"}),
        ("model=m&api-key=k1", [(b"authorization", b"")], {b"authorization": b"", b"api-key": b"k1"}),
    ],
)
def test_credentials_become_headers_and_nothing_of_the_handshake_is_left(
    query: str, headers: list[tuple[bytes, bytes]], sent: dict[bytes, bytes]
) -> None:
    found = opening(query, *headers)

    assert dict(found.head.headers) == sent
    assert found.query == "model=m"
    assert found.has_subprotocol == any(name == b"sec-websocket-protocol" for name, _ in headers)


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("model=m&api-key=k1", [(b"api-key", b"k2")]),
        ("model=m&api-key=k1&api-key=k2", []),
        ("model=m", [(b"authorization", b"Bearer k1"), (b"sec-websocket-protocol", b"openai-insecure-api-key.k2")]),
        ("model=m&deployment=n", []),
    ],
)
def test_of_two_that_differ_none_is_believed(query: str, headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(InvalidRequest):
        opening(query, *headers)
