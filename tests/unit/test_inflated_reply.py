"""A stream that was zipped although identity was asked for is read, and passes as what it is."""

import random
import zlib
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.upstreams.openai.inflated_reply import MAX_PIECE_BYTES, InflatedReply, plain
from application.ports import UpstreamFailed, UpstreamReply
from domain.failure import Failure, FailureKind
from tests.fakes import FakeReply
from tests.unit.stream_line import DONE, HELLO, STOP, Line

BITS = {"gzip": 31, "x-gzip": 31, "GZIP": 31, "deflate": 15}
RAW = -15


def zipped(*pieces: bytes, bits: int = 31) -> list[bytes]:
    """Each piece flushed, as a server does that streams, and the end."""
    deflater = zlib.compressobj(wbits=bits)
    return [*(deflater.compress(piece) + deflater.flush(zlib.Z_SYNC_FLUSH) for piece in pieces), deflater.flush()]


def reply(pieces: list[bytes | Failure], coding: str = "gzip") -> FakeReply:
    headers = (("content-type", "text/event-stream"), ("content-encoding", coding), ("content-length", "999"))
    return FakeReply(200, pieces, headers)


async def pieces_of(got: UpstreamReply) -> list[bytes]:
    pieces = []
    while piece := await got.receive():
        pieces.append(piece)
    return pieces


@pytest.mark.parametrize(("coding", "bits"), [*BITS.items(), ("deflate", RAW)])
async def test_each_piece_is_there_as_soon_as_it_was_flushed(coding: str, bits: int) -> None:
    got = plain(reply([*zipped(HELLO, STOP, DONE, bits=bits)], coding))

    assert await pieces_of(got) == [HELLO, STOP, DONE]
    assert got.headers == (("content-type", "text/event-stream"),)
    assert got.status == 200


@given(st.binary(max_size=2000), st.lists(st.integers(0, 10_000), max_size=20), st.sampled_from([31, 15, RAW]))
async def test_however_the_wire_cuts_it_the_bytes_are_the_same(body: bytes, cuts: list[int], bits: int) -> None:
    coded = b"".join(zipped(body, bits=bits))
    edges = sorted({0, len(coded), *(cut % (len(coded) + 1) for cut in cuts)})
    got = InflatedReply(reply([coded[a:b] for a, b in pairwise(edges)]), "gzip" if bits == 31 else "deflate")

    assert b"".join(await pieces_of(got)) == body


async def test_members_may_follow_each_other_and_padding_the_last() -> None:
    one, two = b"".join(zipped(HELLO)), b"".join(zipped(DONE))

    assert b"".join(await pieces_of(plain(reply([one + two[:5], two[5:] + b"\0\0"])))) == HELLO + DONE


async def test_a_bomb_is_inflated_bit_by_bit() -> None:
    bomb = zlib.compress(bytes(64 << 20), wbits=31)
    got = plain(reply([bomb]))
    sizes = [len(await got.receive()) for _ in range(100)]

    assert len(bomb) < 100_000
    assert max(sizes) <= MAX_PIECE_BYTES


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        (zipped(HELLO)[:1], FailureKind.TRUNCATED),
        ([b"no zip at all, but plain text"], FailureKind.JUNK),
        ([zipped(HELLO)[0], b"\xff" * 50], FailureKind.JUNK),
        ([zipped(HELLO)[0], Failure(FailureKind.RESET)], FailureKind.RESET),
    ],
)
async def test_what_is_cut_or_broken_fails(pieces: list[bytes | Failure], kind: FailureKind) -> None:
    with pytest.raises(UpstreamFailed) as failed:
        await pieces_of(plain(reply(pieces)))

    assert failed.value.failure.kind is kind


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "x" * 100])
async def test_another_coding_is_an_error_that_says_so_and_another_endpoint_is_asked(coding: str) -> None:
    line = Line(lambda: reply([HELLO], coding), lambda: FakeReply(200, [HELLO, DONE]))

    assert await line.text() == HELLO + DONE
    assert "content-encoding" in line.trace.attempts[0].outcome
    assert line.nothing_is_left()


@pytest.mark.parametrize("coding", ["", "identity", "Identity"])
def test_what_is_not_coded_is_left_alone(coding: str) -> None:
    got = reply([HELLO], coding)

    assert plain(got) is got


@pytest.mark.parametrize("coding", BITS)
async def test_a_zipped_stream_passes_plain_and_is_kept_plain(coding: str) -> None:
    line = Line(lambda: reply([*zipped(HELLO, STOP, DONE, bits=BITS[coding])], coding))

    assert await line.answers(2) == [HELLO + STOP + DONE] * 2
    assert await line.answers(1) == [HELLO + STOP + DONE]
    assert len(line.upstream.calls) == 1


@pytest.mark.parametrize(
    "end",
    [lambda: Failure(FailureKind.RESET), lambda: random.Random(1).randbytes(200)],
)
async def test_a_zipped_stream_that_breaks_off_says_so(end: Callable[[], bytes | Failure]) -> None:
    line = Line(lambda: reply([zipped(HELLO)[0], end()]))

    assert b'"upstream_stream_error"' in await line.text()


async def test_a_zipped_answer_in_one_piece_passes_plain() -> None:
    body = b'{"choices":[{"message":{"content":"Hi"}}]}'
    line = Line(lambda: reply(zipped(body)))  # type: ignore[arg-type]

    assert await line.answers(1) == [body]
