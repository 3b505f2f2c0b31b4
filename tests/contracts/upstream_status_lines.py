"""The upstream contract, part 12: a reply is HTTP/1.1 or HTTP/1.0 by its own word (RFC 9112 sections 2.3 and 4)."""

from contextlib import suppress

from application.ports import Upstream, UpstreamFailed
from domain.failure import FailureKind
from tests.contracts.scripted_server import Peer, Script, ScriptedServer
from tests.contracts.upstream_calls import UpstreamBase, body_of, call, fetch

OTHERS = [
    *(b"HTTP/2.0 200 OK", b"HTTP/2 200 OK", b"HTTP/2 200", b"HTTP/3.0 200 OK", b"HTTP/3 200", b"HTTP/0.9 200 OK"),
    *(b"HTTP/1.2 200 OK", b"HTTP/1.9 200 OK", b"HTTP/11.1 200 OK", b"HTTP/1.10 200 OK", b"HTTP/1.01 200 OK"),
    *(b"HTTP/01.1 200 OK", b"HTTP/1.1.1 200 OK", b"HTTP/+1.1 200 OK", b"HTTP/-1.1 200 OK", b"HTTP/1,1 200 OK"),
    *(b"HTTP/1 200 OK", b"HTTP/1. 200 OK", b"HTTP/.1 200 OK", b"HTTP/ 200 OK", b"HTTP 200 OK", b"HTTP/x.y 200 OK"),
    *(b"http/1.1 200 OK", b"Http/1.1 200 OK", b"HTTPS/1.1 200 OK", b"XHTTP/1.1 200 OK", b"HTTP /1.1 200 OK"),
    *(b"RTSP/1.0 200 OK", b"RTSP/1.1 200 OK", b"ICE/1.0 200 OK", b"ICE/1.1 200 OK", b"ICY 200 OK", b"SIP/2.0 200 OK"),
    *(b"200 OK", b" HTTP/1.1 200 OK", b"\xef\xbb\xbfHTTP/1.1 200 OK", b"GET / HTTP/1.1", b"PRI * HTTP/2.0"),
    *(b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK", b"HTTP/1.1200 OK", b"HTTP/1.1 200OK", b"HTTP/1.1 OK 200", b"HTTP/1.1 "),
    *(b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 0200 OK", b"HTTP/1.1 +200 OK", b"HTTP/1.1 -200 OK"),
    b"HTTP/1.0 103 Hints\r\n\r\nHTTP/1.1 200 OK",
    *(b"HTTP/1.1 2e2 OK", b"HTTP/1.1 0xc8 OK", b"HTTP/1.1 000 OK", b"HTTP/1.1 099 OK", b"HTTP/1.1 200.0 OK"),
]
ALIKE = [b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200 HTTP/2.0 RTSP/1.0"]
WHOLE = b"\r\ncontent-length: 4\r\n\r\nevil"
STREAM = b"\r\ntransfer-encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"


def saying(sent: bytes, step: int) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*(sent[at : at + step] for at in range(0, len(sent), step)))
        with suppress(OSError):
            peer.finish()
        await peer.gone()

    return script


async def outcome(upstream: Upstream, url: str) -> object:
    """The kind of its failure, or the body of what is taken for a reply."""
    try:
        got = await upstream.send(call(url))
    except UpstreamFailed as failed:
        return failed.failure.kind
    return got.status, await body_of(got)


class StatusLineContract(UpstreamBase):
    async def test_any_other_status_line_is_no_reply(self, upstream: Upstream) -> None:
        wrong = {}
        for line in OTHERS:
            for rest in (WHOLE, STREAM):
                for before in (b"", HINTS):
                    async with ScriptedServer(saying(before + line + rest, 10_000)) as server:
                        got = await outcome(upstream, server.url())
                        if got is not FailureKind.JUNK:
                            wrong[before + line + rest] = got

        assert wrong == {}

    async def test_nor_is_it_one_byte_by_byte(self, upstream: Upstream) -> None:
        wrong = {}
        for line in OTHERS:
            async with ScriptedServer(saying(line + WHOLE, 1)) as server:
                got = await outcome(upstream, server.url())
                if got is not FailureKind.JUNK:
                    wrong[line] = got

        assert wrong == {}

    async def test_what_is_one_stays_one_however_it_is_cut_and_whatever_goes_before(self, upstream: Upstream) -> None:
        for line in ALIKE:
            for before in (b"", HINTS, HINTS * 3, b"HTTP/1.1 100 Continue\r\n\r\n"):
                for step in (1, 7, 40, 10_000):
                    async with ScriptedServer(saying(before + line + WHOLE, step)) as server:
                        assert await outcome(upstream, server.url()) == (200, b"evil"), (line, before, step)

    async def test_a_reply_cut_short_in_its_status_line_was_begun(self, upstream: Upstream) -> None:
        for sent in (b"H", b"HTTP/1", b"HTTP/1.1 ", HINTS + b"HTTP/1.1"):
            async with ScriptedServer(saying(sent, 100)) as server:
                assert await outcome(upstream, server.url()) is FailureKind.TRUNCATED, sent

    async def test_of_two_status_lines_on_one_connection_each_is_looked_at(self, upstream: Upstream) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood")
            await peer.request()
            await peer.send(b"HTTP/2.0 200 OK" + WHOLE)
            await peer.gone()

        async with ScriptedServer(script) as server:
            assert await fetch(upstream, call(server.url())) == b"good"
            assert await outcome(upstream, server.url()) is FailureKind.JUNK
            assert len(server.peers) == 1

    async def test_an_outbound_proxy_speaks_http_1_1_as_well(self) -> None:
        for line in (b"HTTP/2.0 200 OK", b"HTTP/0.9 200 OK", b"http/1.1 200 OK", b"RTSP/1.0 200 OK", b"200 OK"):
            async with (
                ScriptedServer(saying(line + b"\r\n\r\n", 100)) as between,
                self.opened(outbound_proxy=between.url("")) as upstream,
            ):
                assert await outcome(upstream, "https://h.test/v1") is FailureKind.CONNECT, line
