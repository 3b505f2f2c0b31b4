"""One request after the other on a connection: bodies, replies, and what is no request."""

import asyncio
import json
from typing import Any

import pytest

from adapters.http.server.client import Client
from adapters.http.server.limits import LINGER_S
from tests.asgi_application import CLIENT
from tests.unit.http_line import GET, HELD, LAST, Holding, Line, answer, echo, refusing


class Streaming:
    """Leaves it to the test what is sent to the client."""

    client: Client

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.client = scope["extensions"][CLIENT]
        await asyncio.get_running_loop().create_future()


async def test_requests_in_one_piece_are_answered_in_their_order_and_the_connection_stays() -> None:
    line = Line(echo)

    await line.feed(GET + GET.replace(b"/a", b"/b"), GET.replace(b"/a", b"/c"))

    assert line.replies() == [(200, b"/a "), (200, b"/b "), (200, b"/c ")]
    assert not line.wire.events
    assert not line.host.running


async def test_a_request_waits_for_its_turn() -> None:
    line = Line(app := Holding())

    await line.feed(GET + GET.replace(b"/a", b"/b"))

    assert app.asked == [b"/a"]
    app.answer()
    await line.settle()
    assert app.asked == [b"/a", b"/b"]
    app.answer()
    await line.settle()
    assert line.replies() == [(200, b"/a"), (200, b"/b")]


@pytest.mark.parametrize("ahead", [GET * 50, HELD + bytes(299_000)], ids=["many requests", "a large body"])
async def test_so_much_is_read_ahead_and_no_more(ahead: bytes) -> None:
    line = Line(app := Holding())
    await line.feed(GET)
    assert line.wire.is_reading

    await line.feed(ahead)

    assert not line.wire.is_reading
    for _ in range(52):
        app.answer()
        await line.settle()
    assert line.wire.is_reading


async def test_the_body_of_a_request_may_come_when_it_has_its_turn() -> None:
    line = Line(echo)

    await line.feed(GET + HELD.replace(b"300000", b"3"))
    assert line.wire.is_reading
    await line.feed(b"abc")

    assert line.replies() == [(200, b"/a "), (200, b"/held abc")]


async def test_tiny_pieces_of_a_body_are_put_together() -> None:
    taken: list[bytes] = []

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            taken.append(message["body"])
            more = message["more_body"]
        await answer(send, b"")

    line = Line(reads)

    head = b"POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n"
    await line.feed(head, b"1\r\na\r\n" * 10_000, b"0\r\n\r\n")

    assert b"".join(taken) == b"a" * 10_000
    assert len(taken) < 10


async def test_after_the_last_request_the_connection_is_closed_and_nothing_after_it_answered() -> None:
    line = Line(echo)

    await line.feed(LAST + GET)

    assert line.replies() == [(200, b"/last ")]
    assert line.wire.events == ["eof"]


async def test_more_of_a_body_is_read_only_when_what_has_come_is_taken() -> None:
    taken: list[int] = []
    go_on = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            await go_on.wait()
            message = await receive()
            taken.append(len(message["body"]))
            more = message["more_body"]
        await answer(send, b"")

    line = Line(slow)
    await line.feed(HELD + bytes(290_000))
    assert not line.wire.is_reading

    go_on.set()
    await line.settle()
    assert line.wire.is_reading
    await line.feed(bytes(10_000))

    assert sum(taken) == 300_000
    assert line.replies() == [(200, b"")]


async def test_an_application_waits_while_the_client_reads_nothing() -> None:
    sent: list[int] = []

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(100):
            await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
            sent.append(number)
        await send({"type": "http.response.body"})

    line = Line(endless)
    line.connection.pause_writing()
    await line.feed(GET)
    assert not sent

    line.connection.resume_writing()
    await line.settle()
    assert line.replies() == [(200, b"x" * 100_000)]


async def test_a_piece_that_is_a_chunk_already_is_sent_as_it_came() -> None:
    line = Line(app := Streaming())
    await line.feed(GET)
    framed = b"5\r\nhello\r\n"

    assert not app.client.send_framed(framed, b"5\r\n", 5)
    app.client.start(200, [])
    assert app.client.send_framed(framed, b"5\r\n", 5)
    line.connection.pause_writing()
    assert not app.client.send_framed(framed, b"5\r\n", 5)
    line.connection.resume_writing()
    assert app.client.send_chunk(b" again")
    assert app.client.sent_bytes == 11
    app.client.finish()
    assert not app.client.send_framed(framed, b"5\r\n", 5)
    assert line.replies() == [(200, b"hello again")]


@pytest.mark.parametrize("fields", [["content-length: 5"], []])
async def test_where_a_reply_has_no_chunks_none_are_sent(fields: list[str]) -> None:
    line = Line(app := Streaming())
    await line.feed(GET if fields else GET.replace(b"1.1", b"1.0"))

    app.client.start(200, fields)
    assert not app.client.send_framed(b"5\r\nhello\r\n", b"5\r\n", 5)
    line.connection.connection_lost(None)


async def test_a_client_that_has_left_is_sent_no_chunks() -> None:
    line = Line(app := Streaming())
    await line.feed(GET)
    app.client.start(200, [])
    line.connection.connection_lost(None)

    assert not app.client.send_framed(b"5\r\nhello\r\n", b"5\r\n", 5)


async def test_who_is_answered_early_may_send_the_rest_which_is_thrown_away() -> None:
    line = Line(refusing)
    await line.feed(HELD, bytes(100_000))
    assert line.replies("POST") == [(413, b"no")]
    assert b"\r\nconnection: close\r\n" in line.wire.sent
    assert not line.wire.events

    await line.feed(bytes(200_000), GET)

    assert line.wire.events == ["eof"]  # to close might take the reply from a client that sends more
    assert line.wire.is_reading
    assert len(line.replies("POST")) == 1


async def test_what_follows_the_rest_of_an_early_answered_request_is_not_answered() -> None:
    line = Line(refusing)

    await line.feed(HELD, bytes(300_000) + GET)

    assert len(line.replies("POST")) == 1
    assert line.wire.events == ["eof"]


async def test_after_something_that_is_no_request_the_reason_is_given_and_the_connection_closed() -> None:
    line = Line(echo)

    await line.feed(GET, b"nonsense\r\n\r\n", GET)

    first, second = line.replies()
    assert first == (200, b"/a ")
    assert second[0] == 400
    assert json.loads(second[1])["error"]["code"] == "malformed_request"
    assert line.wire.events[0] == "eof"


async def test_what_was_asked_before_something_that_is_no_request_is_answered() -> None:
    line = Line(app := Holding())
    await line.feed(GET + b"nonsense\r\n\r\n")

    app.answer()
    await line.settle()

    assert line.replies() == [(200, b"/a")]
    assert b"\r\nconnection: close\r\n" in line.wire.sent
    assert line.wire.events == ["eof"]  # to close at once might take the reply from a client that sends on

    await line.feed(b"more of it")
    line.pass_time(LINGER_S + 1)

    assert line.wire.events == ["eof", "abort"]


async def test_an_application_is_told_when_the_rest_of_a_body_makes_no_sense() -> None:
    line = Line(echo)

    await line.feed(b"POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n", b"nonsense")

    ((status, body),) = line.replies("POST")
    assert status == 400
    assert json.loads(body)["error"]["code"] == "malformed_request"


async def test_a_head_request_gets_no_body() -> None:
    line = Line(echo)

    await line.feed(GET.replace(b"GET", b"HEAD") + GET)

    assert line.replies("HEAD") == [(200, b""), (200, b"/a ")]


async def test_a_client_of_http_1_0_is_not_sent_chunks() -> None:
    async def streams(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        await send({"type": "http.response.body", "body": b"c"})

    line = Line(streams)

    await line.feed(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")

    assert line.replies() == [(200, b"abc")]
    assert line.wire.events == ["close"]


async def test_who_waits_for_100_is_told_to_go_on_when_the_body_is_wanted() -> None:
    line = Line(echo)
    head = HELD.replace(b"300000\r\n", b"3\r\nexpect: 100-continue\r\n")

    await line.feed(head)
    assert line.wire.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    await line.feed(b"abc")

    assert line.wire.sent.count(b"HTTP/1.1 100") == 1
    line.wire.sent = line.wire.sent.partition(b"\r\n\r\n")[2]
    assert line.replies() == [(200, b"/held abc")]


async def test_who_waits_for_100_and_is_refused_is_not_told_to_go_on_and_need_not_send_the_body() -> None:
    line = Line(refusing)

    await line.feed(HELD.replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n"))

    assert line.replies("POST") == [(413, b"no")]
    assert line.wire.events == ["eof"]


async def test_a_server_that_stops_lets_what_runs_end_and_says_that_it_was_the_last() -> None:
    busy = Line(app := Holding())
    await busy.feed(GET + GET)

    busy.connection.shutdown()

    assert not busy.wire.events
    app.answer()
    await busy.settle()
    assert b"\r\nconnection: close\r\n" in busy.wire.sent
    assert busy.wire.events == ["close"]
    assert app.asked == [b"/a"]


async def test_a_server_that_stops_closes_no_idle_connection_under_a_request() -> None:
    asking, silent = Line(echo), Line(echo)
    for line in (asking, silent):
        await line.feed(GET)
        line.connection.shutdown()
        line.host.is_draining = True
        stopped = line.host.clock.time()
        line.connection.close_if_idle(stopped - 1)
        assert not line.wire.events

    await asking.feed(GET)

    assert b"\r\nconnection: close\r\n" in asking.wire.sent
    assert asking.wire.events == ["close"]
    silent.connection.close_if_idle(stopped)
    assert silent.wire.events == ["close"]


async def test_a_stream_that_has_promised_another_request_keeps_its_connection_when_the_server_stops() -> None:
    goes_on = asyncio.Event()

    async def streaming(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await goes_on.wait()
        await send({"type": "http.response.body", "body": b"all of it"})

    line = Line(streaming)
    await line.feed(GET)
    line.connection.shutdown()
    line.host.is_draining = True

    goes_on.set()
    await line.settle()

    assert line.replies() == [(200, b"all of it")]
    assert not line.wire.events
    await line.feed(GET)
    assert line.replies() == [(200, b"all of it")] * 2
    assert line.wire.sent.count(b"\r\nconnection: close\r\n") == 1
    assert line.wire.events == ["close"]


async def test_between_two_requests_of_one_client_others_have_their_turn() -> None:
    line = Line(echo)
    line.connection.data_received(GET * 100)

    for _ in range(10):
        await asyncio.sleep(0)

    assert 0 < len(line.replies()) < 20
