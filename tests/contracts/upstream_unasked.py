"""The upstream contract, part 9: what is said before anything was asked is nobody's answer."""

import asyncio
import ssl

import pytest

from application.ports import Upstream, UpstreamFailed
from domain.failure import FailureKind
from tests.contracts.scripted_server import Peer, Script, ScriptedServer, after_request, answering, chunked, reply
from tests.contracts.upstream_calls import UpstreamBase, body_of, call, failure_of, fetch
from tests.contracts.upstream_tls import certificate
from tests.contracts.upstream_uploads import Pieces, forever, upload

UNASKED = {
    "a whole reply": reply(b"evil"),
    "a chunked reply": chunked(b"evil"),
    "a redirect": reply(b"", "location: /evil", status="302 Found"),
    "headers": b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nx-evil: ",
    "a byte": b"H",
    "go on": b"HTTP/1.1 100 Continue\r\n\r\n",
    "go on, and a reply": b"HTTP/1.1 100 Continue\r\n\r\n" + reply(b"evil"),
    "a blank line and a reply": b"\r\n" + reply(b"evil"),
    "two replies": reply(b"late", status="503 Busy").replace(b"HTTP", b"\r\nHTTP") + reply(b"evil"),
    "junk": b"\0\1\2",
}
unasked = pytest.mark.parametrize("said", UNASKED.values(), ids=UNASKED.keys())
some = pytest.mark.parametrize("said", [reply(b"evil"), b"H"], ids=["a whole reply", "a byte"])


def speaking_first(said: bytes) -> Script:
    """Answers as well, when it is asked after all."""

    async def script(peer: Peer) -> None:
        await peer.send(said)
        while True:
            await peer.request()
            await peer.send(reply(b"late"))

    return script


class UnaskedContract(UpstreamBase):
    @unasked
    async def test_a_reply_before_any_request_is_given_to_nobody(self, upstream: Upstream, said: bytes) -> None:
        async with ScriptedServer(speaking_first(said), answering(reply(b"good"))) as server:
            failure = await failure_of(fetch(upstream, call(server.url())))

            assert failure.kind in (FailureKind.JUNK, FailureKind.RESET)
            assert await fetch(upstream, call(server.url())) == b"good"
            assert len(server.peers) == 2

    @some
    async def test_a_reply_before_an_upload_is_given_to_nobody_and_nothing_is_sent(
        self, upstream: Upstream, said: bytes
    ) -> None:
        async def script(peer: Peer) -> None:
            await peer.send(said)
            sent.append(await peer.rest())

        sent: list[int] = []
        async with ScriptedServer(script, answering(reply(b"good"))) as server:
            failure = await failure_of(upstream.send(upload(server.url(), Pieces(b"x" * 100, forever, length=200))))
            await server.over(0)

            assert failure.kind in (FailureKind.JUNK, FailureKind.RESET)
            assert sent == [0]
            assert await fetch(upstream, call(server.url())) == b"good"

    async def test_a_reply_before_any_request_is_given_to_nobody_over_tls_either(self) -> None:
        tls, trusting = certificate.__wrapped__("IP:127.0.0.1")
        async with self.opened(ssl_context=trusting) as upstream:
            await self._over_tls(upstream, tls)

    async def _over_tls(self, upstream: Upstream, tls: ssl.SSLContext) -> None:
        async with ScriptedServer(speaking_first(reply(b"evil")), answering(reply(b"good")), tls=tls) as server:
            failure = await failure_of(fetch(upstream, call(server.url())))

            assert failure.kind in (FailureKind.JUNK, FailureKind.RESET)
            assert await fetch(upstream, call(server.url())) == b"good"

    @some
    async def test_a_reply_on_an_idle_connection_is_given_to_nobody(self, upstream: Upstream, said: bytes) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(reply(b"first"))
            await go_on.wait()
            await peer.send(said)
            await peer.gone()

        go_on = asyncio.Event()
        async with ScriptedServer(script, answering(reply(b"good"))) as server:
            assert await fetch(upstream, call(server.url())) == b"first"
            go_on.set()
            await server.over(0)

            assert await fetch(upstream, call(server.url())) == b"good"

    @pytest.mark.parametrize("status", ["408 Request Timeout", "400 Bad Request", "503 Busy"])
    async def test_an_error_on_an_idle_connection_only_ends_it(self, upstream: Upstream, status: str) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(reply(b"first"))
            await go_on.wait()
            await peer.send(reply(b"late", "connection: close", status=status))
            await peer.gone()

        go_on = asyncio.Event()
        async with ScriptedServer(script, answering(reply(b"good"))) as server:
            assert await fetch(upstream, call(server.url())) == b"first"
            go_on.set()
            await server.over(0)

            assert await fetch(upstream, call(server.url())) == b"good"

    async def test_an_error_before_the_body_of_an_upload_has_come_is_its_reply(self, upstream: Upstream) -> None:
        async def refuse(peer: Peer) -> None:
            await peer.head()
            await peer.send(reply(b"too large", status="413 Too Large"))
            await peer.rest()

        async with ScriptedServer(refuse, after_request(reply(b"good"))) as server:
            try:
                got = await upstream.send(upload(server.url(), Pieces(b"x" * 100, forever, length=200)))
            except UpstreamFailed as failed:
                pytest.fail(str(failed))

            assert (got.status, await body_of(got)) == (413, b"too large")
            assert await fetch(upstream, call(server.url())) == b"good"
