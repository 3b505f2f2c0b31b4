"""Requests that can be answered at once are: before anything else runs. Others wait in the connection's task."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from adapters.http.server.client import Client
from tests.unit.http_line import GET, HELD, LAST, Line

POST = b"POST /p HTTP/1.1\r\nhost: here\r\ncontent-length: 3\r\n\r\n"


class AtOnce:
    """Answers with path and body, if all of that has come; else when it has."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def begin(self, client: Client) -> Awaitable[None] | None:
        self.begun.append(client.head.path)
        if client.head.path == "/crash":
            raise ZeroDivisionError
        body = client.body_now()
        return self._later(client) if body is None else self._answer(client, body)

    async def _later(self, client: Client) -> None:
        body, more = b"", True
        while more:
            message = await client.receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        waits = self._answer(client, body)
        if waits is not None:
            await waits

    def _answer(self, client: Client, body: bytes) -> Awaitable[None] | None:
        text = client.head.raw_path + b" " + body
        return client.reply(200, (f"content-length: {len(text)}",), text)


def line_to(app: Any) -> Line:
    line = Line(app)
    line.host.app = app
    return line


async def test_a_whole_request_is_answered_before_anything_else_runs() -> None:
    line = line_to(AtOnce())
    line.connection.data_received(GET)
    line.connection.data_received(POST + b"abc")

    assert line.replies() == [(200, b"/a "), (200, b"/p abc")]
    assert not line.host.running


async def test_one_whose_body_comes_later_is_answered_then() -> None:
    line = line_to(AtOnce())
    line.connection.data_received(POST + b"a")
    assert line.wire.sent == b""

    await line.feed(b"b", b"c", GET)
    assert line.replies() == [(200, b"/p abc"), (200, b"/a ")]
    assert not line.host.running


async def test_of_many_in_one_piece_the_first_is_answered_at_once_and_the_others_let_others_go_on() -> None:
    app = AtOnce()
    line = line_to(app)
    line.connection.data_received(GET * 5)
    assert len(line.replies()) == 1

    seen = []
    for _ in range(12):
        seen.append(len(app.begun))
        await asyncio.sleep(0)
    assert seen == sorted(seen)
    assert len(set(seen)) > 3
    assert line.replies() == [(200, b"/a ")] * 5


async def test_the_last_one_closes() -> None:
    line = line_to(AtOnce())
    line.connection.data_received(LAST)

    assert line.replies() == [(200, b"/last ")]
    assert "close" in line.wire.events


async def test_what_it_raises_at_once_is_a_500_and_told() -> None:
    line = line_to(AtOnce())
    line.connection.data_received(GET.replace(b"/a", b"/crash"))

    assert [status for status, _ in line.replies()] == [500]
    assert [type(error) for error in line.host.crashes] == [ZeroDivisionError]


async def test_no_work_that_was_begun_is_left_undone_when_its_client_leaves() -> None:
    ended: list[bool] = []

    class Watching:
        def begin(self, client: Client) -> Awaitable[None] | None:
            return self._wait(client)

        async def _wait(self, client: Client) -> None:
            left = asyncio.Event()
            client.on_disconnect(left.set)
            await left.wait()
            ended.append(True)

    line = line_to(Watching())
    line.connection.data_received(HELD)
    line.connection.connection_lost(None)
    await line.settle()

    assert ended == [True]
    assert not line.host.running
    assert not line.host.open


async def test_a_client_that_takes_nothing_is_waited_for_before_its_next_request() -> None:
    app = AtOnce()
    line = line_to(app)
    line.connection.pause_writing()
    await line.feed(GET, GET)
    assert app.begun == ["/a"]

    line.connection.resume_writing()
    await line.settle()
    assert line.replies() == [(200, b"/a ")] * 2
