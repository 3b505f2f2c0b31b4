"""The log tells who asked for what, and why they got what they got: one line for every request."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from tests.contracts.scripted_server import ScriptedServer, answering, reply
from tests.integration.composed import Composed, composed
from tests.integration.harness import config, endpoint
from tests.integration.raw_http import JSON

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = b"authorization: Bearer proxy-key"
CHAT = b'{"model":"gpt","messages":[]}'
ANSWER = b'{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}'


class World(NamedTuple):
    """The proxy and its provider."""

    proxy: Composed
    provider: ScriptedServer

    async def line(
        self, method: str, path: str, *headers: bytes, body: bytes = b"", host: str = "any"
    ) -> dict[str, Any]:
        """The one line that a request leaves, the same in both formats."""
        before = len(self.proxy.requests())
        await self.proxy.ask(method, path, *headers, body=body, host=host)
        (line,) = self.proxy.requests()[before:]
        (text,) = self.proxy.text_of_requests()[before:]
        assert text.isprintable()
        for name in ("client", "model", "client_request_id", "user_agent", "method", "path"):
            shown = re.search(rf' {name}=("(?:[^"\\]|\\.)*"|[^ ]*)', text)
            value = None if shown is None else json.loads(shown[1]) if shown[1].startswith('"') else shown[1]
            assert value == line.get(name)
        return line


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(ScriptedServer(answering(reply(ANSWER, JSON.decode()))))
        general = {"api_keys": ["proxy-key", "k%y&2"], "max_body_bytes": 4000, "log_level": "debug"}
        settings = config([endpoint(provider.url("/v1"))], **general)
        yield World(await stack.enter_async_context(composed(tmp_path_factory.mktemp("lines"), settings)), provider)


async def test_a_good_answer_says_who_asked_for_what(world: World) -> None:
    line = await world.line(
        "POST", "/v1/chat/completions", JSON, KEY, b"x-client-request-id: mine-1", b"user-agent: OpenAI/Python 3.54.0",
        body=CHAT,
    )  # fmt: skip

    told = {name: line[name] for name in ("client", "model", "client_request_id", "user_agent", "status", "api")}
    assert told == {
        "client": "127.0.0.1", "model": "gpt", "client_request_id": "mine-1", "user_agent": "OpenAI/Python 3.54.0",
        "status": 200, "api": "chat",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ([b"x-request-id: a b"], "a b"),
        ([b"x-request-id: other", b"x-client-request-id: mine"], "mine"),
        ([b"x-client-request-id: " + b"i" * 300], "i" * 64),
        ([b"x-client-request-id: \xc3\xa9"], None),
        ([b"x-client-request-id: a\tb"], None),
        ([b"x-client-request-id:"], None),
        ([], None),
    ],
)
async def test_the_clients_own_id_is_told_if_it_is_one(world: World, headers: list[bytes], told: str | None) -> None:
    line = await world.line("POST", "/v1/chat/completions", JSON, KEY, *headers, body=CHAT)

    assert line.get("client_request_id") == told


@pytest.mark.parametrize("claim", [b"x-forwarded-for: 6.6.6.6", b"x-real-ip: 6.6.6.6", b"forwarded: for=6.6.6.6"])
async def test_who_asks_is_whom_the_connection_comes_from(world: World, claim: bytes) -> None:
    assert (await world.line("GET", "/v1/models", KEY, claim))["client"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nobody", "nobody"),
        ("two words", "two words"),
        ('no"b=o\\dy', 'no"b=o\\dy'),
        ("no\nbody\r\n2026-11-30 INFO request status=200", "no\nbody\r\n2026-11-30 INFO request status=200"),
        ('","level":"error","x":"', '","level":"error","x":"'),
        ("tab\tesc\x1b[31m\x00", "tab\tesc\x1b[31m\x00"),
        ("größe 東京", "größe 東京"),
        ("\x9b31m\u202etxt\u2028\ufeff", "\ufffd31m\ufffdtxt\ufffd\ufffd"),
        ("x" * 3000, "x" * 64),
    ],
)
async def test_a_model_that_is_not_served_is_told_and_changes_no_line(world: World, name: str, told: str) -> None:
    for path in ("/v1/chat/completions", "/v1/embeddings", "/v1/responses"):
        line = await world.line("POST", path, JSON, KEY, body=json.dumps({"model": name}, ensure_ascii=False).encode())

        assert (line["status"], line["outcome"], line["group"]) == (404, "model_not_found", "")
        assert line["model"] == told


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "outcome"),
    [
        ("POST", "/v1/chat/completions", [JSON], CHAT, 401, "invalid_api_key"),
        ("POST", "/v1/chat/completions", [JSON, KEY, b"origin: https://x.example"], CHAT, 403, "origin_not_allowed"),
        ("GET", "/v1/models", [b"origin: null"], b"", 403, "origin_not_allowed"),
        ("GET", "/health", [b"origin: null"], b"", 403, "origin_not_allowed"),
        ("GET", "/v1/models", [], b"", 401, "invalid_api_key"),
        ("GET", "/v1/models/nobody", [KEY], b"", 404, "model_not_found"),
        ("GET", "/nothing", [KEY], b"", 404, "unknown_path"),
        ("GET", "/v1/chat/completion", [KEY], b"", 404, "unknown_path"),
        ("PUT", "/v1/embeddings", [KEY], b"", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", [KEY], b"", 405, "method_not_allowed"),
        ("TRACE", "/v1/files", [KEY], b"", 405, "method_not_allowed"),
        ("POST", "/v1/chat/completions", [JSON, KEY], CHAT + b" " * 5000, 413, "request_too_large"),
        ("POST", "/v1/chat/completions", [KEY, b"content-type: text/plain"], CHAT, 415, "unsupported_media_type"),
        ("POST", "/v1/chat/completions", [JSON, KEY], b"{", 400, "invalid_json"),
        ("POST", "/v1/chat/completions", [JSON, KEY, b"api-key: a", b"api-key: b"], CHAT, 400, "repeated_header"),
        ("GET", "/v1/files", [KEY, b"upgrade: websocket", b"connection: upgrade"], b"", 400, "malformed_request"),
        (
            "GET",
            "/v1/conversations/c",
            [KEY, b"upgrade: websocket", b"connection: upgrade"],
            b"",
            426,
            "upgrade_not_served",
        ),
        ("GET", "/v1/models", [KEY], b"", 200, "ok"),
        ("GET", "/v1/models/gpt", [KEY], b"", 200, "ok"),
        ("HEAD", "/v1/models", [KEY], b"", 200, "ok"),
        ("GET", "/v1/files/file-1", [KEY], b"", 200, "ok"),
        ("GET", "/v1/responses/resp_1", [KEY], b"", 200, "ok"),
    ],
)
async def test_every_request_leaves_one_line_that_says_what_it_was(
    world: World, method: str, path: str, headers: list[bytes], body: bytes, status: int, outcome: str
) -> None:
    line = await world.line(method, f"{path}?secret=s3cret", *headers, b"user-agent: ua", body=body)

    assert (line["status"], line["outcome"], line["client"], line["user_agent"]) == (status, outcome, "127.0.0.1", "ua")
    assert (line["method"], line["path"]) == (method, path)
    assert line["request_id"].startswith("req_")
    assert "s3cret" not in "".join((*world.proxy.lines.json, *world.proxy.lines.text))


async def test_a_path_is_cut(world: World) -> None:
    assert len((await world.line("GET", "/v1/" + "y" * 500, KEY))["path"]) == 300


@pytest.mark.parametrize(("raw", "status"), [(b"NONSENSE\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nx" + b"y" * 80_000, 431)])
async def test_what_is_no_request_leaves_a_line_too(world: World, raw: bytes, status: int) -> None:
    before = len(world.proxy.requests())
    await world.proxy.talk(raw)

    (line,) = world.proxy.requests()[before:]
    assert (line["status"], line["client"]) == (status, "127.0.0.1")


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/status"])
async def test_what_watchers_ask_is_told_to_who_debugs_and_refusals_to_all(world: World, path: str) -> None:
    good = await world.line("GET", path, KEY)
    bad = await world.line("GET", path, b"origin: null")

    assert (good["level"], good["path"], good["status"]) == ("debug", path, 200)
    assert (bad["level"], bad["path"], bad["status"]) == ("info", path, 403)


# Keys in the query.


@pytest.mark.parametrize("name", ["api-key", "api_key", "key", "subscription-key", "access_token", "x"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/chat/completions"), ("GET", "/v1/files"), ("GET", "/v1/responses/resp_1"), ("POST", "/v1/files")],
)
async def test_a_key_of_the_proxys_own_in_the_query_goes_no_further(
    world: World, method: str, path: str, name: str
) -> None:
    headers = [JSON] if method == "POST" else []
    for key in ("proxy-key", "proxy%2Dkey", "Bearer%20proxy-key", "k%25y%262"):
        answer = await world.proxy.ask(
            method, f"{path}?a=1&{name}={key}&b=2", KEY, *headers, body=CHAT if headers else b""
        )

        assert answer.status == 200
        assert world.provider.requests[-1].line.split()[1].endswith(b"?a=1&b=2")


async def test_a_key_in_the_query_lets_nobody_in(world: World) -> None:
    for name in ("api-key", "api_key", "key"):
        for path in ("/v1/models", "/v1/files"):
            assert (await world.proxy.ask("GET", f"{path}?{name}=proxy-key")).status == 401


async def test_without_keys_of_its_own_the_proxy_passes_a_query_on(world: World, tmp_path: Path) -> None:
    async with composed(tmp_path, config([endpoint(world.provider.url("/v1"))])) as proxy:
        await proxy.ask("GET", "/v1/files?api-key=theirs")

    assert world.provider.requests[-1].line.split()[1] == b"/v1/files?api-key=theirs"


@pytest.mark.parametrize(
    ("name", "told"), [("m" * 3000, "m" * 64), ("\x9b31m\u202etxt", "\ufffd31m\ufffdtxt"), ("ft:gpt", "ft:gpt")]
)
async def test_a_model_that_only_the_provider_knows_is_told_as_any_text_of_a_client(
    world: World, tmp_path: Path, name: str, told: str
) -> None:
    settings = config([endpoint(world.provider.url("/v1"))], passthrough_group="gpt")
    async with composed(tmp_path, settings) as proxy:
        line = await World(proxy, world.provider).line(
            "POST",
            "/v1/chat/completions",
            JSON,
            body=json.dumps({"model": name, "messages": []}).encode(),
            host="localhost",
        )

    assert (line["status"], line["outcome"]) == (200, "ok")
    assert (line["group"], line.get("model", told)) == (told, told)
