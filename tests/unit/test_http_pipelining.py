"""Requests that come faster than they are answered: how many are read, what is held of the rest, and what stays."""

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import httptools
import pytest

from adapters.http.server.connection import Connection
from adapters.http.server.cycle import RequestCycle
from adapters.http.server.limits import READ_AHEAD_REQUESTS
from adapters.http.server.request.reader import RequestReader
from tests.unit.http_line import GET, HELD, Holding, Line, echo, refusing

READ_BYTES = 256 * 1024
"""What an event loop reads at once."""

TINY = b"GET / HTTP/1.1\r\n\r\n"
PIPELINED = {
    "tiny": TINY,
    "blank lines between": b"\r\n" + TINY,
    "ordinary": GET,
    "with a body": b"POST /a HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc",
    "with a body that looks like the end of a head": b"POST /a HTTP/1.1\r\ncontent-length: 8\r\n\r\n\r\n\r\n\r\n\r\n",
    "with a longer body": b"POST /a HTTP/1.1\r\ncontent-length: 3000\r\n\r\n" + b"\r\n\r\n" * 750,
    "chunked": b"POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "chunked with trailers": b"POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: y\r\n\r\n",
    "upgrades": b"GET /a HTTP/1.1\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    "whole URLs": b"GET http://here/a HTTP/1.1\r\n\r\n",
}
pipelined = pytest.mark.parametrize("one", PIPELINED.values(), ids=PIPELINED.keys())

OURS = (RequestCycle, Connection, RequestReader, httptools.HttpRequestParser)


def alive() -> int:
    """What of ours is held, also by circles that no collection has found yet."""
    return sum(isinstance(each, OURS) for each in gc.get_objects())


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pipelined
async def test_no_more_requests_are_read_than_can_be_taken_and_the_rest_stays_bytes(one: bytes) -> None:
    line = Line(Holding())
    ahead = one * (READ_BYTES // len(one))
    before = alive()
    tracemalloc.start()
    line.connection.data_received(ahead)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert not line.wire.is_reading
    # The one being answered; a piece is no shorter than 64 bytes, and may end where no request does.
    assert alive() - before <= 1 + READ_AHEAD_REQUESTS + 4
    assert held < 80_000
    assert peak < READ_BYTES


@pipelined
async def test_all_of_them_are_answered_in_the_end(one: bytes) -> None:
    answered = 0

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        nonlocal answered
        answered += 1
        await echo(scope, receive, send)

    line, count = Line(counting), min(2_000, 4 * READ_BYTES // len(one))
    line.connection.data_received(one * count)
    await line.settle()
    while line.host.running:
        await asyncio.sleep(0)

    assert answered == count
    assert line.wire.sent.count(b"HTTP/1.1 200") == count
    assert line.wire.is_reading


async def test_a_small_piece_is_at_most_so_many_requests() -> None:
    """Below 2 KiB the parser is given what comes as it comes."""
    line = Line(Holding())
    before = alive()

    line.connection.data_received(TINY * (2048 // len(TINY)))
    line.connection.data_received(TINY * (2048 // len(TINY)))

    assert not line.wire.is_reading
    assert alive() - before <= READ_AHEAD_REQUESTS + 2 * 2048 // len(TINY)


async def test_what_is_left_when_a_request_is_refused_is_not_held() -> None:
    line = Line(app := Holding())
    line.connection.data_received(GET + b"nonsense\r\n\r\n" + GET * 5_000)
    reader = line.connection._reader
    assert reader is not None

    assert not reader.rest
    app.answer()
    await line.settle()
    assert line.replies() == [(200, b"/a")]


async def test_after_an_early_answer_nothing_that_follows_the_rest_of_the_request_is_read() -> None:
    line = Line(refusing)
    await line.feed(HELD)
    before = alive()

    line.connection.data_received(bytes(300_000) + GET * 5_000)

    assert alive() <= before
    assert line.wire.events == ["eof"]


async def test_a_body_that_nobody_asked_for_is_not_held_while_the_client_is_idle() -> None:
    line = Line(refusing)
    tracemalloc.start()
    await line.feed(b"POST / HTTP/1.1\r\ncontent-length: 200000\r\n\r\n" + bytes(200_000))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert line.replies("POST") == [(413, b"no")]
    assert not line.wire.events
    assert held < 50_000


async def test_a_body_in_tiny_chunks_holds_little_more_than_its_bytes() -> None:
    line = Line(Holding())
    await line.feed(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")
    chunks = b"2\r\nab\r\n" * (READ_BYTES // 7)
    tracemalloc.start()
    line.connection.data_received(chunks)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held < 2 * READ_BYTES


async def raises(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError(scope["path"])


HALF_A_HEAD = TINY[:10]
TOO_MANY_HEADERS = b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 3_000
ENDS: dict[str, tuple[Callable[..., Any], bytes]] = {
    "answered": (echo, GET),
    "pipelined and answered": (echo, GET * 8),
    "pipelined and not answered": (Holding(), GET * 12),
    "far too many": (Holding(), GET * 5_000),
    "silent": (echo, b""),
    "half a head": (echo, HALF_A_HEAD),
    "half a head after another": (echo, GET + HALF_A_HEAD),
    "half a body": (echo, HELD + bytes(1_000)),
    "half a body in chunks": (echo, b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab"),
    "refused": (echo, b"nonsense\r\n\r\n"),
    "refused after others": (echo, GET * 4 + b"nonsense\r\n\r\n"),
    "too many headers": (echo, TOO_MANY_HEADERS),
    "answered early": (refusing, HELD + bytes(1_000)),
    "an upgrade": (echo, PIPELINED["upgrades"] * 3),
    "a large body": (echo, HELD + bytes(300_000) + GET),
    "raises": (raises, GET * 3),
}


@pytest.mark.parametrize("is_late", [False, True], ids=["gone", "timed out"])
@pytest.mark.parametrize(("app", "sent"), ENDS.values(), ids=ENDS.keys())
async def test_nothing_stays_of_a_connection_that_has_gone_and_no_collector_is_needed(
    app: Callable[..., Any], sent: bytes, is_late: bool, no_collector: None
) -> None:
    before = alive()
    for _ in range(5):
        line = Line(app)
        line.connection.data_received(sent)
        await line.settle()
        if is_late:
            line.pass_time(1_000)
        await line.lose()
        if isinstance(app, Holding):
            app.answer()
            await line.settle()
            app.gone.clear()
        line.host.crashes.clear()
        del line

    assert alive() <= before
