"""Events on all of their way: off the provider's connection, through the scanner, to a client's connection."""

import asyncio
import json
from typing import Any, cast

import pytest

from adapters.http.server.client import Client
from adapters.upstreams.http1.connection import Connection
from adapters.upstreams.http1.reply_reader import ReplyReader
from adapters.upstreams.openai.streams.stream_scanner import OpenAIStreamScanner
from application.attempts.event_stream_answer import EventStreamAnswer, StreamSource
from application.held_bytes import HeldBytes
from tests.asgi_application import CLIENT
from tests.fakes import FakeClock
from tests.unit.http_line import GET, Line, Wire

DONE = b"data: [DONE]\n\n"


def event(text: str, end: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": end}
    return b"data: " + json.dumps({"id": "c", "choices": [choice]}).encode() + b"\n\n"


def chunk(*events: bytes) -> bytes:
    whole = b"".join(events)
    return b"%x\r\n%b\r\n" % (len(whole), whole)


class Stream:
    """One stream; what the provider sends is fed, and what the client got can be read."""

    def __init__(self) -> None:
        self.line = Line(self._answer)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        client: Client = scope["extensions"][CLIENT]
        loop = asyncio.get_running_loop()
        self.provider = Connection(loop, 65536)
        self.provider.connection_made(cast("asyncio.Transport", Wire()))
        reply = self.provider.start(60.0, loop.time() + 60)
        self.provider.data_received(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(event("Hi")))
        scanner = OpenAIStreamScanner(owns_credential=True)
        head = await reply.receive()
        scanner.feed(head)
        nobody: Any = type("Nobody", (), {"release": lambda *_: None, "failed": lambda *_: None})()
        source = StreamSource(reply, FakeClock())
        answer = EventStreamAnswer(nobody, nobody, nobody, source, scanner, head, lambda _: None, HeldBytes())
        client.start(200, [])
        while not await answer.flow(client.send_chunk, client.send_framed):
            await (client.drain() or asyncio.sleep(0))
        client.finish()
        answer.close()

    async def feed(self, *reads: bytes) -> list[bytes]:
        """What the client gets of each."""
        got = []
        for read in reads:
            before = len(self.line.wire.sent)
            self.provider.data_received(read)
            got.append(self.line.wire.sent[before:])
            await self.line.settle()
        return got


async def opened() -> Stream:
    stream = Stream()
    await stream.line.feed(GET)
    return stream


async def test_events_go_out_as_they_came_within_the_call_that_brought_them() -> None:
    stream = await opened()
    reads = [chunk(event(text)) for text in (" a", " longer one", 'a "quote"', "é", "x" * 200, " a", "y" * 1900)]

    assert await stream.feed(*reads) == reads
    await stream.feed(chunk(event("", "stop"), DONE) + b"0\r\n\r\n")
    [(status, body)] = stream.line.replies()
    assert status == 200
    assert body == b"".join([event("Hi"), *(read.split(b"\r\n", 1)[1][:-2] for read in reads), event("", "stop"), DONE])


async def test_events_like_the_one_before_are_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = await opened()
    first = chunk(event("a"))
    await stream.feed(first, first)
    monkeypatch.delattr(ReplyReader, "read")

    reads = [chunk(event(text)) for text in (" a", " longer one", 'a "quote"', "é", "x" * 200, " a", "y" * 1900)]
    assert await stream.feed(*reads) == reads


@pytest.mark.parametrize(
    "reads",
    [
        [chunk(event("a"))[:20], chunk(event("a"))[20:]],
        [chunk(event("a")) + chunk(event("b"))],
        [chunk(event("a"), event("b"))],
        [chunk(event("a")[:30]), chunk(event("a")[30:])],
        [chunk(event("a")).upper().replace(event("a").upper(), event("a"))],
        [b"0" + chunk(event("a"))],
        [chunk(b": comment\n\n"), chunk(event("a"))],
    ],
)
async def test_what_is_no_event_in_a_chunk_of_its_own_comes_as_well(reads: list[bytes]) -> None:
    stream = await opened()
    before, after = chunk(event("before")), chunk(event("after"))

    await stream.feed(before, before, *reads, after, after, chunk(event("", "stop"), DONE) + b"0\r\n\r\n")

    whole = await opened()
    await whole.feed(b"".join([before, before, *reads, after, after, chunk(event("", "stop"), DONE), b"0\r\n\r\n"]))
    assert stream.line.replies() == whole.line.replies()
    assert stream.line.replies()[0][1].count(b"after") == 2


async def test_an_end_within_like_events_is_seen() -> None:
    stream = await opened()
    await stream.feed(*[chunk(event("a"))] * 3, chunk(event("a", "stop")), chunk(DONE) + b"0\r\n\r\n")

    assert stream.line.replies()[0][1].endswith(event("a", "stop") + DONE)


async def test_a_client_that_takes_nothing_is_waited_for() -> None:
    stream = await opened()
    await stream.feed(*[chunk(event("a"))] * 3)
    stream.line.connection.pause_writing()
    await stream.feed(chunk(event("b")))
    assert await stream.feed(chunk(event("c")), chunk(event("d"))) == [b"", b""]

    stream.line.connection.resume_writing()
    await stream.line.settle()
    await stream.feed(chunk(event("", "stop"), DONE) + b"0\r\n\r\n")
    body = stream.line.replies()[0][1]
    assert [body.count(event(text)) for text in "abcd"] == [3, 1, 1, 1]


async def test_a_stream_whose_client_has_left_goes_nowhere() -> None:
    stream = await opened()
    await stream.feed(*[chunk(event("a"))] * 3)
    stream.line.connection.connection_lost(None)

    assert await stream.feed(chunk(event("b"))) == [b""]
