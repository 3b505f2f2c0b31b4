"""Heads, trailers and chunk extensions that go on and on: what is held of them, and when they are refused."""

import itertools
import tracemalloc
from collections.abc import Iterator

import pytest

from adapters.http.server.error_body import status_of
from adapters.http.server.request.refusals import MAX_HEAD_BYTES, MAX_HEADERS
from tests.unit.http_read import Read, get

CHUNKED = b"POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n"
ENOUGH_BYTES = 20 * MAX_HEAD_BYTES


def cut(sent: bytes, step: int) -> Iterator[bytes]:
    return (sent[at : at + step] for at in range(0, len(sent), step))


TINY_FIELDS = [b"a:\r\n", b"a:b\r\n", b"x-%d: y\r\n"]


def fields(one: bytes, count: int) -> bytes:
    return b"".join(one % number if b"%" in one else one for number in range(count))


@pytest.mark.parametrize("one", TINY_FIELDS)
@pytest.mark.parametrize("before", [b"GET / HTTP/1.1\r\n", CHUNKED + b"0\r\n"], ids=["headers", "trailers"])
@pytest.mark.parametrize("step", [1, 7, 1000, 4096, 10**6])
def test_tiny_fields_are_counted_while_they_come(one: bytes, before: bytes, step: int) -> None:
    sent = fields(one, 16_300)
    read = Read(before)
    taken = held = 0
    tracemalloc.start()
    for piece in cut(sent, step):
        read.refusal = read.reader.feed(piece)
        if read.refusal is not None:
            break
        taken += len(piece)
        held = max(held, tracemalloc.get_traced_memory()[0])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert read.refusal is not None
    assert status_of(read.refusal) == 431
    assert held < 100_000
    assert peak < 300_000 + step
    assert step > 10_000 or taken <= len(fields(one, MAX_HEADERS + 2)) + 2 * 4096


def test_as_many_headers_as_are_allowed_pass_however_they_come() -> None:
    for step in (1, 1000, 10**6):
        headers = fields(b"x-%d: y\r\n", MAX_HEADERS)
        read = Read(*cut(get(headers=headers), step))

        assert read.refusal is None
        assert len(read.only.scope["headers"]) == MAX_HEADERS


EXTENDED = {
    "one": b"1;" + b"x" * 60_000 + b"\r\na\r\n",
    "many": b"1" + b";x=y" * 1_000 + b"\r\na\r\n",
    "quoted": b'1;x="' + b"y" * 1_000 + b'"\r\na\r\n',
    "zeros before the size": b"0" * 100 + b"1\r\na\r\n",
}


@pytest.mark.parametrize("chunk", EXTENDED.values(), ids=EXTENDED.keys())
@pytest.mark.parametrize("step", [1000, 16 * 1024, 256 * 1024])
def test_chunks_may_not_bring_far_more_along_than_they_hold(chunk: bytes, step: int) -> None:
    read, taken = Read(CHUNKED), 0
    for piece in cut(chunk * (ENOUGH_BYTES // len(chunk)), step):
        read.refusal = read.reader.feed(piece)
        taken += len(piece)
        if read.refusal is not None:
            break

    assert read.refusal is not None
    assert status_of(read.refusal) in {400, 431}
    assert taken <= 2 * MAX_HEAD_BYTES + step


@pytest.mark.parametrize(
    "chunk",
    [
        b"1\r\na\r\n",
        b"5;x=y\r\nabcde\r\n",
        b"2000;chunk-signature=" + b"0" * 64 + b"\r\n" + bytes(0x2000) + b"\r\n",  # as AWS signs uploads
    ],
)
@pytest.mark.parametrize("step", [1000, 256 * 1024])
def test_ordinary_chunks_go_on_for_ever(chunk: bytes, step: int) -> None:
    read = Read(CHUNKED)
    count = ENOUGH_BYTES // len(chunk)
    for piece in cut(chunk * count + b"0\r\n\r\n", step):
        assert read.reader.feed(piece) is None

    assert read.only.is_complete
    assert len(read.only.body) == count * (len(chunk.partition(b"\r\n")[2]) - 2)


def test_one_field_that_does_not_end_is_refused_at_the_limit() -> None:
    for start in (b"GET /", b"GET / HTTP/1.1\r\nx", b"GET / HTTP/1.1\r\nx: ", CHUNKED + b"0\r\nx: ", CHUNKED + b"1;"):
        read, taken = Read(start), 0
        for piece in itertools.repeat(b"a" * 1_000):
            read.refusal = read.reader.feed(piece)
            taken += 1_000
            if read.refusal is not None:
                break

        assert read.refusal is not None
        assert taken <= MAX_HEAD_BYTES + 1_000
