"""The httpx adapter keeps the upstream contract, on both event loops; and what only it promises."""

import gc
import logging
import ssl
from contextlib import suppress
from typing import Any

import httptools
import httpx
import pytest

from adapters.upstreams.http1.client import Http1Upstream
from adapters.upstreams.http1.connection import Connection
from adapters.upstreams.http1.reply import Http1Reply
from adapters.upstreams.http1.reply_reader import ReplyReader
from adapters.upstreams.httpx.client import HttpxUpstream
from adapters.upstreams.httpx.transport import Http1Transport
from application.ports import Upstream, UpstreamFailed
from domain.failure import FailureKind
from entrypoints.wiring.upstreams import spare_files
from tests.contracts.no_files import no_files
from tests.contracts.scripted_server import Peer, ScriptedServer, after_request, answering, chunked, reply
from tests.contracts.upstream import UpstreamContract
from tests.contracts.upstream_calls import UpstreamBase, body_of, call, failure_of, fetch, until_waiting
from tests.integration.harness import eventually
from tests.integration.other_process import other_process

_TRUST_NOTHING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class TestHttpxUpstream(UpstreamContract):
    on_both_loops = True

    def make(self, **options: Any) -> HttpxUpstream:
        return HttpxUpstream(**{"ssl_context": _TRUST_NOTHING} | options)


class TestHttpxBeyond(UpstreamBase):
    """Beyond the contract: httpx adds nothing and keeps nothing, and http1's bounds hold below it."""

    on_both_loops = True

    def make(self, **options: Any) -> HttpxUpstream:
        return HttpxUpstream(**{"ssl_context": _TRUST_NOTHING} | options)

    async def test_credentials_in_a_url_do_not_become_a_header(self, upstream: Upstream) -> None:
        async with ScriptedServer(answering(reply())) as server:
            await fetch(upstream, call(server.url().replace("://", "://user:secret@")))

            assert sorted(name.lower() for name, _ in server.requests[0].headers) == [b"content-length", b"host"]

    @pytest.mark.parametrize("location", ["http://[", "http://h:x/", "//\xff\xfe", "a b<>", "ftp://x", "", "http:///x"])
    async def test_no_location_makes_a_redirect_anything_but_a_reply(self, upstream: Upstream, location: str) -> None:
        moved = reply(b"moved", f"location: {location}", status="302 Found")
        async with ScriptedServer(answering(moved)) as server:
            got = await upstream.send(call(server.url()))

            assert (got.status, await body_of(got)) == (302, b"moved")
            assert len(server.requests) == 1

    async def test_a_path_longer_than_httpx_takes_goes_out_whole(self, upstream: Upstream) -> None:
        async def script(peer: Peer) -> None:
            seen.append(await peer.take(len(line)))
            await peer.send(reply())
            await peer.gone()

        seen: list[bytes] = []
        path = "/" + "x" * 70_000
        line = f"POST {path} HTTP/1.1\r\n".encode()
        async with ScriptedServer(script) as server:
            assert await fetch(upstream, call(server.url(path))) == b"ok"

        assert seen == [line]

    async def test_no_request_is_written_down_by_httpx(
        self, upstream: Upstream, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO):
            async with ScriptedServer(answering(reply())) as server:
                await fetch(upstream, call(server.url("/v1?api-key=secret")))

        assert caplog.records == []

    async def test_without_files_idle_connections_make_room_for_a_new_one(self, upstream: Upstream) -> None:
        async with other_process() as url, ScriptedServer(answering(reply())) as server:
            await fetch(upstream, call(server.url()))
            with no_files():
                assert await fetch(upstream, call(url)) == b"other"
                await eventually(lambda: server.open == 0)

    async def test_an_idle_connection_makes_room_for_a_client(self, upstream: HttpxUpstream) -> None:
        async with ScriptedServer(answering(reply())) as server:
            await fetch(upstream, call(server.url()))

            free = spare_files(upstream)
            assert free is not None
            assert free()
            await server.over(0)
            assert not free()

    async def test_nothing_is_sent_after_close(self, upstream: Upstream) -> None:
        async with ScriptedServer(answering(reply())) as server:
            await upstream.close()

            assert (await failure_of(fetch(upstream, call(server.url())))).kind is FailureKind.RESET
            assert server.requests == []

    async def test_nothing_stays_of_a_connection_that_has_gone_and_no_collector_is_needed(self) -> None:
        def alive() -> int:
            return sum(isinstance(each, kinds) for each in gc.get_objects())

        kinds = (Connection, ReplyReader, Http1Reply, httptools.HttpResponseParser, httpx.Response)
        gc.collect()
        gc.disable()
        before = alive()
        try:
            for sent in (reply(), chunked(b"a", end=b""), b"HTTP/1.1 200 OK\r\nx", b"junk\r\n\r\n"):
                upstream = self.make()
                async with ScriptedServer(after_request(sent, then=Peer.finish)) as server:
                    for _ in range(3):
                        with suppress(UpstreamFailed):
                            await fetch(upstream, call(server.url()))
                    await upstream.close()
                await until_waiting()
            assert alive() <= before
        finally:
            gc.enable()


class TestHttp1Transport:
    """Below a client that knows nothing of it."""

    on_both_loops = True

    async def test_a_plain_client_of_httpx_works_over_it(self) -> None:
        async def pieces() -> Any:
            yield b"ab"
            yield b""
            yield b"c"

        async with (
            ScriptedServer(answering(reply(b"one", "x-a: 1"), chunked(b"t", b"wo"), reply(b"three"))) as server,
            httpx.AsyncClient(transport=Http1Transport(Http1Upstream()), base_url=server.url("")) as client,
        ):
            first = await client.get("/a b?q=\xe9")
            async with client.stream("POST", "/s", content=pieces()) as second:
                streamed = [piece async for piece in second.aiter_raw()]
            third = await client.post("/j", json={"a": 1}, timeout=None)

            assert (first.status_code, first.text, first.headers["x-a"]) == (200, "one", "1")
            assert (b"".join(streamed), third.text) == (b"two", "three")
            assert [request.line for request in server.requests] == [
                b"GET /a%20b?q=%C3%A9 HTTP/1.1",
                b"POST /s HTTP/1.1",
                b"POST /j HTTP/1.1",
            ]
            assert [request.body for request in server.requests] == [b"", b"abc", b'{"a":1}']
            assert len(server.peers) == 1

    @pytest.mark.parametrize(
        ("sent", "error"),
        [
            (b"junk\r\n\r\n", httpx.RemoteProtocolError),
            (chunked(b"a", end=b"zz\r\n"), httpx.RemoteProtocolError),
            (b"", httpx.ReadTimeout),
            (chunked(b"a", end=b""), httpx.ReadTimeout),
        ],
    )
    async def test_it_raises_what_transports_of_httpx_raise(self, sent: bytes, error: type[Exception]) -> None:
        async with (
            ScriptedServer(after_request(sent)) as server,
            httpx.AsyncClient(transport=Http1Transport(Http1Upstream()), timeout=0.3) as client,
        ):
            with pytest.raises(error):
                await client.get(server.url())
            await server.over(0)

    @pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "https://127.0.0.1:1/"])
    async def test_it_says_so_when_nobody_listens(self, url: str) -> None:
        async with httpx.AsyncClient(transport=Http1Transport(Http1Upstream())) as client:
            with pytest.raises(httpx.ConnectError, match="connection refused"):
                await client.get(url)

    async def test_a_response_that_is_closed_before_its_end_lets_go_of_its_connection(self) -> None:
        async with (
            ScriptedServer(after_request(chunked(b"a", end=b""))) as server,
            httpx.AsyncClient(transport=Http1Transport(Http1Upstream())) as client,
        ):
            async with client.stream("GET", server.url()) as response:
                assert response.status_code == 200
            await server.over(0)
