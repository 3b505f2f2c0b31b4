"""What is no text is refused: half letters in names, bodies that are not UTF-8. What else is odd is the provider's."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import NamedTuple

import pytest
import pytest_asyncio

from tests.contracts.scripted_server import ScriptedServer, answering, reply
from tests.integration.composed import Composed, composed
from tests.integration.harness import config, endpoint
from tests.integration.raw_http import JSON

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANSWER = (
    b'{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}],"output":[],"data":[],"results":[]}'
)
CALLS = ("/chat/completions", "/responses", "/embeddings", "/completions", "/moderations", "/responses/input_tokens")
PASSED_ON = ("/audio/speech", "/images/generations", "/fine_tuning/jobs", "/something/new")
STORED = ("/conversations", "/responses/resp_1/cancel", "/chat/completions/chatcmpl-1", "/conversations/conv_1/items")


class World(NamedTuple):
    """The proxy and its provider."""

    proxy: Composed
    provider: ScriptedServer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(ScriptedServer(answering(reply(ANSWER, JSON.decode()))))
        settings = config([endpoint(provider.url("/v1"))], cache=True, passthrough_group="gpt")
        yield World(await stack.enter_async_context(composed(tmp_path_factory.mktemp("texts"), settings)), provider)


async def refused(world: World, method: str, path: str, *headers: bytes, body: bytes = b"") -> dict[str, str]:
    """The error of a 400 that nobody was asked for, and that is in the log."""
    before = len(world.provider.requests)
    answer = await world.proxy.ask(method, path, *headers, body=body)

    assert answer.status == 400
    assert len(world.provider.requests) == before
    line = world.proxy.requests()[-1]
    assert (line["status"], line["outcome"]) == (400, answer.error["code"])
    return answer.error


@pytest.mark.parametrize("name", [rb"\ud800", rb"gpt\udfff", rb"\udc00\ud800", rb"a\ud83d b"])
@pytest.mark.parametrize("path", [*CALLS, *PASSED_ON])
async def test_half_a_letter_is_no_models_name(world: World, path: str, name: bytes) -> None:
    for key in (b"model", rb"mod\u0065l"):
        error = await refused(world, "POST", f"/v1{path}", JSON, body=b'{"x":1,"%b":"%b","stream":true}' % (key, name))

        assert error["param"] == "model"


@pytest.mark.parametrize("name", ["%ED%A0%80", "%ff", "gpt%C3", "%C0%AF"])
async def test_a_name_in_a_path_or_a_query_is_utf_8(world: World, name: str) -> None:
    chat = b'{"messages":[]}'
    for method, path, body in (
        ("POST", f"/openai/deployments/{name}/chat/completions", chat),
        ("POST", f"/openai/deployments/{name}/images/generations", chat),
        ("GET", f"/openai/deployments/{name}/chat/completions", b""),
        ("GET", f"/v1/chat/completions?limit=2&model={name}", b""),
    ):
        error = await refused(world, method, path, *([JSON] if body else []), body=body)
        assert error["param"] == "model"


@pytest.mark.parametrize("name", [b"\xff", b"\xed\xa0\x80", b"gpt\xc3", "größe".encode("latin-1")])
async def test_a_name_in_a_form_is_utf_8(world: World, name: bytes) -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n--b--\r\n' % name
    error = await refused(
        world, "POST", "/v1/audio/transcriptions", b"content-type: multipart/form-data; boundary=b", body=form
    )

    assert error["param"] == "model"


NOT_UTF_8 = {
    "a lone byte": b'{"model":"gpt","messages":[{"role":"user","content":"caf\xe9"}]}',
    "in a field nobody reads": b'{"model":"gpt","messages":[],"metadata":{"a":["\xff"]}}',
    "in a key": b'{"model":"gpt","messages":[],"\xff":1}',
    "cut off": b'{"model":"gpt","messages":[{"content":"caf\xc3"}]}',
    "a surrogate": b'{"model":"gpt","messages":[{"content":"\xed\xa0\x80"}]}',
    "overlong": b'{"model":"gpt","messages":[{"content":"\xc0\xaf"}]}',
    "beyond Unicode": b'{"model":"gpt","messages":[{"content":"\xf5\x80\x80\x80"}]}',
    "after megabytes": b'{"model":"gpt","messages":[{"content":"' + b"x" * 2_000_000 + b'\xff"}]}',
    "UTF-16": '{"model":"gpt","messages":[]}'.encode("utf-16"),
    "UTF-16 without a mark": '{"model":"gpt","messages":[]}'.encode("utf-16-be"),
    "UTF-32": '{"model":"gpt","messages":[]}'.encode("utf-32"),
    "a byte order mark": b'\xef\xbb\xbf{"model":"gpt","messages":[]}',
}


@pytest.mark.parametrize("body", NOT_UTF_8.values(), ids=NOT_UTF_8.keys())
async def test_a_body_that_is_not_utf_8_is_refused_on_every_path(world: World, body: bytes) -> None:
    for path in (*CALLS, *PASSED_ON, *STORED):
        error = await refused(world, "POST", f"/v1{path}", JSON, body=body)

        assert (error["code"], error["type"]) == ("invalid_json", "invalid_request_error")
        assert error["message"].startswith("The body is not valid JSON: ")


@pytest.mark.parametrize("path", [*CALLS, *PASSED_ON, *STORED])
@pytest.mark.parametrize(
    "body",
    [
        '{"model":"gpt","messages":[{"content":"é 東京 🦊 \ufeff \u2028"}],"ü":1}'.encode(),
        rb'{"model":"gpt","temperature":0,"messages":[{"content":"cut \ud83d"}],"prompt_cache_key":"\ud83d"}',
        rb'{"model":"gpt","messages":[],"x":"\u0000"}',
    ],
)
async def test_what_is_text_goes_on_as_it_came(world: World, path: str, body: bytes) -> None:
    answer = await world.proxy.ask("POST", f"/v1{path}", JSON, body=body)

    assert answer.status == 200
    assert world.provider.requests[-1].body.replace(b"gpt-sim", b"gpt") == body


async def test_bytes_that_are_no_json_are_not_looked_at(world: World) -> None:
    answer = await world.proxy.ask("POST", "/v1/files", b"content-type: application/octet-stream", body=b"\xff\xfe\x00")

    assert (answer.status, world.provider.requests[-1].body) == (200, b"\xff\xfe\x00")


@pytest.mark.parametrize(
    "target", [b"/v1/files?x=\xff", b"/v1/files?x=%ff", b"/v1/something/\xff", b"/v1/responses/r\xe9sp_1"]
)
async def test_odd_bytes_in_a_target_harm_nobody(world: World, target: bytes) -> None:
    answer = await world.proxy.ask("GET", target)

    assert answer.status in {200, 400}
    assert world.proxy.requests()[-1]["status"] == answer.status


@pytest.mark.parametrize("name", ["%ED%A0%80", "%ff"])
async def test_a_model_is_not_looked_up_by_what_is_no_text(world: World, name: str) -> None:
    for prefix in ("/v1", "", "/openai/v1"):
        for method in ("GET", "HEAD", "DELETE"):
            answer = await world.proxy.ask(method, f"{prefix}/models/{name}")
            assert answer.status == 400
            assert method == "HEAD" or json.loads(answer.body)["error"]["param"] == "model"
