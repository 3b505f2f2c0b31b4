"""What web pages, and applications that are made of them, get to read: every answer, if they may call the proxy."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.contracts.scripted_server import Peer, ScriptedServer, chunked, reply
from tests.integration.composed import Composed, composed
from tests.integration.harness import config, endpoint
from tests.integration.raw_http import JSON, Reply

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = "app://obsidian.md"
ORIGIN = b"origin: " + PAGE.encode()
KEY = b"authorization: Bearer proxy-key"
CHAT = b'{"model":"gpt","messages":[]}'
STREAM = b'{"model":"gpt","stream":true,"messages":[]}'
ANSWER = b'{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}'
EVENTS = b'data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
VARY = "vary: accept-encoding", "access-control-allow-origin: https://not.this.example"


async def provider(peer: Peer) -> None:
    """Good answers of all kinds, and bad ones."""
    while True:
        request = await peer.request()
        if b"/audio" in request.line:
            await peer.send(reply(b"RIFF" * 1000, "content-type: audio/wav", *VARY))
        elif b"/files/broken" in request.line:
            await peer.send(reply(b'{"error":{"message":"no","type":"server_error"}}', JSON.decode(), status="500 No"))
        elif b"/files" in request.line:
            await peer.send(reply(b'{"error":{"message":"no","code":"no"}}', JSON.decode(), *VARY, status="404 No"))
        elif b'"stream":true' in request.body:
            await peer.send(chunked(EVENTS).replace(b"\r\n", b"\r\ncontent-type: text/event-stream\r\nvary: x\r\n", 1))
        else:
            await peer.send(reply(ANSWER, JSON.decode(), *VARY))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Composed]:
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(ScriptedServer(provider))
        general = {
            "allowed_origins": [PAGE, "https://a.com:443", "chrome-extension://*"], "api_keys": ["proxy-key"],
            "max_body_bytes": 2000, "num_retries": 0, "allowed_fails": 1000,
        }  # fmt: skip
        settings = config([endpoint(upstream.url("/v1"))], **general)
        yield await stack.enter_async_context(composed(tmp_path_factory.mktemp("pages"), settings))


def can_be_read(answer: Reply, origin: str) -> bool:
    """By the rules of browsers."""
    return (
        answer.all("access-control-allow-origin") == [origin]
        and "origin" in ", ".join(answer.all("vary")).split(", ")
        and {"x-llmproxy-request-id", "x-request-id", "retry-after", "x-ratelimit-remaining-tokens"}
        <= set((answer.one("access-control-expose-headers") or "").split(", "))
    )


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("POST", "/v1/chat/completions", [JSON, KEY], CHAT, 200),
        ("POST", "/v1/chat/completions", [JSON, KEY], STREAM, 200),
        ("POST", "/v1/audio/speech", [JSON, KEY], CHAT, 200),
        ("GET", "/v1/files/file-1", [KEY], b"", 404),
        ("GET", "/v1/files/broken", [KEY], b"", 502),
        ("GET", "/v1/models", [KEY], b"", 200),
        ("GET", "/v1/models/gpt", [KEY], b"", 200),
        ("HEAD", "/v1/models", [KEY], b"", 200),
        ("GET", "/v1/models/nobody", [KEY], b"", 404),
        ("GET", "/health", [], b"", 200),
        ("GET", "/health/live", [], b"", 200),
        ("GET", "/status", [KEY], b"", 200),
        ("POST", "/v1/chat/completions", [JSON, KEY], b"{", 400),
        ("POST", "/v1/chat/completions", [JSON, KEY, b"authorization: x"], CHAT, 400),
        ("POST", "/v1/chat/completions", [JSON], CHAT, 401),
        ("GET", "/v1/models", [], b"", 401),
        ("POST", "/v1/chat/completions", [JSON, KEY], CHAT.replace(b"gpt", b"nobody"), 404),
        ("GET", "/nothing", [KEY], b"", 404),
        ("PUT", "/v1/chat/completions", [KEY], b"", 405),
        ("DELETE", "/v1/models", [KEY], b"", 405),
        ("OPTIONS", "/v1/chat/completions", [KEY], b"", 405),
        ("POST", "/v1/chat/completions", [JSON, KEY], CHAT + b" " * 3000, 413),
        ("POST", "/v1/chat/completions", [KEY, b"content-type: text/plain"], CHAT, 415),
        ("GET", "/v1/files", [KEY, b"upgrade: websocket", b"connection: upgrade"], b"", 400),
        ("GET", "/v1/conversations/conv_1", [KEY, b"upgrade: websocket", b"connection: upgrade"], b"", 426),
    ],
)
async def test_every_answer_can_be_read_by_the_page_it_is_for(
    proxy: Composed, method: str, path: str, headers: list[bytes], body: bytes, status: int
) -> None:
    answer = await proxy.ask(method, path, ORIGIN, *headers, body=body)

    assert (answer.status, can_be_read(answer, PAGE)) == (status, True)
    assert answer.one("x-llmproxy-request-id") is not None


@pytest.mark.parametrize("site", [b"cross-site", b"same-site", b"same-origin", b"none"])
async def test_what_browsers_say_of_the_site_agrees_with_the_origin(proxy: Composed, site: bytes) -> None:
    for path in ("/v1/models", "/v1/files/file-1", "/health"):
        answer = await proxy.ask("GET", path, ORIGIN, KEY, b"sec-fetch-site: " + site)
        assert (answer.status in {200, 404}, can_be_read(answer, PAGE)) == (True, True)

    nameless = await proxy.ask("GET", "/v1/files/file-1", KEY, b"sec-fetch-site: " + site)
    assert (nameless.status == 403) == (site in {b"cross-site", b"same-site"})


async def test_an_answer_that_comes_in_pieces_is_whole(proxy: Composed) -> None:
    assert (await proxy.ask("POST", "/v1/chat/completions", ORIGIN, JSON, KEY, body=STREAM)).body == EVENTS
    assert (await proxy.ask("POST", "/v1/chat/completions", ORIGIN, JSON, KEY, body=CHAT)).body == ANSWER


@pytest.mark.parametrize("origin", ["https://a.com", "chrome-extension://abc"])
async def test_a_page_of_a_pattern_or_a_default_port_reads_under_its_own_name(proxy: Composed, origin: str) -> None:
    answer = await proxy.ask("GET", "/v1/models", b"origin: " + origin.encode(), KEY)

    assert (answer.status, can_be_read(answer, origin)) == (200, True)


@pytest.mark.parametrize("origin", [None, "https://evil.example", "null"])
async def test_no_other_page_reads_anything_and_caches_are_told_that_it_depends(
    proxy: Composed, origin: str | None
) -> None:
    headers = [] if origin is None else [b"origin: " + origin.encode()]
    for path in ("/v1/models", "/v1/chat/completions", "/nothing", "/health"):
        answer = await proxy.ask("GET", path, KEY, *headers)

        assert answer.status == 403 or origin is None
        assert not [name for name, _ in answer.headers if name.startswith("access-control-")]
        assert answer.all("vary")[-1] == "origin"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/v1/files/file-1", "/health", "/nothing"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH"])
async def test_a_preflight_grants_what_was_asked(proxy: Composed, path: str, method: str) -> None:
    wanted = "authorization, content-type, x-stainless-os, openai-beta, api-key"
    answer = await proxy.ask(
        "OPTIONS", path, ORIGIN,
        b"access-control-request-method: " + method.encode(),
        b"access-control-request-headers: " + wanted.encode(),
        b"access-control-request-private-network: true",
    )  # fmt: skip

    assert (answer.status, answer.body, can_be_read(answer, PAGE)) == (204, b"", True)
    assert method in (answer.one("access-control-allow-methods") or "").split(", ")
    assert answer.one("access-control-allow-headers") == wanted
    assert answer.one("access-control-allow-private-network") == "true"
    assert int(answer.one("access-control-max-age") or 0) > 0
    assert proxy.requests()[-1]["status"] == 204


async def test_a_preflight_grants_no_more_than_was_asked(proxy: Composed) -> None:
    answer = await proxy.ask("OPTIONS", "/v1/models", ORIGIN, b"access-control-request-method: GET")

    assert answer.status == 204
    assert answer.one("access-control-allow-headers") is None
    assert answer.one("access-control-allow-private-network") is None
    assert answer.one("access-control-allow-credentials") is None


async def test_a_preflight_of_another_page_is_refused(proxy: Composed) -> None:
    answer = await proxy.ask(
        "OPTIONS", "/v1/models", b"origin: https://evil.example", b"access-control-request-method: GET"
    )

    assert (answer.status, answer.error["code"]) == (403, "origin_not_allowed")
    assert not [name for name, _ in answer.headers if name.startswith("access-control-")]


async def test_a_401_says_how_to_come_in(proxy: Composed) -> None:
    for path in ("/v1/models", "/status", "/v1/files", "/nothing"):
        assert (await proxy.ask("GET", path)).one("www-authenticate") == 'Bearer realm="llmproxy"'


async def test_where_no_page_may_call_answers_are_as_ever(tmp_path: Path) -> None:
    async with composed(tmp_path, config([endpoint("http://127.0.0.1:9/v1")])) as proxy:
        answer = await proxy.ask("GET", "/v1/models")
        preflight = await proxy.ask("OPTIONS", "/v1/models", ORIGIN, b"access-control-request-method: GET")

    assert (answer.status, answer.all("vary")) == (200, [])
    assert (preflight.status, preflight.all("vary")) == (403, [])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_whether_it_lives_is_told_by_whatever_name_it_was_reached(tmp_path: Path, method: str) -> None:
    settings = config([endpoint("http://127.0.0.1:9/v1")])
    async with composed(tmp_path, settings) as proxy:
        for host in ("10.1.2.3:4000", "lb.example", ""):
            answer = await proxy.ask(method, "/health/live", host=host)
            assert (answer.status, answer.one("content-length")) == (200, "15")
        for path in ("/health", "/health/ready", "/status", "/v1/models"):
            refused = await proxy.ask("GET", path, host="lb.example")
            assert (refused.status, refused.error["code"]) == (403, "host_not_allowed")
            assert 'allowed_hosts: ["lb.example"]' in refused.error["message"]


async def test_a_star_and_null_need_keys(tmp_path: Path) -> None:
    general = {"allowed_origins": ["*"], "api_keys": ["k"]}
    async with composed(tmp_path, config([endpoint("http://127.0.0.1:9/v1")], **general)) as proxy:
        answer = await proxy.ask("GET", "/v1/models", b"origin: https://any.example", b"api-key: k")

    assert (answer.status, can_be_read(answer, "https://any.example")) == (200, True)
