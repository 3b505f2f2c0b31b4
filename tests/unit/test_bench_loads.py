"""What the load generators print is read right, and latency counts from when a request was due."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable

import pytest

from bench.load import wrk
from bench.load.distribution import at, curve, median, median_curve, percentile
from bench.load.steady_client import Schedule
from bench.load.steady_client import run as run_steadily
from bench.load.stream_client import Stream
from bench.load.timed import Watch
from bench.servers.payloads import question
from bench.servers.provider import Connection
from bench.servers.subjects import HEADERS

WRK = """Running 5s test @ http://127.0.0.1:4000
  1 threads and 64 connections
Requests/sec:  10500.00
bench-result {"requests":52500,"duration_us":5000000,"curve":[[50,5.125],[99,9.5]],"errors":{"connect":0,"read":2,\
"write":0,"status":3,"timeout":0}}
"""


def test_the_smallest_value_that_so_many_do_not_exceed() -> None:
    values = [float(value) for value in range(1, 101)]

    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99
    assert percentile(values, 99.9) == 100
    assert percentile([7.0], 1) == 7


def test_a_curve_rises_and_ends_at_the_largest_value() -> None:
    points = curve([3.0, 1.0, 2.0])

    assert [ms for _, ms in points] == sorted(ms for _, ms in points)
    assert at(points, 100) == 3
    assert curve([]) == ()
    assert math.isnan(at((), 50))


def test_the_median_of_rounds_is_taken_at_each_percentile() -> None:
    rounds = [((50.0, 1.0), (99.0, 30.0)), ((50.0, 3.0), (99.0, 10.0)), ((50.0, 2.0), (99.0, 20.0))]

    assert median_curve(rounds) == ((50.0, 2.0), (99.0, 20.0))
    assert median([4.0, 1.0]) == 2.5
    assert math.isnan(median([]))


def test_wrk_tells_rate_errors_and_percentiles() -> None:
    seen = wrk.parsed(WRK)

    assert seen.rps == 10_500
    assert seen.errors == {"read": 2, "status": 3}
    assert seen.failed == 5
    assert (seen.p50_ms, seen.p99_ms) == (5.125, 9.5)


def test_a_wrk_that_could_not_connect_is_quoted() -> None:
    with pytest.raises(ValueError, match="unable to connect"):
        wrk.parsed("unable to connect to 127.0.0.1:9 Connection refused\n")


def schedule(uncounted: int = 0) -> Schedule:
    made = Schedule(10, requests=20, uncounted=uncounted)
    made.began = time.monotonic() - 100
    return made


def test_a_request_that_was_sent_late_is_late_from_when_it_was_due() -> None:
    kept = schedule()

    kept.is_sent(2, kept.due(2) + 0.3)
    kept.is_over(2, None)

    assert kept.late_ms[0] == pytest.approx(300)
    assert kept.latencies_ms[0] > 99_000  # due a hundred seconds ago, though answered at once


def test_what_is_due_in_the_uncounted_time_is_not_counted() -> None:
    kept = schedule(uncounted=10)

    for number in (9, 10):
        kept.is_sent(number, kept.due(number))
        kept.is_over(number, None)

    assert len(kept.latencies_ms) == len(kept.late_ms) == 1


@contextlib.asynccontextmanager
async def serving(protocol: Callable[[], asyncio.Protocol]) -> AsyncIterator[str]:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    server.close()
    await asyncio.sleep(0)


async def test_each_request_is_sent_and_answered_once() -> None:
    async with serving(lambda: Connection(0, 0, 1)) as url:
        told = await run_steadily(url, HEADERS, [question()], rate=100, seconds=0.1)

    assert told["requests"] == 10
    assert told["errors"] == {}


async def test_requests_that_find_no_idle_connection_are_sent_as_well() -> None:
    async with serving(lambda: Connection(0.3, 0, 1)) as url:
        told = await run_steadily(url, HEADERS, [question()], rate=500, seconds=0.2)

    assert told["requests"] == 100
    assert told["errors"] == {}


class Breaking(asyncio.Protocol):
    """Cuts the connection when something comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.abort()  # type: ignore[attr-defined]


async def test_connections_that_break_are_errors() -> None:
    async with serving(Breaking) as url:
        told = await run_steadily(url, HEADERS, [question()], rate=100, seconds=0.1)

    assert told["requests"] == 0
    assert told["errors"] == {"no_answer": 110}


def chunked(*pieces: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def watched(reply: bytes, step: int, events: int) -> Watch:
    watch = Watch(2)  # one more than there is, so that nothing is said
    stream = Stream(watch, b"", events)
    for start in range(0, len(reply), step):
        stream.data_received(reply[start : start + step])
    stream.connection_lost(None)
    return watch


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_events_are_counted_however_the_bytes_come(step: int) -> None:
    reply = chunked(b"data: {}\n\nda", b"ta: {}\n", b"\ndata: [DONE]\n\n")

    assert watched(reply, step, events=3).complete == 1
    assert watched(reply, step, events=4).problems == {"events missing": 1}


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (chunked(b"data: {}\n\n"), "no [DONE]"),
        (chunked(b"data: {}\n\n")[:-5], "cut off"),
        (b"HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\n\r\n", "status 503"),
    ],
)
def test_a_stream_that_is_not_whole_is_a_problem(reply: bytes, problem: str) -> None:
    watch = watched(reply, 1000, events=0)

    assert watch.complete == 0
    assert watch.problems == {problem: 1}
