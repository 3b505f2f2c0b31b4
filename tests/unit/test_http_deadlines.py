"""How long a connection may stay as it is, and how much it may still send."""

import pytest

from adapters.http.server.limits import HEAD_S, IDLE_S, LINGER_BYTES, LINGER_S
from tests.unit.http_line import GET, HELD, LAST, Holding, Line, echo, refusing


async def test_who_connects_and_says_nothing_is_cut_off() -> None:
    line = Line(echo)

    line.pass_time(HEAD_S + 1)

    assert line.wire.events == ["abort"]


@pytest.mark.parametrize("before", [(), (GET,)], ids=["first", "second"])
async def test_a_head_that_does_not_end_is_not_waited_for(before: tuple[bytes, ...]) -> None:
    line = Line(echo)
    await line.feed(*before, GET[:20])

    line.pass_time(HEAD_S - 1)
    await line.feed(b"x")  # a byte now and then buys no time
    assert not line.wire.events
    line.pass_time(2)
    await line.settle()

    assert [status for status, _ in line.replies()] == [*(200 for _ in before), 408]
    assert line.wire.events == ["eof"]
    line.pass_time(LINGER_S + 1)
    assert line.wire.events == ["eof", "abort"]


async def test_a_connection_is_kept_so_long_and_no_longer() -> None:
    line = Line(echo)
    await line.feed(GET)

    line.pass_time(IDLE_S - 1)
    assert not line.wire.events
    await line.feed(GET)
    line.pass_time(IDLE_S - 1)
    assert not line.wire.events
    line.pass_time(2)

    assert line.wire.events == ["abort"]
    assert len(line.replies()) == 2


async def test_an_application_may_take_its_time() -> None:
    line = Line(app := Holding())
    await line.feed(GET)

    line.pass_time(100_000)
    app.answer()
    await line.settle()

    assert line.replies() == [(200, b"/a")]
    assert not line.wire.events


async def test_who_takes_the_last_reply_slowly_gets_all_of_it_and_who_takes_nothing_does_not() -> None:
    line = Line(echo)
    await line.feed(LAST)
    for unsent in (3_000, 2_000, 1_000):
        line.wire.unsent_bytes = unsent
        line.pass_time(IDLE_S + 1)
        assert line.wire.events == ["close"]

    line.pass_time(IDLE_S + 1)

    assert line.wire.events == ["close", "abort"]


async def test_who_does_not_send_the_rest_in_time_is_cut_off() -> None:
    line = Line(refusing)
    await line.feed(HELD)

    line.pass_time(LINGER_S + 1)

    assert line.wire.events == ["abort"]


async def test_the_rest_may_not_be_without_end() -> None:
    line = Line(refusing)
    piece = bytes(1024 * 1024)
    await line.feed(b"POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n")
    assert len(line.replies("POST")) == 1

    for _ in range(LINGER_BYTES // len(piece) + 1):
        line.connection.data_received(b"%x\r\n%b\r\n" % (len(piece), piece))
        if line.wire.events:
            break

    assert line.wire.events == ["abort"]


async def test_who_takes_nothing_and_asks_for_more_is_cut_off() -> None:
    line = Line(echo)
    line.connection.pause_writing()
    await line.feed(GET + GET)
    line.wire.unsent_bytes = 1_000

    line.pass_time(IDLE_S + 1)
    assert not line.wire.events
    line.pass_time(IDLE_S + 1)

    assert line.wire.events == ["abort"]


async def test_who_takes_it_at_last_is_answered() -> None:
    line = Line(echo)
    line.connection.pause_writing()
    await line.feed(GET + GET)

    line.connection.resume_writing()
    await line.settle()
    line.pass_time(IDLE_S - 1)

    assert len(line.replies()) == 2
    assert not line.wire.events
