"""Both upstream adapters make the same of the same bytes, and so does an independent client: status, headers, body, and
how it ended.

Through httpx it is the same to the letter. Where h11 reads it differently, `excuse` says how and why; anything else
fails.
"""

import asyncio
import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from adapters.upstreams.http1.client import Http1Upstream
from adapters.upstreams.httpx.client import HttpxUpstream
from application.ports import Upstream, UpstreamFailed
from domain.failure import Failure
from tests.contracts.by_h11 import Outcome, by_h11
from tests.contracts.reply_scripts import Played, broken, good, playing
from tests.contracts.scripted_server import Peer, ScriptedServer, after_request, answering, chunked, hold, reply
from tests.contracts.upstream_calls import call, open_sockets, other_tasks
from tests.contracts.upstream_tls import certificate
from tests.examples import examples

EXAMPLES = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
)


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


async def played_to_all(played: Played) -> tuple[Outcome, Outcome]:
    """What both adapters make of it, and what h11 does. Neither adapter may leave anything behind."""
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
    async with ScriptedServer(playing(played)) as server:
        outcomes.append(await by_h11(server, played.method))
    if played.ending == "reset":  # it comes while the next request is sent, or before
        outcomes = [each._replace(is_used_again=False) for each in outcomes]

    assert outcomes[0] == outcomes[1]
    return outcomes[0], outcomes[2]


JUNK = "junk_reply"


def as_h11_says(ours: Outcome) -> Outcome:
    """Without the words of a failure, and with the name of the transfer coding in small letters."""
    headers = tuple((name, value.lower() if name == "transfer-encoding" else value) for name, value in ours.headers)
    return ours._replace(ended=ours.kind, headers=headers)


def excuse(ours: Outcome, theirs: Outcome) -> str | None:
    """Why they may differ in this way; None = they may not."""
    read = as_h11_says(ours)
    if read[:4] == theirs[:4]:
        if not read.is_used_again:
            # HEAD answered without a length: whether a body follows, servers do not agree on.
            return "http1 keeps fewer connections"
        # h11 keeps none of HTTP/1.0 (RFC 9112 section 9.3 allows it).
        return "http1 takes an old server at its word" if ("connection", "keep-alive") in read.headers else None
    if read.is_used_again or read.kind != JUNK:
        return None
    if theirs.kind == "whole":
        return "http1 refuses what could be read in two ways"  # bare line feeds, control characters, any coding
    return "llhttp sees at once what h11 sees when a line has ended" if theirs.body.startswith(read.body) else None


def has_odd_reason(played: Played) -> bool:
    """Nobody is sent the reason phrase. llhttp takes any octet in it, and h11 no control character."""
    return (
        re.match(rb"HTTP/1\.[01] [0-9]{3} [^\r\n]*[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", b"".join(played.pieces))
        is not None
    )


class TestUpstreamsAlike:
    on_both_loops = True

    @settings(EXAMPLES, max_examples=examples(20))
    @given(played=good())
    async def test_good_replies_are_the_same(self, played: Played) -> None:
        ours, theirs = await played_to_all(played)

        assert ours.ended == "whole"
        assert as_h11_says(ours)[:4] == theirs[:4]
        assert ours.is_used_again == theirs.is_used_again or excuse(ours, theirs)

    @settings(EXAMPLES, max_examples=examples(30))
    @given(played=broken())
    async def test_broken_replies_are_the_same_or_ours_are_read_more_strictly(self, played: Played) -> None:
        ours, theirs = await played_to_all(played)

        assert as_h11_says(ours) == theirs or excuse(ours, theirs) or has_odd_reason(played)

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
        async with ScriptedServer(script, answering(reply()), tls=tls) as server:
            theirs = await by_h11(server, "POST", trusting)

        assert outcomes[0] == outcomes[1]
        assert as_h11_says(outcomes[0]) == theirs or excuse(outcomes[0], theirs)
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
