"""Any transport of httpx can be mounted beside http1, and is held to the same port."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from adapters.upstreams.httpx.client import HttpxUpstream
from application.messages import ClientLeft
from domain.failure import FailureKind
from tests.contracts.scripted_server import Peer, ScriptedServer, after_request, answering, chunked, hold, reply
from tests.contracts.upstream_calls import body_of, call, cancel, failure_of, fetch, other_tasks, until_waiting
from tests.contracts.upstream_uploads import Pieces, forever, upload, whole
from tests.integration.composed import composed
from tests.integration.raw_http import JSON

SOON_S = 0.2
ANSWER = {
    "id": "c", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "mounted"}}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}  # fmt: skip


class Talking(httpx.AsyncByteStream):
    """A body of these pieces; a callable among them is awaited, an exception is raised."""

    def __init__(self, *pieces: Any) -> None:
        self._pieces = pieces
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, bytes):
                yield piece
            else:
                await piece()

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.closed += 1


class Mounted(httpx.AsyncBaseTransport):
    """Answers everything with what it is given: a response, an exception, or what is to be awaited first."""

    def __init__(self, *answers: Any) -> None:
        self._answers = answers
        self.requests: list[httpx.Request] = []
        self.closed = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        for answer in self._answers:
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer, httpx.Response):
                return answer
            await answer()
        await request.aread()
        return httpx.Response(200, content=request.content)

    async def aclose(self) -> None:
        self.closed += 1


@pytest.fixture
async def upstreams() -> AsyncIterator[Any]:
    """Makes an adapter with this mounted for everything; all are closed in the end, and nothing is left of them."""
    made = []

    def make(transport: httpx.AsyncBaseTransport, pattern: str = "all://") -> HttpxUpstream:
        made.append(HttpxUpstream(mounts={pattern: transport}))
        return made[-1]

    before = other_tasks()
    yield make
    for each in made:
        await each.close()
    assert other_tasks() <= before


URL = "https://h.test/v1/chat/completions?a=1"


async def test_a_request_reaches_what_is_mounted_as_it_would_go_over_the_wire(upstreams: Any) -> None:
    mounted = Mounted()
    lies = (("x-A", "caf\xe9"), ("x-A", "2"), ("content-length", "1"), ("host", "evil.test"), ("connection", "close"))

    assert await fetch(upstreams(mounted), call(URL, headers=lies, body=b"12345")) == b"12345"

    request = mounted.requests[0]
    assert (request.method, str(request.url)) == ("POST", URL)
    assert request.extensions["target"] == b"/v1/chat/completions?a=1"
    assert sorted(request.headers.raw) == [
        (b"content-length", b"5"), (b"host", b"h.test"), (b"x-A", b"2"), (b"x-A", b"caf\xe9")
    ]  # fmt: skip


async def test_only_what_a_pattern_names_goes_there_and_the_rest_over_http1(upstreams: Any) -> None:
    mounted = Mounted(httpx.Response(200, content=b"mounted"))
    async with ScriptedServer(answering(reply(b"wire"))) as server:
        upstream = upstreams(mounted, "all://*.test")

        assert await fetch(upstream, call(URL)) == b"mounted"
        assert await fetch(upstream, call(server.url())) == b"wire"
        assert len(mounted.requests) == 1


async def test_none_in_place_of_a_transport_is_http1() -> None:
    upstream = HttpxUpstream(mounts={"all://": Mounted(), "all://127.0.0.1": None})
    async with ScriptedServer(answering(reply(b"wire"))) as server:
        assert await fetch(upstream, call(server.url())) == b"wire"
    await upstream.close()


async def test_status_headers_and_pieces_come_as_they_are(upstreams: Any) -> None:
    body = Talking(b"a", b"", b"bc")
    headers = [(b"X-A", b"caf\xe9"), (b"content-encoding", b"gzip"), (b"location", b"http://["), (b"x-a", b"2")]
    got = await upstreams(Mounted(httpx.Response(302, headers=headers, stream=body))).send(call(URL))

    assert got.status == 302
    assert got.headers == (
        ("x-a", "caf\xe9"), ("content-encoding", "gzip"), ("location", "http://["), ("x-a", "2")
    )  # fmt: skip
    assert [await got.receive() for _ in range(4)] == [b"a", b"bc", b"", b""]
    assert body.closed == 1


async def test_an_application_can_stand_in_for_a_provider(upstreams: Any) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 201, "headers": [(b"x-path", scope["raw_path"])]})
        await send({"type": "http.response.body", "body": body})

    got = await upstreams(httpx.ASGITransport(application)).send(call("http://h.test/a%2Fb", body=b"body"))

    assert (got.status, got.headers, await body_of(got)) == (201, (("x-path", "/a%2Fb"),), b"body")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError("secret"), FailureKind.CONNECT),
        (httpx.ConnectTimeout("secret"), FailureKind.CONNECT_TIMEOUT),
        (httpx.ReadTimeout("secret"), FailureKind.FIRST_BYTE_TIMEOUT),
        (httpx.PoolTimeout("secret"), FailureKind.LOCAL),
        (httpx.RemoteProtocolError("secret"), FailureKind.JUNK),
        (ConnectionResetError(), FailureKind.RESET),
    ],
    ids=repr,
)
async def test_its_exceptions_are_failures(upstreams: Any, error: Exception, kind: FailureKind) -> None:
    assert (await failure_of(upstreams(Mounted(error)).send(call(URL)))).kind is kind


async def test_a_defect_of_what_is_mounted_is_not_dressed_up(upstreams: Any) -> None:
    with pytest.raises(KeyError):
        await upstreams(Mounted(KeyError("defect"))).send(call(URL))


async def test_the_first_byte_deadline_holds_for_it(upstreams: Any) -> None:
    failure = await failure_of(upstreams(Mounted(forever)).send(call(URL, first_byte_s=SOON_S)))

    assert failure.kind is FailureKind.FIRST_BYTE_TIMEOUT


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (forever, FailureKind.IDLE_TIMEOUT),
        (httpx.ReadTimeout("secret"), FailureKind.IDLE_TIMEOUT),
        (httpx.ReadError("secret"), FailureKind.RESET),
        (httpx.RemoteProtocolError("secret"), FailureKind.JUNK),
    ],
    ids=["silence", "timeout", "reset", "junk"],
)
async def test_a_body_that_breaks_gives_what_came_and_never_looks_whole(
    upstreams: Any, last: Any, kind: FailureKind
) -> None:
    body = Talking(b"a", last)
    got = await upstreams(Mounted(httpx.Response(200, stream=body))).send(call(URL, idle_s=SOON_S))

    assert await got.receive() == b"a"
    assert (await failure_of(got.receive())).kind is kind
    assert (await failure_of(got.receive())).kind is FailureKind.RESET
    got.close()
    await until_waiting()
    assert body.closed == 1


async def test_a_reply_is_let_go_of_without_waiting_and_close_waits_for_what_is_left() -> None:
    body, mounted = Talking(b"a", forever), Mounted()
    mounted._answers = (httpx.Response(200, stream=body),)
    upstream = HttpxUpstream(mounts={"all://": mounted})
    got = await upstream.send(call(URL))
    got.close()
    got.close()
    await upstream.close()

    assert (body.closed, mounted.closed) == (1, 1)


async def test_a_cancelled_call_lets_go(upstreams: Any) -> None:
    body = Talking(b"a", forever)
    for mounted in (Mounted(forever), Mounted(httpx.Response(200, stream=body))):
        task = asyncio.create_task(fetch(upstreams(mounted), call(URL)))
        await until_waiting()
        await cancel(task)
    await until_waiting()

    assert body.closed == 1


@pytest.mark.parametrize("known", [True, False])
async def test_an_upload_is_streamed_to_it(upstreams: Any, known: bool) -> None:
    mounted = Mounted()
    body = whole(b"abc", b"de") if known else Pieces(b"abc", b"de")

    assert await fetch(upstreams(mounted), upload(URL, body)) == b"abcde"
    framing = {name.lower(): value for name, value in mounted.requests[0].headers.raw}
    assert framing.get(b"content-length" if known else b"transfer-encoding") == (b"5" if known else b"chunked")
    assert framing[b"host"] == b"h.test"


async def test_an_upload_may_take_longer_than_any_deadline_and_its_silent_client_is_to_blame(upstreams: Any) -> None:
    pause = lambda: asyncio.sleep(SOON_S)  # noqa: E731
    slow = Pieces(*[b"x", pause] * 4, length=4)
    silent = Pieces(b"abc", forever, length=5)

    assert await fetch(upstreams(Mounted()), upload(URL, slow, first_byte_s=2 * SOON_S, idle_s=600)) == b"xxxx"
    with pytest.raises(ClientLeft):
        await upstreams(Mounted()).send(upload(URL, silent, first_byte_s=600, idle_s=SOON_S))


class TestHttpcore:
    """httpx's own transport, on real sockets."""

    @pytest.fixture
    async def upstream(self) -> AsyncIterator[HttpxUpstream]:
        before = other_tasks()
        upstream = HttpxUpstream(mounts={"all://": httpx.AsyncHTTPTransport()})
        yield upstream
        await upstream.close()
        assert other_tasks() <= before

    async def test_calls_go_out_byte_for_byte_and_connections_are_used_again(self, upstream: HttpxUpstream) -> None:
        async with ScriptedServer(answering(reply(), chunked(b"o", b"k"))) as server:
            target = "/v1/a%2Fb//c/../d?&a[]={|}"
            for body in (b"{}", whole(b"a", b"b"), Pieces(b"ab")):
                assert await fetch(upstream, replace(call(server.url(target)), body=body)) == b"ok"

            assert [each.line for each in server.requests] == [b"POST " + target.encode() + b" HTTP/1.1"] * 3
            assert [each.body for each in server.requests] == [b"{}", b"ab", b"ab"]
            assert len(server.peers) == 1

    @pytest.mark.parametrize(
        ("script", "kind"),
        [
            (after_request(b"SSH-2.0\r\n\r\n"), FailureKind.JUNK),
            (after_request(then=Peer.reset), FailureKind.RESET),
            (after_request(chunked(b"a", end=b"zz\r\n")), FailureKind.JUNK),
            (hold, FailureKind.FIRST_BYTE_TIMEOUT),
            (after_request(chunked(b"a", end=b"")), FailureKind.IDLE_TIMEOUT),
        ],
        ids=["junk", "reset", "junk in the body", "silence", "silence in the body"],
    )
    async def test_it_fails_as_the_port_says(self, upstream: HttpxUpstream, script: Any, kind: FailureKind) -> None:
        async with ScriptedServer(script, answering(reply(b"next"))) as server:
            assert (await failure_of(fetch(upstream, call(server.url(), first_byte_s=0.3, idle_s=0.3)))).kind is kind
            await server.over(0)
            assert await fetch(upstream, call(server.url())) == b"next"

    async def test_nobody_there(self, upstream: HttpxUpstream) -> None:
        failure = await failure_of(upstream.send(call("http://127.0.0.1:1/v1")))

        assert (failure.kind, failure.reason) == (FailureKind.CONNECT, "connection refused")


async def test_the_whole_proxy_answers_through_a_mounted_transport(tmp_path: Path) -> None:
    def provider(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json=ANSWER)

    asked: list[httpx.Request] = []
    params = {"base_url": "https://api.test/v1", "api_key": "key"}
    settings = {"model_groups": [{"model_group": "gpt", "models": [{"model": "m", "params": params}]}]}
    client = HttpxUpstream(mounts={"https://api.test": httpx.MockTransport(provider)})
    async with composed(tmp_path, settings, client) as proxy:
        body = json.dumps({"model": "gpt", "messages": [{"role": "user", "content": "Hi"}]}).encode()
        answer = await proxy.ask("POST", "/v1/chat/completions", JSON, body=body)

    assert (answer.status, json.loads(answer.body)) == (200, ANSWER)
    assert [str(request.url) for request in asked] == ["https://api.test/v1/chat/completions"]
    assert asked[0].headers["authorization"] == "Bearer key"
    assert json.loads(asked[0].content)["model"] == "m"
