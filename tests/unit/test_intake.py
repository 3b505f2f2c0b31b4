"""From a body to a request."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.http.bodies import body as body_module
from adapters.http.bodies.body import read_body
from adapters.http.bodies.decode_request import Arrival, decoded, patience_s, request_of
from adapters.http.openai_api import check_model
from adapters.http.paths.routes import Route
from adapters.http.server.error_body import status_of
from application.errors import InvalidRequest
from application.held_bytes import HeldBytes, Holding
from application.messages import Api, ProxyRequest

MANY_BYTES = 1024 * 1024
"""At the pace that is asked for at least, these take a quarter of an hour."""


def receiver(*messages: dict[str, Any]) -> Any:
    queue = list(messages)

    async def receive() -> dict[str, Any]:
        return queue.pop(0)

    return receive


def held() -> Any:
    return SimpleNamespace(held=Holding(HeldBytes()))


def part(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def parse(body: bytes, path_model: str | None = None, keep: bool = True, headers: Any = ()) -> ProxyRequest:
    route = Route(Api.CHAT, "/chat/completions", path_model, has_model=True)
    arrival = Arrival.of("POST", "", headers, dict(headers), keep_credentials=keep)
    request = request_of(route, arrival, body, decoded(body)[0], "r", 0.0)
    check_model(route, request)
    return request


@pytest.mark.parametrize("name", [b"session_id", b"session-id"])
def test_a_session_that_the_head_names_stands_in_for_a_key_that_the_body_lacks(name: bytes) -> None:
    def shared(body: bytes, *headers: tuple[bytes, bytes]) -> str:
        return parse(body, headers=headers).affinity

    asked = b'{"model":"gpt","messages":[]}'
    with_key = b'{"model":"gpt","messages":[],"prompt_cache_key":"key"}'

    assert shared(asked, (name, b"0199")) == "0199"
    assert shared(with_key, (name, b"0199")) == "key"
    assert shared(asked.replace(b"[]", b'[],"user":7'), (name, b"0199")) == "0199"
    assert shared(asked, (name, b"")) == shared(asked) == ""


async def test_a_body_is_joined_from_its_parts() -> None:
    assert await read_body(receiver(part(b"ab", True), part(b"", True), part(b"c")), None, 10, held()) == b"abc"


@pytest.mark.parametrize(
    ("messages", "length"),
    [
        ([], 11),
        ([part(b"x" * 11, True)], None),
        ([part(b"x" * 11)], None),
        ([part(b"x" * 6, True), part(b"x" * 6, True)], None),
    ],
)
async def test_a_body_over_the_limit_is_refused_before_more_of_it_is_read(messages: Any, length: int | None) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await read_body(receiver(*messages), length, 10, held())

    assert status_of(refused.value) == 413


async def test_a_body_that_breaks_off_is_a_400() -> None:
    with pytest.raises(InvalidRequest, match="ended before") as refused:
        await read_body(receiver(part(b"ab", True), {"type": "http.disconnect"}), None, 10, held())

    assert status_of(refused.value) == 400


def test_only_what_is_acted_on_is_decoded() -> None:
    request = parse(b'{"messages": [{"content": {"anything": [1, null]}}], "model": "m", "stream": true, "n": 2}')

    assert (request.model, request.body_model, request.stream, request.choices) == ("m", "m", True, 2)


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        (b'"prompt_cache_key": "p", "safety_identifier": "s", "user": "u"', "p"),
        (b'"user": "u", "safety_identifier": "s"', "s"),
        (b'"prompt_cache_key": null, "safety_identifier": "", "user": "u"', "u"),
        (b'"prompt_cache_key": 7, "safety_identifier": ["s"], "user": {"id": "u"}', ""),
        (b'"metadata": {"prompt_cache_key": "p"}', ""),
        (b'"prompt_cache_key": "cut \\ud83d"', "cut \ud83d"),
    ],
)
def test_the_key_of_the_prompt_cache_is_the_first_text_that_names_one(fields: bytes, key: str) -> None:
    assert parse(b'{"model": "m", ' + fields + b"}").affinity == key


def test_half_an_emoji_is_the_providers_to_judge() -> None:
    request = parse(b'{"model": "m", "stream": true, "messages": [{"content": "cut \\ud83d"}]}')

    assert (request.model, request.stream) == ("m", True)


@pytest.mark.parametrize("stream", [b"false", b"null", b'"true"', b"1", b"[]"])
def test_only_true_means_a_stream_and_the_rest_is_the_providers_to_judge(stream: bytes) -> None:
    assert not parse(b'{"model": "m", "stream": ' + stream + b"}").stream


def test_the_deployment_of_an_azure_url_decides_whatever_the_body_says() -> None:
    assert parse(b"{}", path_model="dep").model == "dep"
    request = parse(b'{"model": "other"}', path_model="dep")
    assert (request.model, request.body_model) == ("dep", "other")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[]", "object"),
        (b"null", "object"),
        (b"{}", "name a model"),
        (b'{"model": null}', "name a model"),
        (b'{"model": ""}', "name a model"),
        (b'{"model": 3}', "str"),
        (b'{"model": "m", "x": NaN}', "not valid JSON"),
        (b'{"model": "m", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"model": "\xff"}', "not valid JSON"),
    ],
)
def test_a_body_that_cannot_be_used_is_a_400_that_says_why(body: bytes, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as refused:
        parse(body)

    assert status_of(refused.value) == 400


@given(st.binary(max_size=200))
def test_no_body_does_worse_than_a_400(body: bytes) -> None:
    try:
        parse(body)
    except InvalidRequest as refused:
        assert status_of(refused) == 400


def test_credentials_are_kept_apart_and_dropped_where_they_are_the_proxys_own() -> None:
    headers = ((b"authorization", b"Bearer k"), (b"x-a", b"1"))

    kept, dropped = parse(b'{"model":"m"}', headers=headers), parse(b'{"model":"m"}', keep=False, headers=headers)

    assert kept.headers == dropped.headers == (("x-a", "1"),)
    assert kept.credentials == (("authorization", "Bearer k"),)
    assert dropped.credentials == ()
    assert kept.client != dropped.client == ""


def test_two_clients_never_have_the_same_digest_by_shifting_letters() -> None:
    one = parse(b'{"model":"m"}', headers=((b"authorization", b"a"), (b"api-key", b"bc")))
    two = parse(b'{"model":"m"}', headers=((b"authorization", b"ab"), (b"api-key", b"c")))

    assert one.client != two.client


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"600", 600), (b"0.5", 0.5), (b"0", None), (b"-1", None), (b"nan", None), (b"inf", None), (b"x", None)],
)
def test_patience_is_read_from_the_sdks_header(value: bytes, seconds: float | None) -> None:
    assert patience_s({b"x-stainless-read-timeout": value}) == seconds


def test_a_body_that_came_fast_and_stalls_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(body_module, "BODY_GAP_S", 0.01)
    much = receiver(part(b"x" * MANY_BYTES, more=True), part(b"x" * MANY_BYTES, more=True))

    async def receive() -> dict[str, Any]:
        try:
            return cast("dict[str, Any]", await much())
        except IndexError:
            await asyncio.Event().wait()
            raise

    async def read() -> bytes:
        async with asyncio.timeout(20):
            return await read_body(receive, None, 8 * MANY_BYTES, held())

    with pytest.raises(InvalidRequest) as refused:
        asyncio.run(read())
    assert status_of(refused.value) == 408


def test_receiving_never_waits_without_need() -> None:
    assert asyncio.run(read_body(receiver(part(b"x")), None, 1, held())) == b"x"


def test_a_body_of_so_many_values_that_reading_it_would_hold_up_others_is_a_400() -> None:
    with pytest.raises(InvalidRequest, match="more than about 1000000 values") as refused:
        parse(b'{"model":"m","messages":[' + b"[]," * 2_000_000 + b"[]]}")

    assert (status_of(refused.value), refused.value.code) == (400, "too_many_values")
