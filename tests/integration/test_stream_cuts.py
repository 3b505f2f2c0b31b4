"""Streams that are cut on the wire, zipped, or left open at their end, through both upstream adapters."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable

import pytest

from adapters.upstreams.http1.client import Http1Upstream
from adapters.upstreams.httpx.client import HttpxUpstream
from adapters.upstreams.openai.dialect import OpenAIDialect
from adapters.upstreams.openai.target import openai_target
from application.attempts.attempt import SendAttempt
from application.held_bytes import HeldBytes
from application.messages import Api
from application.ports import Upstream
from domain.secret import Secret
from tests.contracts.scripted_server import Peer, Script, ScriptedServer, hold
from tests.flows import next_piece
from tests.unit.stream_line import COMPLETED, DELTA, DONE, HELLO, PROMPTS, STOP, USAGE, USAGE_ASKED, Line, text

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


def chunked(body: bytes) -> bytes:
    return HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body)


def short(body: bytes) -> bytes:
    return HEAD + b"content-length: %d\r\n\r\n" % (len(body) + 100) + body


def until_closed(body: bytes) -> bytes:
    return HEAD + b"connection: close\r\n\r\n" + body


@pytest.fixture(params=[Http1Upstream, HttpxUpstream])
async def upstream(request: pytest.FixtureRequest) -> AsyncIterator[Upstream]:
    upstream: Upstream = request.param()
    yield upstream
    await upstream.close()


def saying(sent: bytes, end: Callable[[Peer], None] | None, heard: asyncio.Event | None = None) -> Script:
    """Say this, and end the connection like that when it is `heard`, for a RST takes along what was not read. `end`
    None = never; `heard` None = no end, but the body's."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(sent)
            if end is None:
                await hold(peer)
                return
            if heard is None:
                await peer.send(b"0\r\n\r\n")
                continue
            await heard.wait()
            heard.clear()
            end(peer)
            await peer.gone()
            return

    return script


def aim(line: Line, server: ScriptedServer, upstream: Upstream) -> None:
    """Its endpoint is the server."""
    targets = {"e1": openai_target(server.url("/v1"), Secret("k"))}
    picture, dialect = line.picture, OpenAIDialect(targets)
    attempt = SendAttempt(picture.pool, picture.health, upstream, dialect, line.clock, 5.0, line._learn, HeldBytes())
    line.dispatch._attempt = attempt


LAST: list[tuple[dict[str, object], bytes]] = [
    ({}, HELLO),
    ({}, HELLO + STOP),
    (USAGE_ASKED, HELLO + STOP),
    (USAGE_ASKED, HELLO + STOP + USAGE),
    (PROMPTS, text("x", "stop")),
    (PROMPTS, text("x", "stop") + text("y", "stop", 1)),
    ({"api": Api.RESPONSES, "store": False}, DELTA),
]


@pytest.mark.parametrize("framing", [chunked, short, until_closed])
@pytest.mark.parametrize("end", [Peer.reset, Peer.finish])
@pytest.mark.parametrize(("asked", "body"), LAST)
async def test_a_stream_that_is_cut_says_so_to_all_and_is_not_kept(
    upstream: Upstream,
    framing: Callable[[bytes], bytes],
    end: Callable[[Peer], None],
    asked: dict[str, object],
    body: bytes,
) -> None:
    is_clean = framing is until_closed and end is Peer.finish
    is_all = body in (HELLO + STOP + USAGE, text("x", "stop") + text("y", "stop", 1)) or (
        not asked and body == HELLO + STOP
    )
    line = Line(lambda: None, **asked)
    async with ScriptedServer(saying(framing(body), end, line.heard)) as server, asyncio.timeout(60):
        aim(line, server, upstream)
        got = await line.answers(3)  # who share one call
        line.heard.clear()
        got += await line.answers(1)
        calls = len(server.requests)

    if is_clean and is_all:
        assert got == [body] * 4
    else:
        assert all(b'"upstream_stream_error"' in one and b"[DONE]" not in one for one in got)
        assert calls == 2


async def tick(line: Line) -> None:
    """Its clock goes on as the server's does."""
    while True:
        await asyncio.sleep(0.01)
        line.clock.advance(0.01)


@pytest.mark.parametrize("framing", [chunked, until_closed])
@pytest.mark.parametrize(("asked", "body"), [({}, HELLO + STOP + DONE), ({"api": Api.RESPONSES}, DELTA + COMPLETED)])
async def test_a_stream_ends_with_its_last_event_though_the_connection_stays_open(
    upstream: Upstream, framing: Callable[[bytes], bytes], asked: dict[str, object], body: bytes
) -> None:
    async with ScriptedServer(saying(framing(body), None)) as server:
        line = Line(lambda: None, **asked)
        aim(line, server, upstream)
        ticking = asyncio.ensure_future(tick(line))
        async with asyncio.timeout(30):
            assert await line.answer(line.dispatch) == body
            await server.over()
        ticking.cancel()


async def test_the_connection_of_a_stream_that_ends_after_done_is_used_again(upstream: Upstream) -> None:
    async with ScriptedServer(saying(chunked(HELLO + STOP + DONE), Peer.finish)) as server:
        line = Line(lambda: None)
        aim(line, server, upstream)
        for _ in range(3):
            assert await line.answer(line.dispatch) == HELLO + STOP + DONE
            await asyncio.sleep(0.05)

        assert len(server.requests) == 3
        assert len(server.peers) == 1


async def test_a_zipped_stream_passes_event_by_event(upstream: Upstream) -> None:
    deflater = zlib.compressobj(wbits=31)

    def piece(event: bytes, how: int) -> bytes:
        coded = deflater.compress(event) + deflater.flush(how)
        return b"%x\r\n%b\r\n" % (len(coded), coded)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + b"content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n")
        await peer.send(piece(HELLO, zlib.Z_SYNC_FLUSH))
        await heard.wait()
        await peer.send(piece(STOP + DONE, zlib.Z_FINISH) + b"0\r\n\r\n")
        await peer.gone()

    heard = asyncio.Event()
    async with ScriptedServer(script) as server:
        line = Line(lambda: None)
        aim(line, server, upstream)
        answer = await line.ask(stream=True)
        async with asyncio.timeout(30):
            got = await next_piece(answer)  # type: ignore[union-attr]
            assert got == HELLO
            heard.set()
            while piece_ := await next_piece(answer):  # type: ignore[union-attr]
                got += piece_
        answer.close()  # type: ignore[union-attr]
        await asyncio.sleep(0.05)
        await upstream.close()

    assert got == HELLO + STOP + DONE
    assert "content-encoding" not in dict(answer.headers)  # type: ignore[union-attr]
