"""What a client got wrong is a 400 in OpenAI's shape, with the proxy's headers and a line in its log: never a 500."""

import json
from typing import Any

import aiohttp
import pytest

from tests.integration.conftest import StartProvider, StartProxy
from tests.integration.harness import config, endpoint, eventually

DIGITS = "9" * 400
COUNTS = ["max_tokens", "max_completion_tokens", "max_output_tokens", "n"]
PATHS = ["chat/completions", "completions", "responses"]
HALF = b'{"model":"\\ud83d"}'
NO_OBJECTS = [b"x", b"[]", b'"x"', b"{", HALF, b'{"model":5}']


def body_with(field: str, number: str, beside: str = "") -> bytes:
    return (
        '{"model":"gpt","messages":[{"role":"user","content":"Hi"}],"prompt":"Hi","input":"Hi"'
        f'{beside},"{field}":{number}}}'
    ).encode()


async def send(
    http: aiohttp.ClientSession, url: str, body: bytes, method: str = "POST"
) -> tuple[int, dict[str, Any], bool]:
    """(Status, `error` of the body, whether the proxy's own headers are there)."""
    async with http.request(method, url, data=body, headers={"content-type": "application/json"}) as reply:
        error = json.loads(await reply.read()).get("error") or {}
        return reply.status, error, "x-llmproxy-request-id" in reply.headers


@pytest.mark.parametrize("cache", [False, True])
async def test_numbers_that_nothing_can_be_counted_with(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, cache: bool
) -> None:
    provider = await start_provider()
    proxy = await start_proxy(config([endpoint(provider, tpm=30_000)], cache=cache))
    asked = [(path, field, beside) for path in PATHS for field in COUNTS for beside in ("", ',"user":"\\ud83d"')]

    for path, field, beside in asked:
        status, error, is_ours = await send(http, f"{proxy.url}/v1/{path}", body_with(field, DIGITS, beside))
        assert (status, error["type"], error["param"], is_ours) == (400, "invalid_request_error", field, True)

    assert provider.counts().received == 0
    await eventually(lambda: len(proxy.log()) == len(asked))
    assert {line["status"] for line in proxy.log()} == {400}


@pytest.mark.parametrize("number", ["1e400", "-1e400", "-" + DIGITS, f'"{DIGITS}"', "-1", "1e30", str(2**63)])
async def test_other_numbers_are_refused_here_or_by_the_provider(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, number: str
) -> None:
    provider = await start_provider()
    proxy = await start_proxy(config([endpoint(provider, tpm=30_000)], cache=True))

    for path in PATHS:
        for field in (*COUNTS, "best_of"):
            status, error, is_ours = await send(http, f"{proxy.url}/v1/{path}", body_with(field, number))
            assert is_ours
            assert status == 200 or (status == 400 and error["type"] == "invalid_request_error")


async def test_half_a_letter_as_the_model_on_every_route(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    provider = await start_provider()
    proxy = await start_proxy(config([endpoint(provider)], passthrough_group="gpt"))

    for path in (*PATHS, "embeddings", "moderations", "audio/speech", "images/generations", "videos", "new/thing"):
        status, error, is_ours = await send(http, f"{proxy.url}/v1/{path}", HALF)
        assert (status, error["type"], error["param"], is_ours) == (400, "invalid_request_error", "model", True), path
    assert provider.counts().received == 0


@pytest.mark.parametrize("body", NO_OBJECTS)
async def test_a_list_that_is_asked_for_by_model_with_a_body_that_is_no_object(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession, body: bytes
) -> None:
    provider = await start_provider()
    proxy = await start_proxy(config([endpoint(provider)], passthrough_group="gpt"))

    for path in ("chat/completions", "responses/resp_1", "conversations/conv_1"):
        for model in ("gpt", "another"):
            status, error, is_ours = await send(http, f"{proxy.url}/v1/{path}?model={model}", body, "GET")
            assert (status, error["type"], is_ours) == (400, "invalid_request_error", True)
    assert provider.counts().received == 0


async def test_a_body_beside_a_model_in_the_url_goes_on_as_it_came(
    start_provider: StartProvider, start_proxy: StartProxy, http: aiohttp.ClientSession
) -> None:
    proxy = await start_proxy(config([endpoint(await start_provider())], passthrough_group="gpt"))

    listed = await send(http, f"{proxy.url}/v1/chat/completions?model=gpt", b'{"model":"gpt"}', "GET")
    changed = await send(http, f"{proxy.url}/openai/deployments/gpt/chat/completions/chatcmpl-1", b"[]")

    assert (listed[0], changed[0] < 500, changed[2]) == (200, True, True)
