"""Replies that nobody here understands: what is held of them, and how a break shows."""

import asyncio
import zlib

import pytest
from msgspec import structs

from application.answers import WholeAnswer
from application.attempts.raw_answer import RawAnswer
from application.attempts.reading import MAX_HELD_BYTES, read_json
from application.held_bytes import HeldBytes
from application.messages import Api, Headers, ProxyRequest
from domain.failure import Failure, FailureKind
from tests.fakes import FakeReply
from tests.flows import next_piece
from tests.unit.dispatch_bench import Bench

JSON: Headers = (("content-type", "application/json; charset=utf-8"),)
BINARY: Headers = (("content-type", "audio/mpeg"), ("content-length", "5"))
HALF = bytes(MAX_HELD_BYTES // 2)


@pytest.mark.parametrize(
    ("headers", "pieces", "held"),
    [
        (JSON, [b"{", b"}"], (b"{}", True)),
        ((*JSON, ("content-length", "2")), [b"{", b"}"], (b"{}", True)),
        ((*JSON, ("content-length", str(MAX_HELD_BYTES + 1))), [b"{", b"}"], (b"", False)),
        (JSON, [HALF, HALF, b"x", b"y"], (HALF * 2 + b"x", False)),
        (BINARY, [b"ID3", b"ab"], (b"", False)),
        ((("content-type", "text/event-stream"),), [b"data: x\n\n"], (b"", False)),
        ((), [b"{}"], (b"", False)),
    ],
)
async def test_json_of_a_moderate_size_is_held_and_nothing_else(
    headers: Headers, pieces: list[bytes], held: tuple[bytes, bool]
) -> None:
    assert await read_json(FakeReply(200, pieces, headers), HeldBytes()) == held


def other(bench: Bench, model: str = "") -> ProxyRequest:
    now = bench.clock.now()
    return ProxyRequest(Api.OTHER, "/files/a", "", (), (), b"", model, None, False, "req", now, method="GET")


async def ask(bench: Bench, model: str = "") -> RawAnswer:
    answer = await bench.dispatch(bench.group, other(bench, model), bench.trace)
    assert isinstance(answer, RawAnswer)
    return answer


async def test_bytes_come_as_they_are() -> None:
    bench = Bench([lambda: FakeReply(200, [b"ID3", b"ab"], BINARY)])
    answer = await ask(bench)
    pieces = [await next_piece(answer) for _ in range(4)]
    answer.close()
    answer.close()

    assert (answer.status, answer.length, answer.headers) == (200, "5", BINARY)
    assert (pieces, answer.failure) == ([b"ID3", b"ab", b"", b""], None)
    assert bench.upstream.replies[0].closed


@pytest.mark.parametrize(("model", "told"), [("", []), ("g", [("cooling", "e1")])])
async def test_a_break_shows_and_counts_against_an_endpoint_for_what_it_is_there_for(
    model: str, told: list[tuple[str, str]]
) -> None:
    broken = Failure(FailureKind.RESET, "connection reset")
    bench = Bench([lambda: FakeReply(200, [b"ID3", broken], BINARY)])
    answer = await ask(bench, model)
    pieces = [await next_piece(answer) for _ in range(3)]
    answer.close()

    assert (pieces, answer.failure) == ([b"ID3", b"", b""], broken)
    assert answer.error_frame("m", "c") == b""
    assert bench.alarm.told == told


async def test_json_that_is_too_large_to_be_held_loses_nothing() -> None:
    pieces = [b"[", HALF, HALF, b"]"]
    bench = Bench([lambda: FakeReply(200, pieces, JSON)])
    answer = await ask(bench)
    got = b""
    while piece := await next_piece(answer):
        got += piece
    answer.close()

    assert got == b"".join(pieces)
    assert answer.length is None


async def test_json_that_breaks_is_asked_for_elsewhere() -> None:
    broken = Failure(FailureKind.TRUNCATED, "reply cut short")
    bench = Bench([lambda: FakeReply(200, [b'{"a"', broken], JSON)], [lambda: FakeReply(200, [b"{}"], JSON)])
    answer = await bench.dispatch(bench.group, other(bench), bench.trace)

    assert isinstance(answer, WholeAnswer)
    assert answer.reply.body == b"{}"
    assert bench.learned == [("e2", b"{}")]
    assert all(reply.closed for reply in bench.upstream.replies)


class Body:
    """A client's body that is spent once it was asked for."""

    taken_bytes = 0
    begun = False
    length = 1

    def upload(self, model: str) -> "Body":
        return self

    async def read(self) -> bytes:
        return b"x"


@pytest.mark.parametrize(("spent", "asked"), [(True, 1), (False, 2)])
async def test_a_body_that_is_spent_goes_to_nobody_else(spent: bool, asked: int) -> None:
    body = Body()

    def fail() -> FakeReply:
        body.begun = spent
        return FakeReply(500, [b"{}"])

    bench = Bench([fail], [fail], retries=1)
    request = ProxyRequest(
        Api.OTHER, "/files", "", (), (), b"", "", None, False, "req", bench.clock.now(), upload=body
    )  # fmt: skip
    with pytest.raises(Exception, match="No endpoint") as failed:
        await bench.dispatch(bench.group, request, bench.trace)

    assert len(bench.trace.attempts) == asked
    assert failed.value.should_retry is (None if spent else False)  # type: ignore[attr-defined]


EVENTS: Headers = (("content-type", "text/event-stream; charset=utf-8"),)


class OpenReply(FakeReply):
    """A reply whose connection the provider keeps open after its last piece."""

    async def receive(self) -> bytes:
        if self._pieces:
            return await super().receive()
        await asyncio.Event().wait()
        return b""


@pytest.mark.parametrize(
    "pieces",
    [
        [b"data: 1\n\n", b"data: [DONE]\n\n"],
        [b'data: {"type":"response.completed"}\n\n'],
        [b"data: [DO", b"NE]\n\n"],
    ],
)
async def test_a_stream_that_is_kept_ends_when_it_says_so(pieces: list[bytes]) -> None:
    bench = Bench([lambda: OpenReply(200, pieces, EVENTS)])
    request = structs.replace(other(bench), api=Api.STORED, path="/responses/resp_1", stream=True)
    answer = await bench.dispatch(bench.group, request, bench.trace)
    assert isinstance(answer, RawAnswer)
    async with asyncio.timeout(10):
        got = [await next_piece(answer) for _ in range(len(pieces) + 1)]
    answer.close()

    assert got == [*pieces, b""]
    assert answer.complete
    assert bench.nothing_is_left()


async def test_a_stream_that_is_kept_passes_unzipped() -> None:
    body = zlib.compress(b"data: 1\n\n", wbits=31)
    bench = Bench([lambda: FakeReply(200, [body], (*EVENTS, ("content-encoding", "gzip")))])
    request = structs.replace(other(bench), api=Api.STORED, path="/responses/resp_1", stream=True)
    answer = await bench.dispatch(bench.group, request, bench.trace)
    assert isinstance(answer, RawAnswer)

    assert [await next_piece(answer), await next_piece(answer)] == [b"data: 1\n\n", b""]
    assert answer.headers == EVENTS
    answer.close()
