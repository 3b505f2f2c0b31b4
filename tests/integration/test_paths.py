"""Every path and method of the OpenAI API, in all the spellings that base URLs give them."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.contracts.scripted_server import Peer, ScriptedServer, reply
from tests.integration.composed import Composed, composed
from tests.integration.harness import endpoint
from tests.integration.raw_http import JSON, Reply

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATHS = Path(__file__).parents[1] / "data" / "openai_paths.txt"
ODD_NAMES = (
    "gpt", "a/b", "a//b", "/rooted", "ends/", "sp ace", "100%", "50%25", "what?", "sharp#1", "c:1", "a+b", "..", ".",
    "a/../b", "models", "v1/models", "v1", "a&b=c", 'quo"te', "back\\slash", "{id}", "responses/resp_1",
)  # fmt: skip
CHAT = b'{"model":"gpt","messages":[]}'
ANSWER = b'{"id":"x","choices":[],"output":[],"data":[],"results":[]}'


async def telling(peer: Peer) -> None:
    """Answers everything, and says what was asked."""
    while True:
        request = await peer.request()
        method, path, _ = request.line.decode().split(" ")
        headers = f"x-asked: {method} {path}", "content-type: application/json"
        answer = reply(ANSWER, *headers)
        await peer.send(answer.removesuffix(ANSWER) if method == "HEAD" else answer)


class World(NamedTuple):
    """The proxy with and without a group that takes what nobody knows, and their provider."""

    proxy: Composed
    lone: Composed
    provider: ScriptedServer

    async def asked(self, method: str, path: str, body: bytes = b"") -> tuple[Reply, str | None]:
        """The reply, and what the provider was asked for it."""
        headers = [JSON] if body else []
        answer = await self.proxy.ask(method, path, *headers, body=body)
        return answer, answer.one("x-asked")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(ScriptedServer(telling))
        groups = [
            {"model_group": name, "models": [endpoint(provider.url("/v1"), id=f"e{number}")]}
            for number, name in enumerate(ODD_NAMES)
        ]
        proxies = [
            await stack.enter_async_context(
                composed(tmp_path_factory.mktemp("paths"), {"model_groups": groups, "general_settings": general})
            )
            for general in ({"passthrough_group": "gpt", "passthrough": "admin"}, {})
        ]
        yield World(proxies[0], proxies[1], provider)


def calls_of_the_sdk() -> list[tuple[str, str]]:
    lines = [line.split() for line in PATHS.read_text().splitlines() if not line.startswith("#")]
    return [(method, path) for methods, path in lines for method in methods.split(",")]


@pytest.mark.parametrize("prefix", ["/v1", "", "/openai/v1", "/v1/v1", "//v1/"])
async def test_every_call_of_the_sdk_is_served(world: World, prefix: str) -> None:
    wrong = []
    for method, template in calls_of_the_sdk():
        path = template.replace("{", "id-").replace("}", "-1")
        answer, asked = await world.asked(method, prefix + path, CHAT if method == "POST" else b"")
        if (answer.status, asked) != (200, f"{method} /v1{path}") and (method, path) != ("GET", "/models"):
            wrong.append((method, path, answer.status, asked))

    assert wrong == []


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "OPTIONS", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/files/file-1", "/something/new", "/responses/resp_123", "/conversations/conv_1", "/models/ft:gpt::x"]
)
async def test_what_is_the_providers_is_so_with_every_method(world: World, method: str, path: str) -> None:
    answer, asked = await world.asked(method, "/v1" + path)

    assert (answer.status, asked) == (200, f"{method} /v1{path}")
    if method == "HEAD":
        assert (answer.body, answer.one("content-length")) == (b"", str(len(ANSWER)))


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions", "//v1/chat/completions", "/v1//chat/completions", "/v1/v1/chat/completions",
        "/v1/chat/completions/", "/v1/v1//chat/completions//", "/chat/completions/", "/openai/v1/v1/chat/completions",
        "/openai/openai/v1/chat/completions", "/v1/openai/v1/chat/completions",
        "/openai/deployments/gpt/chat/completions/", "//openai/deployments/gpt//chat/completions",
        "/openai/openai/deployments/gpt/chat/completions", "/v1/openai/deployments/gpt/chat/completions",
        "/v1/deployments/gpt/chat/completions", "/deployments/gpt/chat/completions", "/v1/chat/completions?a=b",
    ],
)  # fmt: skip
async def test_a_chat_is_one_in_every_spelling(world: World, path: str) -> None:
    answer, asked = await world.asked("POST", path, CHAT)

    query = "?a=b" if "?" in path else ""
    assert (answer.status, asked) == (200, f"POST /v1/chat/completions{query}")


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [
        ("GET", "/v1/responses/resp_123/", "GET /v1/responses/resp_123"),
        ("GET", "/v1/responses/resp_123/input_items/", "GET /v1/responses/resp_123/input_items"),
        ("DELETE", "//responses/resp_123/", "DELETE /v1/responses/resp_123"),
        ("POST", "/v1/conversations/", "POST /v1/conversations"),
        ("GET", "/v1/v1/files/", "GET /v1/files"),
        ("GET", "/v1/files/file-1/content/", "GET /v1/files/file-1/content"),
        ("GET", "/v1/something/new/", "GET /v1/something/new/"),
        ("GET", "/v1/files/a%2fb", "GET /v1/files/a%2fb"),
        ("GET", "/v1/models/ft:unlisted", "GET /v1/models/ft:unlisted"),
    ],
)
async def test_slashes_and_roots_that_say_nothing_go_no_further(
    world: World, method: str, path: str, asked: str
) -> None:
    assert (await world.asked(method, path))[1] == asked


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/chat/completion", "/v1/chat/completions"),
        ("/v1/chat//completions", "/v1/chat/completions"),
        ("/chat/completions/v1", "/v1/chat/completions"),
        ("/v1/chat/completions/v1", "/v1/chat/completions"),
        ("/v1/chat/completions/chat/completions", "/v1/chat/completions"),
        ("/v1/responses/responses", "/v1/responses"),
        ("/v1/chat/completions/models", "/v1/models"),
        ("/v1/embeddings/embeddings", "/v1/embeddings"),
        ("/v1/response", "/v1/responses"),
        ("/api/v1/chat/completions", "/v1/chat/completions"),
        ("/v1beta/openai/chat/completions", "/v1/chat/completions"),
        ("/V1/chat/completions", "/v1/chat/completions"),
        ("/v1/Chat/Completions", "/v1/chat/completions"),
        ("/proxy/openai/v1/embeddings", "/v1/embeddings"),
        ("/chat/completion", "/v1/chat/completions"),
        ("/engines/gpt/completions", "/v1/completions"),
        ("/openai/deployments/gpt/responses", "/v1/responses"),
        ("/api/v1/files", "/v1/files"),
    ],
)
async def test_a_near_miss_is_a_404_that_names_what_was_meant(world: World, path: str, meant: str) -> None:
    answer, asked = await world.asked("POST", path, CHAT)

    assert (answer.status, answer.error["code"], asked) == (404, "unknown_path", None)
    assert f" {meant} " in answer.error["message"]
    assert answer.one("location") is None


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/openai/v1/", "/v1/v1", "/etc/passwd", "/" + "x" * 5000])
async def test_what_is_like_nothing_is_a_plain_404(world: World, path: str) -> None:
    answer, asked = await world.asked("GET", path)

    assert (answer.status, answer.error["message"], asked) == (404, "There is nothing under this path.", None)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/chat/completions", "GET, POST, DELETE"),
        ("GET", "/v1/embeddings", "POST"),
        ("GET", "/v1/responses/", "POST"),
        ("OPTIONS", "/v1/moderations", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("DELETE", "/v1/models/gpt", "GET, HEAD"),
        ("POST", "/health", "GET, HEAD"),
        ("DELETE", "/status", "GET, HEAD"),
        ("TRACE", "/v1/files", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        ("TRACE", "/v1/responses/resp_1", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    ],
)
async def test_a_405_says_what_is_allowed(world: World, method: str, path: str, allow: str) -> None:
    answer, asked = await world.asked(method, path)

    assert (answer.status, answer.one("allow"), asked) == (405, allow, None)


async def test_a_426_says_what_is_spoken(world: World) -> None:
    answer = await world.proxy.ask("GET", "/v1/conversations/conv_1", b"upgrade: websocket", b"connection: upgrade")

    assert (answer.status, answer.error["code"], answer.one("upgrade")) == (426, "upgrade_not_served", "HTTP/1.1")
    assert "upgrade" in answer.all("connection")


# Models.


@pytest.mark.parametrize("root", ["/v1", "", "/openai/v1", "/openai", "/v1/v1", "/openai/deployments/gpt"])
async def test_every_listed_model_is_found(world: World, root: str) -> None:
    listed = json.loads((await world.proxy.ask("GET", f"{root}/models/")).body)
    assert [card["id"] for card in listed["data"]] == list(ODD_NAMES)

    for name in ODD_NAMES:
        answer = await world.proxy.ask("GET", f"{root}/models/{quote(name, safe='')}")
        assert (answer.status, json.loads(answer.body)["id"]) == (200, name)
        assert answer.one("x-asked") is None


@pytest.mark.parametrize(
    ("spelt", "name"),
    [
        ("a/b", "a/b"), ("a//b", "a//b"), ("ends/", "ends/"), ("..", ".."), ("a/../b", "a/../b"), ("c:1", "c:1"),
        ("a+b", "a+b"), ("100%", "100%"), ("gpt/", "gpt"), ("/gpt", "gpt"), ("50%25", "50%25"), ("%67pt", "gpt"),
        ("v1/models", "v1/models"), ("a&b=c", "a&b=c"),
    ],
)  # fmt: skip
async def test_a_model_is_found_as_clients_that_do_not_encode_spell_it(world: World, spelt: str, name: str) -> None:
    answer = await world.proxy.ask("GET", f"/v1/models/{spelt}")

    assert (answer.status, json.loads(answer.body)["id"]) == (200, name)


async def test_a_model_is_told_of_without_its_body(world: World) -> None:
    whole = await world.proxy.ask("GET", "/v1/models/a%2Fb")
    head = await world.proxy.ask("HEAD", "/v1/models/a%2Fb")

    assert (head.status, head.body, head.one("content-length")) == (200, b"", str(len(whole.body)))


@pytest.mark.parametrize(
    ("spelt", "shown"), [("nobody", "nobody"), ("no%22b%0Aody", 'no"b\nody'), ("x" * 300, "x" * 100)]
)
async def test_a_model_that_is_not_listed_is_a_404_that_names_it(world: World, spelt: str, shown: str) -> None:
    answer = await world.lone.ask("GET", f"/v1/models/{spelt}")

    assert (answer.status, answer.error["code"], answer.error["param"]) == (404, "model_not_found", "model")
    assert f"'{shown}" in answer.error["message"]
    assert "x" * 101 not in answer.error["message"]


async def test_a_model_that_is_not_listed_is_named_by_what_passes_through_too(world: World) -> None:
    form = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b--\r\n'
    asked = [
        await world.lone.ask("POST", "/v1/images/generations", JSON, body=b'{"model":"whisper-1"}'),
        await world.lone.ask(
            "POST", "/v1/audio/transcriptions", b"content-type: multipart/form-data; boundary=b", body=form
        ),
    ]

    for answer in asked:
        assert (answer.status, answer.error["code"], answer.error["param"]) == (404, "model_not_found", "model")
        assert "'whisper-1' is not served here" in answer.error["message"]


async def test_what_is_kept_nowhere_and_asks_no_model_is_not_told_of_a_group_as_unknown(world: World) -> None:
    answer = await world.lone.ask("POST", "/v1/conversations", JSON, body=b'{"model":"a/b"}')

    assert (answer.status, answer.error["code"]) == (404, "no_model_group")


@pytest.mark.parametrize("method", ["DELETE", "POST"])
async def test_without_a_group_for_it_another_model_is_nobodys(world: World, method: str) -> None:
    answer = await world.lone.ask(method, "/v1/models/ft:mine")

    assert (answer.status, answer.error["code"]) == (404, "no_model_group")
