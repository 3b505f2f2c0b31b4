"""What the load generators print is read right, and latency counts from when a request was due."""

import math

import pytest

from bench.load import vegeta, wrk
from bench.load.distribution import at, curve, median, median_curve, percentile
from bench.load.stream_client import Stream, Watch

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


def hit(number: int, sent: float, took: float, status: int = 200) -> str:
    return f"{int(sent * 1e9)},{status},{int(took * 1e9)},10,0,,,bench,{number},POST,http://x/,"


def test_a_request_that_was_sent_late_is_late_from_when_it_was_due() -> None:
    # Ten a second; the generator itself is held up for 0.3 s at the third.
    rows = [hit(0, 100.0, 0.01), hit(1, 100.1, 0.01), hit(2, 100.5, 0.01), hit(3, 100.5, 0.01)]

    seen = vegeta.seen(vegeta.hits("\n".join(rows)), rate=10, warming_s=0)

    assert seen.latencies_ms[-1][1] == pytest.approx(310, abs=0.01)
    assert seen.p50_ms == pytest.approx(10, abs=0.01)


def test_what_vegeta_got_no_good_answer_to_is_an_error() -> None:
    rows = [hit(0, 100.0, 0.01), hit(1, 100.1, 0.01, status=502), hit(2, 100.2, 20, status=0)]

    seen = vegeta.seen(vegeta.hits("\n".join(rows)), rate=10, warming_s=0)

    assert seen.errors == {"status": 1, "no_answer": 1}


def test_the_first_second_of_a_steady_rate_is_not_counted() -> None:
    rows = [hit(number, 100 + number / 10, 0.5 if number < 10 else 0.01) for number in range(20)]

    seen = vegeta.seen(vegeta.hits("\n".join(rows)), rate=10)

    assert seen.requests == 10
    assert seen.latencies_ms[-1][1] == pytest.approx(10, abs=0.01)
    assert seen.rps == pytest.approx(10, rel=0.1)


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
