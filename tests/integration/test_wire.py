"""Bytes in, bytes out: what crosses the proxy unchanged, what stops there, and what it refuses to understand.

Raw sockets where a client library would be too well-behaved. One proxy serves the whole file.
"""

import asyncio
import gzip
import io
import json
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import aiohttp
import openai
import pytest
import pytest_asyncio

from adapters.http.server import connection
from simulator import ProviderSettings, SimulatedProvider
from tests.integration.composed import Composed
from tests.integration.harness import Proxy, endpoint, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}
MAX_BODY_BYTES = 6 * 1024 * 1024
QUESTION = b'{"model":"gpt","messages":[{"role":"user","content":"Hello"}],"max_tokens":4}'
ANSWER = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'


class FixedUpstream:
    """Answers every request with the same bytes, and keeps the last request's head."""

    def __init__(self) -> None:
        self.reply = b""
        self.head = b""
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> "FixedUpstream":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", self.head.lower())
        await reader.readexactly(int(length.group(1)) if length else 0)
        writer.write(self.reply)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


class Answer(NamedTuple):
    """One HTTP reply read off a socket. Header names in lower case."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    @property
    def code(self) -> str:
        """The code of an error body, which must have OpenAI's shape."""
        assert self.all("content-type") == ["application/json"]
        error = json.loads(self.body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return str(error["code"])


class World(NamedTuple):
    """The proxy, what is behind it, and a well-behaved client."""

    proxy: Proxy
    provider: SimulatedProvider
    fixed: FixedUpstream
    http: aiohttp.ClientSession

    async def post(self, body: Any, path: str = CHAT, **headers: str) -> Answer:
        """A request with exactly that body."""
        body = io.BytesIO(body) if isinstance(body, bytes) else body
        async with self.http.post(self.proxy.url + path, data=body, headers={**JSON, **headers}) as reply:
            headers_seen = [(name.lower(), value) for name, value in reply.headers.items()]
            return Answer(reply.status, headers_seen, await reply.read())

    async def talk(self, *pieces: bytes) -> bytes:
        """What comes back, until the proxy closes, for bytes written in those pieces."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        try:
            async with asyncio.timeout(30):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                return await reader.read()
        finally:
            writer.close()

    async def ask(self, *pieces: bytes) -> Answer:
        """As `talk`, for one reply."""
        return parsed(await self.talk(*pieces))

    async def is_alive(self) -> bool:
        return (await self.post(QUESTION)).status == 200


def parsed(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return Answer(int(status_line.split()[1]), headers, body)


def request(
    body: bytes = QUESTION,
    *extra: bytes,
    method: bytes = b"POST",
    path: bytes = CHAT.encode(),
    **replaced: bytes | None,
) -> bytes:
    """A request as bytes. Keywords replace a header of that name; None leaves it out."""
    headers: dict[bytes, bytes | None] = {
        b"host": b"localhost",
        b"content-type": b"application/json",
        b"content-length": b"%d" % len(body),
        b"connection": b"close",
    }
    headers |= {name.replace("_", "-").encode(): value for name, value in replaced.items()}
    lines = [b"%b: %b" % (name, value) for name, value in headers.items() if value is not None]
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, path), *lines, *extra, b"", body])


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(SimulatedProvider(ProviderSettings(name="alpha")))
        fixed = await stack.enter_async_context(FixedUpstream())
        http = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
        groups = [
            {"model_group": "gpt", "models": [endpoint(provider)]},
            {"model_group": "same", "models": [endpoint(provider, model="same")]},
            {"model_group": "fixed", "models": [endpoint(fixed.url, model="fixed")]},
        ]
        general = {"max_body_bytes": MAX_BODY_BYTES, "num_retries": 0, "allowed_fails": 1000}
        proxy = Composed(tmp_path_factory.mktemp("wire"), {"model_groups": groups, "general_settings": general})
        stack.push_async_callback(proxy.stop)
        await proxy.start()
        yield World(proxy, provider, fixed, http)


@pytest.fixture
def world(running: World) -> World:
    running.provider.reset()
    running.provider.set_faults([])
    running.provider.change(tokens_per_second=None)
    return running


# Request bodies.

ODD_BODIES = {
    "white space and key order": b'\r\n{ "messages" :\t[ {"content":"x" , "role":"user"} ],\n\n "model"\t: "NAME"  }\n',
    "unicode escapes": b'{"model":"NAME","messages":[{"role":"user","content":"h\\u00e9 \\ud83d\\ude00 \\/ \\u0000"}]}',
    "raw unicode": '{"model":"NAME","messages":[{"role":"user","content":"héllo 東京 🦊"}]}'.encode(),
    "duplicate keys": b'{"temperature":1,"model":"NAME","temperature":1.0,"messages":[{"role":"user","content":"x"}]}',
    "numbers": b'{"model":"NAME","seed":123456789012345678901234567890,"top_p":1.00e+0,"x":-0.0,"messages":[1E400]}',
    "unknown fields": b'{"x":{"model":"gpt","a":[]},"model":"NAME","messages":[{"role":"user","content":"\\"model"}]}',
    "five megabytes": b'{"messages":[{"role":"user","content":"' + b"x" * 5_000_000 + b'"}],"model":"NAME"}',
}


@pytest.mark.parametrize("body", ODD_BODIES.values(), ids=ODD_BODIES.keys())
async def test_a_body_goes_on_as_the_bytes_that_came_and_only_another_models_name_is_put_in(
    world: World, body: bytes
) -> None:
    await world.post(body.replace(b"NAME", b"same"))
    await world.post(body.replace(b"NAME", b"gpt"))

    first, second = world.provider.records
    assert first.body == body.replace(b"NAME", b"same")
    assert second.body == body.replace(b"NAME", b"gpt-sim")


async def test_a_chunked_body_is_one_with_a_length_upstream(world: World) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(QUESTION), 7):
            yield QUESTION[start : start + 7]

    answer = await world.post(pieces())

    assert answer.status == 200
    (record,) = world.provider.records
    assert record.body == QUESTION.replace(b'"gpt"', b'"gpt-sim"')
    assert record.header("content-length") == str(len(record.body))
    assert record.header("transfer-encoding") is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b'{"model":"gpt"} trailing',
        b'{"model":"gpt\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"model":"gpt",}',
    ],
)
async def test_what_is_no_json_is_refused_as_such(world: World, body: bytes) -> None:
    answer = await world.post(body)

    assert (answer.status, answer.code) == (400, "invalid_json")
    assert world.provider.records == []


@pytest.mark.parametrize("body", [b"{}", b'{"model":null}', b'{"model":""}', b'{"model":7}', b'{"model":["gpt"]}'])
async def test_a_missing_or_impossible_model_is_named_as_what_is_wrong(world: World, body: bytes) -> None:
    answer = await world.post(body)

    assert (answer.status, answer.code) == (400, "invalid_request")
    assert json.loads(answer.body)["error"]["param"] == "model"
    assert world.provider.records == []


@pytest.mark.parametrize("body", [b"[]", b'"gpt"', b"null", b"7"])
async def test_a_body_that_is_no_object_is_refused(world: World, body: bytes) -> None:
    answer = await world.post(body)

    assert (answer.status, answer.code) == (400, "invalid_request")


@pytest.mark.parametrize("opening", [b'{"model":"gpt","messages":', b'{"messages":', b""])
async def test_nesting_deeper_than_any_stack_is_refused_and_harms_nobody(world: World, opening: bytes) -> None:
    for bracket in (b"[", b'{"a":'):
        assert (await world.post(opening + bracket * 200_000)).status == 400

    assert await world.is_alive()
    assert world.proxy.log("internal error") == []


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", ""]
)
async def test_only_json_is_taken_so_that_no_html_form_can_send_a_request(world: World, media_type: str) -> None:
    answer = await world.ask(request(content_type=media_type.encode() or None))

    assert (answer.status, answer.code) == (415, "unsupported_media_type")
    assert world.provider.records == []


async def test_json_with_a_charset_is_json(world: World) -> None:
    assert (await world.post(QUESTION, **{"content-type": "Application/JSON; charset=UTF-8"})).status == 200


async def test_a_body_in_a_coding_that_nobody_knows_is_refused(world: World) -> None:
    answer = await world.post(gzip.compress(QUESTION), **{"content-encoding": "compress"})

    assert (answer.status, answer.code) == (415, "unsupported_encoding")


async def test_a_body_that_is_announced_as_too_large_is_refused_before_it_comes(world: World) -> None:
    answer = await world.ask(request(b"", content_length=b"%d" % (MAX_BODY_BYTES + 1), expect=b"100-continue"))

    assert (answer.status, answer.code) == (413, "request_too_large")


async def test_a_chunked_body_is_refused_once_it_is_too_large(world: World) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * (MAX_BODY_BYTES // 32)

    answer = await world.post(endless())

    assert (answer.status, answer.code) == (413, "request_too_large")
    assert world.provider.records == []


async def test_an_sdk_that_sends_too_much_reads_why(world: World) -> None:
    """It writes all before it reads: closing on it at once would look like a broken connection, and be retried."""
    async with openai.AsyncOpenAI(api_key="k", base_url=world.proxy.url, max_retries=0) as client:
        with pytest.raises(openai.APIError) as caught:
            await client.chat.completions.create(
                model="gpt", messages=[{"role": "user", "content": "x" * (MAX_BODY_BYTES + 1_000_000)}]
            )

    assert isinstance(caught.value, openai.APIStatusError)
    assert caught.value.status_code == 413
    assert caught.value.code == "request_too_large"


# Request heads.


@pytest.mark.parametrize(
    "path",
    [
        CHAT,
        "/chat/completions",
        "/openai/v1/chat/completions",
        "/openai/chat/completions?api-version=2024-10-21",
        "/openai/deployments/gpt/chat/completions?api-version=2024-10-21",
        "/openai/deployments/g%70t/chat/completions",
    ],
)
async def test_the_chat_route_is_known_by_all_its_names(world: World, path: str) -> None:
    answer = await world.post(QUESTION, path)

    assert answer.status == 200
    assert [record.path for record in world.provider.records] == [CHAT]


async def test_the_query_goes_on_as_it_came_but_for_the_api_version(world: World) -> None:
    await world.ask(request(path=CHAT.encode() + b"?a=%2f%2F&api-version=1&b=+%20x&empty=&flag&a=again"))

    assert world.provider.records[0].path == f"{CHAT}?a=%2f%2F&b=+%20x&empty=&flag&a=again"


async def test_end_to_end_headers_go_on_and_those_of_the_connection_do_not(world: World) -> None:
    await world.ask(
        request(
            QUESTION,
            b"X-Twice: one",
            b"x-twice: two",
            b"X-Latin: caf\xe9",
            b"x-private: 1",
            b"keep-alive: timeout=5",
            b"te: trailers",
            b"trailer: x-sum",
            b"proxy-authorization: Basic abc",
            b"proxy-connection: keep-alive",
            b"accept-encoding: gzip, br",
            b"via: 1.1 gateway",
            b"sec-fetch-site: none",
            b"x-llmproxy-endpoint: gpt/9",
            connection=b"close, X-Private",
        )
    )

    (record,) = world.provider.records
    names = [name for name, _ in record.headers]
    assert [value for name, value in record.headers if name == "x-twice"] == ["one", "two"]
    assert record.header("x-latin") == "caf\xe9"
    assert record.header("accept-encoding") == "identity"
    assert record.header("host") == f"127.0.0.1:{world.provider.port}"
    stopped = {"x-private", "keep-alive", "te", "trailer", "via", "sec-fetch-site", "x-llmproxy-endpoint"}
    assert not (stopped | {"proxy-authorization", "proxy-connection"}) & set(names)
    assert (record.header("connection") or "keep-alive") == "keep-alive"


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1/models/gpt", "/health", "/health/live", "/health/ready"])
@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"host": b"evil.example"}, "host_not_allowed"),
        ({"host": b"localhost.evil.example:4000"}, "host_not_allowed"),
        ({"host": b"127.0.0.1.evil.example"}, "host_not_allowed"),
        ({"host": None}, "host_not_allowed"),
        ({"origin": b"https://evil.example"}, "origin_not_allowed"),
        ({"origin": b"null"}, "origin_not_allowed"),
        ({"origin": b"http://localhost:3000"}, "origin_not_allowed"),
    ],
)
async def test_foreign_hosts_and_web_pages_are_kept_out_everywhere(
    world: World, path: str, header: dict[str, Any], code: str
) -> None:
    method = b"POST" if path == CHAT else b"GET"

    answer = await world.ask(request(method=method, path=path.encode(), **header))

    if (path, code) == ("/health/live", "host_not_allowed"):  # load balancers ask by addresses
        assert (answer.status, answer.body) == (200, b'{"status":"ok"}')
        return
    assert (answer.status, answer.code) == (403, code)
    assert not [name for name, _ in answer.headers if name.startswith("access-control")]
    assert world.provider.records == []


@pytest.mark.parametrize("host", [b"localhost", b"LocalHost:1", b"127.0.0.1:4000", b"[::1]:4000", b"[::1]"])
async def test_loopback_names_are_let_in(world: World, host: bytes) -> None:
    assert (await world.ask(request(host=host))).status == 200


@pytest.mark.parametrize("hosts", [(b"evil.example", b"localhost"), (b"localhost", b"evil.example")])
async def test_two_hosts_are_one_too_many(world: World, hosts: tuple[bytes, bytes]) -> None:
    answer = await world.ask(request(QUESTION, b"host: " + hosts[1], host=hosts[0]))

    assert answer.status in (400, 403)
    assert world.provider.records == []


async def test_a_preflight_gives_no_web_page_leave(world: World) -> None:
    for path in (CHAT, "/v1/models"):
        answer = await world.ask(
            request(
                b"",
                b"access-control-request-method: POST",
                method=b"OPTIONS",
                path=path.encode(),
                origin=b"https://evil.example",
            )
        )

        assert not [name for name, _ in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("method", [b"PUT", b"PATCH", b"OPTIONS"])
async def test_the_wrong_method_is_405(world: World, method: bytes) -> None:
    answer = await world.ask(request(b"", method=method))

    assert (answer.status, answer.code) == (405, "method_not_allowed")


async def test_head_is_answered_without_a_body(world: World) -> None:
    answer = await world.ask(request(b"", method=b"HEAD"))

    assert (answer.status, answer.body) == (405, b"")
    assert world.provider.records == []


@pytest.mark.parametrize("path", ["/v1/models", "/health", "/health/live", "/health/ready", "/status"])
async def test_what_is_only_read_is_told_of_without_its_body(world: World, path: str) -> None:
    answer = await world.ask(request(b"", method=b"HEAD", path=path.encode()))
    whole = await world.ask(request(b"", method=b"GET", path=path.encode()))

    assert (answer.status, answer.body) == (200, b"")
    assert whole.status == 200
    assert whole.body


@pytest.mark.parametrize("path", ["/v1/models", "/health"])
async def test_what_is_only_for_reading_cannot_be_posted_to(world: World, path: str) -> None:
    answer = await world.post(b"{}", path)

    assert (answer.status, answer.code) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/V1/chat/completions",
        "/v1/../v1/chat/completions",
        "/openai/deployments",
        "/openai/deployments/",
        "/openai/deployments//chat/completions",
        "/openai/deployments/gpt/responses",
        "/etc/passwd",
    ],
)
async def test_an_unknown_path_is_404_in_openais_shape(world: World, path: str) -> None:
    answer = await world.ask(request(path=path.encode()))

    assert (answer.status, answer.code) == (404, "unknown_path")
    assert world.provider.records == []


# Replies.


async def relay(world: World, reply: bytes) -> Answer:
    """What the client gets when the upstream sends exactly these bytes."""
    world.fixed.reply = reply
    return await world.post(QUESTION.replace(b'"gpt"', b'"fixed"'))


async def test_a_reply_comes_back_byte_for_byte_with_its_end_to_end_headers(world: World) -> None:
    body = b' \r\n{"choices" : [ ],\t"x":1e400,"x":"\\u00e9 \xc3\xa9"}\n'
    answer = await relay(
        world,
        b"HTTP/1.1 200 Fine\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n"
        b"x-ratelimit-remaining-requests: 59\r\nx-ratelimit-reset-tokens: 6m0s\r\nopenai-processing-ms: 12\r\n"
        b'X-Request-ID: req_1\r\nWarning: one\r\nwarning: two\r\nETag: "a"\r\nX-Latin: caf\xe9\r\n'
        b"Set-Cookie: __cf_bm=x\r\nset-cookie: b=y\r\nStrict-Transport-Security: max-age=1\r\nAlt-Svc: h3\r\n"
        b"Access-Control-Allow-Origin: *\r\nKeep-Alive: timeout=5\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n"
        b"Proxy-Authenticate: Basic\r\nx-llmproxy-endpoint: forged\r\n\r\n%b" % (len(body), body),
    )

    assert (answer.status, answer.body) == (200, body)
    assert answer.all("content-length") == [str(len(body))]
    assert answer.all("content-type") == ["application/json; charset=utf-8"]
    relayed = ("x-ratelimit-remaining-requests", "x-ratelimit-reset-tokens", "openai-processing-ms", "x-request-id")
    assert [answer.all(name) for name in relayed] == [["59"], ["6m0s"], ["12"], ["req_1"]]
    assert answer.all("warning") == ["one", "two"]
    assert answer.all("etag") == ['"a"']
    assert answer.all("x-llmproxy-endpoint") == ["fixed/1"]
    stopped = {"set-cookie", "strict-transport-security", "alt-svc", "access-control-allow-origin", "x-hop"}
    assert not (stopped | {"keep-alive", "proxy-authenticate"}) & {name for name, _ in answer.headers}


async def test_an_upstreams_date_and_server_do_not_come_twice(world: World) -> None:
    answer = await relay(
        world,
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nserver: cloudflare\r\n"
        b"date: Mon, 23 Nov 2026 10:00:00 GMT\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER),
    )

    assert len(answer.all("server")) == 1
    assert len(answer.all("date")) == 1


async def test_a_chunked_reply_gets_a_length(world: World) -> None:
    answer = await relay(
        world,
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(ANSWER),
    )

    assert answer.body == ANSWER
    assert answer.all("content-length") == [str(len(ANSWER))]
    assert answer.all("transfer-encoding") == []


async def test_a_reply_that_was_packed_unasked_stays_packed_and_says_so(world: World) -> None:
    packed = gzip.compress(ANSWER, mtime=0)
    answer = await relay(
        world,
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n%b"
        % (len(packed), packed),
    )

    assert answer.body == packed
    assert answer.all("content-encoding") == ["gzip"]
    assert b"accept-encoding: identity" in world.fixed.head.lower()


async def test_an_errors_body_and_status_come_back_as_they_are(world: World) -> None:
    body = b'{ "error" : {"message":"no", "code":"odd"} , "more":[1] }'
    answer = await relay(
        world,
        b"HTTP/1.1 418 Teapot\r\ncontent-type: application/problem+json\r\nx-request-id: r\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(body), body),
    )

    assert (answer.status, answer.body) == (418, body)
    assert answer.all("content-type") == ["application/problem+json"]
    assert answer.all("x-request-id") == ["r"]


# The connection.


async def test_a_request_that_comes_byte_by_byte_is_understood(world: World) -> None:
    whole = request()

    answer = await world.ask(*[whole[at : at + 1] for at in range(len(whole))])

    assert answer.status == 200
    assert world.provider.records[0].body == QUESTION.replace(b'"gpt"', b'"gpt-sim"')


async def test_pipelined_requests_are_answered_in_order(world: World) -> None:
    nobody = QUESTION.replace(b'"gpt"', b'"nobody"')

    raw = await world.talk(request(connection=None) + request(nobody, connection=None) + request())

    statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", raw)]
    assert statuses == [200, 404, 200]
    assert len(world.provider.records) == 2


async def test_expect_100_continue_is_answered_and_goes_no_further(world: World) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.proxy.port)
    head = request(expect=b"100-continue").removesuffix(QUESTION)

    async with asyncio.timeout(30):
        writer.write(head)
        interim = await reader.readuntil(b"\r\n\r\n")
        writer.write(QUESTION)
        answer = parsed(await reader.read())
    writer.close()

    assert interim.startswith(b"HTTP/1.1 100")
    assert answer.status == 200
    assert world.provider.records[0].header("expect") is None


async def test_a_request_with_two_framings_smuggles_no_second_one(world: World) -> None:
    """RFC 9112, 6.3: refused, or read as chunked and the connection closed, so that no rest can pass for a request."""
    hidden = request(QUESTION.replace(b"gpt", b"same"))
    for extra in (b"transfer-encoding: chunked", b"Transfer-Encoding: identity, chunked"):
        for length in (len(QUESTION), 5, 0):
            framed = request(b"", extra, content_length=b"%d" % length, connection=None)
            raw = await world.talk(framed + chunked(QUESTION) + hidden)

            assert raw.count(b"HTTP/1.1 ") == 1
    assert "same" not in {record.model for record in world.provider.records}
    assert await world.is_alive()


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(request(QUESTION, b"content-length: 3"), id="two lengths"),
        pytest.param(request(content_length=b"+5"), id="signed length"),
        pytest.param(request(content_length=b"5, 6"), id="listed lengths"),
        pytest.param(request(chunked(QUESTION), content_length=None, transfer_encoding=b"xchunked"), id="coding"),
        pytest.param(request(chunked(QUESTION), content_length=None, transfer_encoding=b"chunked, x"), id="not last"),
        pytest.param(request(b"zz\r\n", content_length=None, transfer_encoding=b"chunked"), id="chunk size"),
        pytest.param(request(QUESTION, b"x-a : b"), id="space before colon"),
        pytest.param(request(QUESTION, b"x-a: b\r\n folded"), id="folded line"),
        pytest.param(request(QUESTION, b"x-a: b\0c"), id="nul"),
        pytest.param(request(QUESTION, b"x-a: " + b"a" * 200_000), id="header too long"),
        pytest.param(request(QUESTION, *[b"x-%d: %b" % (i, b"a" * 900) for i in range(200)]), id="too many headers"),
        pytest.param(b"NONSENSE\r\n\r\n", id="nonsense"),
    ],
)
async def test_malformed_requests_are_refused_and_reach_nobody(world: World, broken: bytes) -> None:
    raw = await world.talk(broken)

    assert raw == b"" or parsed(raw).status in (400, 413, 414, 431)
    assert world.provider.records == []
    assert await world.is_alive()


async def test_large_but_legal_headers_pass(world: World) -> None:
    headers = [b"x-large-%d: %b" % (i, b"a" * 900) for i in range(60)]

    assert (await world.ask(request(QUESTION, *headers))).status == 200
    assert world.provider.records[0].header("x-large-59") == "a" * 900


async def test_a_client_that_never_ends_its_headers_is_cut_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 1.0)
    reader, writer = await asyncio.open_connection("127.0.0.1", world.proxy.port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n")

    async with asyncio.timeout(60):
        raw = await reader.read()

    assert raw == b"" or parsed(raw).status == 408
    writer.close()


# Streams.

STREAM = QUESTION.replace(b'"max_tokens":4', b'"stream":true')


def timeless(stream: bytes) -> bytes:
    """A stream without what differs between two answers to the same question."""
    return re.sub(rb'"id":"[^"]*"|"created":\d+', b"", stream)


async def test_a_stream_has_a_streams_headers(world: World) -> None:
    async with world.http.post(world.proxy.url + CHAT, data=STREAM, headers=JSON) as reply:
        await reply.read()

    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.headers["x-accel-buffering"] == "no"
    assert "content-length" not in reply.headers
    assert reply.headers["x-llmproxy-endpoint"] == "gpt/1"


async def test_each_event_is_passed_on_as_it_comes(world: World) -> None:
    world.provider.change(tokens_per_second=10)
    async with world.http.post(world.proxy.url + CHAT, data=STREAM, headers=JSON) as reply:
        waiting = [
            world.provider.counts().in_flight
            async for line in reply.content
            if b'"content":"' in line and b'"content":""' not in line
        ]

    assert len(waiting) == 16
    # While the first words are read, the provider has not sent the last.
    assert waiting[:4] == [1, 1, 1, 1]


@pytest.mark.parametrize("size_bytes", [1, 7, 100])
@pytest.mark.parametrize("shape", [lambda body: body, lambda body: body.replace(b"gpt", b"same")])
async def test_events_cut_anywhere_on_the_way_come_out_whole_and_equal(
    world: World, size_bytes: int, shape: Callable[[bytes], bytes]
) -> None:
    expected = (await world.post(shape(STREAM))).body
    world.provider.set_faults([{"action": {"kind": "chop", "bytes": size_bytes, "delay_ms": 0}}])
    chunks: list[bytes] = []
    piece = b""
    async with world.http.post(world.proxy.url + CHAT, data=shape(STREAM), headers=JSON) as reply:
        async for data, is_end in reply.content.iter_chunks():
            piece += data
            if is_end:
                chunks.append(piece)
                piece = b""

    assert timeless(b"".join(chunks)) == timeless(expected)
    assert expected.endswith(b"data: [DONE]\n\n")
    assert all(chunk.endswith(b"\n\n") for chunk in chunks if chunk)


async def test_a_whole_reply_in_pieces_is_put_together(world: World) -> None:
    expected = (await world.post(QUESTION)).body
    world.provider.set_faults([{"action": {"kind": "chop", "bytes": 3, "delay_ms": 0}}])

    answer = await world.post(QUESTION)

    assert timeless(answer.body) == timeless(expected)


async def test_a_slow_reader_gets_the_whole_stream_and_the_provider_waits_for_it(world: World) -> None:
    world.provider.change(answer_tokens=100_000)
    try:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # else the kernel gives it up to 32 MB
        sock.connect(("127.0.0.1", world.proxy.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
        writer.write(request(STREAM))
        await reader.readuntil(b"\r\n\r\n")
        await eventually(lambda: world.provider.counts().in_flight == 1)
        # Nobody reads now: 100,000 events are more than the buffers on the way hold.
        await asyncio.sleep(0.5)
        in_flight = world.provider.counts().in_flight
        async with asyncio.timeout(60):
            rest = await reader.read()
        writer.close()
    finally:
        world.provider.change(answer_tokens=16)

    assert in_flight == 1
    assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
