"""Both upstream adapters make the same of the same bytes: status, headers, body, and how it ended.

Where they differ, `excuse` says how and why; anything else fails.
"""

import asyncio
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings

from adapters.upstreams.http1.client import Http1Upstream
from adapters.upstreams.httpx_client import HttpxUpstream
from application.messages import Headers
from application.ports import Upstream, UpstreamFailed
from domain.failure import Failure
from tests.contracts.reply_scripts import Played, broken, good, playing
from tests.contracts.scripted_server import Peer, ScriptedServer, after_request, answering, chunked, hold, reply
from tests.contracts.upstream_calls import call, open_sockets, other_tasks
from tests.contracts.upstream_tls import certificate

EXAMPLES = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
)


class Outcome(NamedTuple):
    status: int
    headers: Headers
    body: bytes
    ended: str
    """`whole`, or the kind and reason of the failure."""
    is_used_again: bool


async def outcome(upstream: Upstream, server: ScriptedServer, method: str = "POST", **deadlines: float) -> Outcome:
    """One call, and whether the next one uses its connection."""
    status, headers, body, ended = 0, (), b"", "whole"
    try:
        got = await upstream.send(call(server.url(), method, **deadlines))
        status, headers = got.status, got.headers
        while piece := await got.receive():
            body += piece
        got.close()
    except UpstreamFailed as failed:
        ended = str(failed)
    await asyncio.sleep(0.002)
    opened = len(server.peers)
    with suppress(UpstreamFailed):
        (await upstream.send(call(server.url(), "GET", **deadlines))).close()
    return Outcome(status, headers, body, ended, len(server.peers) == opened)


async def both(played: Played) -> tuple[Outcome, Outcome]:
    """What http1 makes of it, and what httpx does. Neither may leave anything behind."""
    outcomes = []
    tasks, sockets = other_tasks(), open_sockets()
    for upstream in (Http1Upstream(), HttpxUpstream()):
        async with ScriptedServer(playing(played)) as server:
            try:
                outcomes.append(await outcome(upstream, server, played.method))
            finally:
                await upstream.close()
        for _ in range(200):
            if open_sockets() <= sockets and other_tasks() <= tasks:
                break
            await asyncio.sleep(0.005)

        assert open_sockets() <= sockets
        assert other_tasks() <= tasks
    return outcomes[0], outcomes[1]


JUNK = "junk_reply"


def excuse(http1: Outcome, httpx: Outcome) -> str | None:
    """Why they may differ in this way; None = they may not."""
    if http1[:4] == httpx[:4]:
        # HEAD answered with `transfer-encoding`: whether chunks follow, servers do not agree on.
        return "http1 keeps fewer connections" if not http1.is_used_again else None
    if http1.is_used_again:
        return None
    if http1.ended.startswith(JUNK) and not httpx.ended.startswith(JUNK):
        # aiohttp runs llhttp in its lenient mode (bare line feeds, control characters, any transfer coding).
        return "http1 refuses what could be read in two ways"
    if http1.ended.startswith(JUNK) and httpx.ended.startswith(JUNK):
        # One segment held headers and, later, junk: aiohttp gives nothing of it.
        return "http1 gives what came before the junk" if http1.body.startswith(httpx.body) else None
    if http1.ended == "whole" and httpx.ended.startswith(JUNK):
        # The same, with junk after the end of the reply.
        return "http1 gives a reply that was whole before the junk" if not httpx.status else None
    return None


class TestUpstreamsAlike:
    on_both_loops = True

    @settings(EXAMPLES, max_examples=40)
    @given(played=good())
    async def test_good_replies_are_the_same(self, played: Played) -> None:
        http1, httpx = await both(played)

        assert http1.ended == "whole"
        assert http1[:4] == httpx[:4]
        assert http1.is_used_again == httpx.is_used_again or excuse(http1, httpx)

    @settings(EXAMPLES, max_examples=60)
    @given(played=broken())
    async def test_broken_replies_are_the_same_or_http1_is_stricter(self, played: Played) -> None:
        http1, httpx = await both(played)

        assert http1 == httpx or excuse(http1, httpx)

    @pytest.mark.parametrize(
        "script",
        [
            pytest.param(hold, id="silence"),
            pytest.param(after_request(b"HTTP/1.1 200 OK\r\nx-a: "), id="silence in the headers"),
            pytest.param(after_request(b"HTTP/1.1 103 Hints\r\n\r\n"), id="silence after an interim reply"),
            pytest.param(after_request(chunked(b"a", end=b"")), id="silence in the body"),
            pytest.param(after_request(reply(b"abc")[:-1]), id="silence before the last byte"),
            pytest.param(Peer.gone, id="silence before the request is read"),
        ],
    )
    async def test_silences_are_the_same(self, script: Any) -> None:
        outcomes = []
        for upstream in (Http1Upstream(), HttpxUpstream()):
            async with ScriptedServer(script, answering(reply())) as server:
                outcomes.append(await outcome(upstream, server, first_byte_s=0.3, idle_s=0.3))
                await server.over(0)
                await upstream.close()

        assert outcomes[0] == outcomes[1]
        assert outcomes[0].ended.split()[0] in ("first_byte_timeout", "idle_timeout")

    @pytest.mark.parametrize("end", [Peer.finish, Peer.reset, Peer.abort])
    @pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 2", reply(b"abc")[:-1], chunked(b"a", end=b""), b"junk\r\n\r\n"])
    @pytest.mark.parametrize("encrypted", [False, True])
    async def test_ends_are_the_same(self, end: Any, sent: bytes, encrypted: bool) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(sent)
            await asyncio.sleep(0.05)
            end(peer)
            await peer.gone()

        tls, trusting = certificate("IP:127.0.0.1") if encrypted else (None, None)
        if encrypted and end == Peer.finish:
            end = Peer.abort  # TLS has no half-closed connections
        outcomes = []
        for upstream in (Http1Upstream(ssl_context=trusting), HttpxUpstream(ssl_context=trusting)):
            async with ScriptedServer(script, answering(reply()), tls=tls) as server:
                outcomes.append(await outcome(upstream, server))
                await upstream.close()

        assert outcomes[0] == outcomes[1]
        assert outcomes[0].ended != "whole"

    @pytest.mark.parametrize(
        ("url", "proxy"),
        [
            ("http://127.0.0.1:1/v1", None),
            ("https://127.0.0.1:1/v1", None),
            ("http://[::1]:1/v1", None),
            ("http://localhost:1/v1", None),
            ("http://h.invalid/v1", "http://127.0.0.1:1"),
            ("https://h.invalid/v1", "http://127.0.0.1:1"),
            ("ftp://127.0.0.1/v1", None),
            ("http:///v1", None),
            ("http://h.test:x/v1", None),
            ("http://h.test:99999/v1", None),
            ("v1", None),
        ],
    )
    async def test_failures_to_connect_are_the_same(self, url: str, proxy: str | None) -> None:
        failures: list[Failure] = []
        for upstream in (Http1Upstream(outbound_proxy=proxy), HttpxUpstream(outbound_proxy=proxy)):
            with pytest.raises(UpstreamFailed) as failed:
                await upstream.send(call(url))
            failures.append(failed.value.failure)
            await upstream.close()

        assert failures[0] == failures[1]

    @pytest.mark.parametrize("target", ["/v1/x?a=1&b", "", "?a=1", "/p#f", "/a%2Fb//c/../d?"])
    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"])
    @pytest.mark.parametrize("body", [b"", b"{}"])
    async def test_requests_are_the_same(self, target: str, method: str, body: bytes) -> None:
        headers = (("x-a", "1"), ("host", "evil.test"), ("x-b", "caf\xe9"), ("content-length", "9"), ("x-a", "2"))
        seen = []
        async with ScriptedServer(answering(b"HTTP/1.1 204 No Content\r\n\r\n")) as server:
            for upstream in (Http1Upstream(), HttpxUpstream()):
                (await upstream.send(call(server.url(target), method, headers, body))).close()
                await upstream.close()
                request = server.requests[-1]
                seen.append((request.line, [(name.lower(), value) for name, value in request.headers], request.body))

        assert sorted(seen[0][1]) == sorted(seen[1][1])
        assert (seen[0][0], seen[0][2]) == (seen[1][0], seen[1][2])
