"""Replies that go on and on, and idle connections: what is held of them."""

import asyncio
import tracemalloc
from collections.abc import Iterator
from typing import cast

import pytest

from adapters.upstreams.http1.connection import Connection
from adapters.upstreams.http1.pool import Pool, Spare
from domain.failure import FailureKind
from tests.unit.http_line import Wire
from tests.unit.reply_read import OK, Read

CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
MOST_BYTES = 64 * 1024
PATIENCE_S = 20.0


def cut(sent: bytes, step: int) -> Iterator[bytes]:
    return (sent[at : at + step] for at in range(0, len(sent), step))


@pytest.mark.parametrize("one", [b"a:\r\n", b"a:b\r\n"])
@pytest.mark.parametrize("before", [OK, b"HTTP/1.1 103 Hints\r\n"], ids=["final", "interim"])
@pytest.mark.parametrize("step", [1, 1000, 10**6])
def test_tiny_headers_are_counted_while_they_come(one: bytes, before: bytes, step: int) -> None:
    sent, read = one * 16_300, Read(before)
    held = 0
    tracemalloc.start()
    for piece in cut(sent, step):
        read.failure = read.reader.feed(piece)
        if read.failure is not None:
            break
        held = max(held, tracemalloc.get_traced_memory()[0])
    left, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert read.failure is not None
    assert (read.failure.kind, read.failure.reason) == (FailureKind.JUNK, "headers too large")
    assert held < 100_000
    assert left < 200_000  # Python keeps 2,000 tuples for others
    assert peak < 1_000_000 + step


EXTENDED = {
    "one": b"1;" + b"x" * 60_000 + b"\r\na\r\n",
    "many": b"1" + b";x=y" * 1_000 + b"\r\na\r\n",
    "zeros before the size": b"0" * 100 + b"1\r\na\r\n",
}


@pytest.mark.parametrize("chunk", EXTENDED.values(), ids=EXTENDED.keys())
@pytest.mark.parametrize("step", [1000, 256 * 1024])
def test_chunks_may_not_bring_far_more_along_than_they_hold(chunk: bytes, step: int) -> None:
    read, taken = Read(CHUNKED), 0
    for piece in cut(chunk * (20 * MOST_BYTES // len(chunk)), step):
        read.failure = read.reader.feed(piece)
        taken += len(piece)
        if read.failure is not None:
            break

    assert read.failure is not None
    assert read.failure.kind is FailureKind.JUNK
    assert taken <= 2 * MOST_BYTES + step


@pytest.mark.parametrize("chunk", [b"1\r\na\r\n", b"5;x=y\r\nabcde\r\n", b"1000\r\n" + bytes(0x1000) + b"\r\n"])
@pytest.mark.parametrize("step", [1000, 256 * 1024])
def test_ordinary_chunks_go_on_for_ever(chunk: bytes, step: int) -> None:
    count = 20 * MOST_BYTES // len(chunk)
    read = Read(CHUNKED, *cut(chunk * count + b"0\r\n\r\n", step))

    assert read.failure is None
    assert read.is_clean
    assert len(read.body) == count * (len(chunk.partition(b"\r\n")[2]) - 2)


@pytest.mark.parametrize("step", [1000, 256 * 1024])
def test_a_body_in_tiny_chunks_holds_little_more_than_its_bytes(step: int) -> None:
    chunks = b"2\r\nab\r\n" * (256 * 1024 // 7)
    read = Read(CHUNKED)
    tracemalloc.start()
    for piece in cut(chunks, step):
        assert read.reader.feed(piece) is None
        if read.reply.waiting_bytes > 128 * 1024:  # the connection reads no more
            break
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held < 2 * 256 * 1024


@pytest.mark.parametrize("rest", [b"", b"\r\n", b"x", OK + b"content-length: 0\r\n\r\n", bytes(100_000)])
@pytest.mark.parametrize("size", [16_000, 16 * 1024, 40_000])
def test_what_follows_a_large_reply_is_seen_wherever_it_begins(size: int, rest: bytes) -> None:
    for sent in (
        OK + b"content-length: %d\r\n\r\n" % size + b"a" * size,
        CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"a" * size),
    ):
        got = Read(sent + rest)

        assert (got.failure, len(got.body)) == (None, size)
        assert got.is_clean == (rest == b"")


def idle_in(pool: Pool) -> Connection:
    """A connection whose exchange is over."""
    connection = Connection(asyncio.get_running_loop(), MOST_BYTES)
    connection.connection_made(cast("asyncio.Transport", Wire()))
    connection.owner = pool
    connection.exchanges = 2
    pool._taken += 1
    pool._members.add(connection)
    pool.released(connection)
    return connection


async def never() -> Connection:
    raise AssertionError


async def test_of_all_pools_together_no_more_are_idle_than_a_share_of_the_files() -> None:
    spare = Spare(most=10)
    pools = [Pool(never, 1000, 30.0, spare, None) for _ in range(3)]

    connections = [idle_in(pools[number % 3]) for number in range(40)]

    assert spare.count == sum(len(pool._idle) for pool in pools) == 10
    assert [each.transport.is_closing() for each in connections if each.transport] == [True] * 30 + [False] * 10
    for pool in pools:
        pool.close()
    assert spare.count == 0


async def test_the_count_of_idle_connections_is_right_whichever_way_they_go() -> None:
    spare = Spare(most=100)
    pool = Pool(never, 1000, 30.0, spare, None)
    first, second, third, fourth = (idle_in(pool) for _ in range(4))

    third.connection_lost(None)
    assert spare.count == 3
    assert pool.take(pool.now()) is fourth
    assert spare.count == 2
    assert spare.close_longest_idle()
    assert not first.is_open
    assert pool.take(pool.now() + 1_000) is None  # too old
    assert not second.is_open
    assert spare.count == 0
    assert not spare.close_longest_idle()
    pool.close()


async def test_who_is_handed_a_connection_that_goes_at_once_takes_its_slot() -> None:
    opened: list[Connection] = []

    async def open_one() -> Connection:
        opened.append(Connection(asyncio.get_running_loop(), MOST_BYTES))
        opened[-1].connection_made(cast("asyncio.Transport", Wire()))
        return opened[-1]

    pool = Pool(open_one, 1, 30.0, Spare(most=10), None)
    first = await pool.wait(pool.now() + PATIENCE_S, PATIENCE_S)
    waiting = asyncio.create_task(pool.wait(pool.now() + PATIENCE_S, PATIENCE_S))
    await asyncio.sleep(0)
    pool.released(first)
    first.connection_lost(None)  # before the other one runs

    assert await waiting is opened[1]
    assert len(opened) == 2
    pool.close()
