"""Runs of whole events out of whatever pieces come, for work that is linear in the bytes."""

import base64
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.upstreams.openai.streams import event_buffer, stream_scanner
from adapters.upstreams.openai.streams.event_buffer import MAX_PENDING_BYTES, EventBuffer
from adapters.upstreams.openai.streams.sse import split_events
from adapters.upstreams.openai.streams.stream_scanner import OpenAIStreamScanner
from adapters.upstreams.openai.streams.worth_reading import _WORTH_READING, is_worth_reading
from tests.unit.chopped import chop

PIECE_BYTES = 16 * 1024
LARGE = 15 * 1024 * 1024


def image_event(size: int, kind: str = "response.image_generation_call.partial_image") -> bytes:
    image = base64.b64encode(random.Random(7).randbytes(size * 3 // 4))
    return b'event: %b\ndata: {"type":"%b","partial_image_b64":"%b"}\n\n' % (kind.encode(), kind.encode(), image)


def pieces_of(stream: bytes) -> list[bytes]:
    return [stream[at : at + PIECE_BYTES] for at in range(0, len(stream), PIECE_BYTES)]


def relayed(pieces: list[bytes]) -> bytes:
    scanner = OpenAIStreamScanner(owns_credential=True)
    return b"".join(scanner.relay(piece) for piece in pieces) + scanner.finish()


def fed(pieces: list[bytes]) -> bytes:
    scanner = OpenAIStreamScanner(owns_credential=True)
    return b"".join(frame.data for piece in pieces for frame in scanner.feed(piece)) + scanner.finish()


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("run", [relayed, fed])
def test_one_event_of_megabytes_is_searched_as_often_as_the_same_bytes_in_many(
    run: Callable[[list[bytes]], bytes], line_end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = 0
    search = event_buffer.complete_until

    def counted(buffer: bytes | bytearray, start: int = 0) -> int:
        nonlocal searched
        searched += len(buffer) - start
        return search(buffer, start)

    monkeypatch.setattr(event_buffer, "complete_until", counted)
    one = image_event(LARGE).replace(b"\n", line_end)
    many = b"".join(image_event(LARGE // 64) for _ in range(64)).replace(b"\n", line_end)

    assert run(pieces_of(one)) == one
    for_one, searched = searched, 0
    assert run(pieces_of(many)) == many

    assert for_one <= 1.1 * len(one)
    assert searched <= 1.1 * len(many)


def test_a_large_event_is_decoded_once_and_only_if_it_may_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    decode = stream_scanner.decode

    def counted(decoder: object, text: bytes) -> object:
        decoded.append(len(text))
        return decode(decoder, text)  # type: ignore[arg-type]

    monkeypatch.setattr(stream_scanner, "decode", counted)
    end = image_event(LARGE // 8, "response.completed")
    scanner = OpenAIStreamScanner(owns_credential=True)
    for piece in pieces_of(image_event(LARGE // 8) + end):
        scanner.relay(piece)

    assert scanner.ended
    assert len(decoded) == 1


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete", "response.cancelled"])
def test_an_end_too_long_to_be_held_is_an_end_all_the_same(kind: str) -> None:
    scanner = OpenAIStreamScanner(owns_credential=True)
    pieces = pieces_of(image_event(MAX_PENDING_BYTES + 4 * PIECE_BYTES, kind))
    out = [scanner.relay(piece) for piece in pieces[:-1]]

    assert out[-1]
    assert not scanner.ended
    out.append(scanner.relay(pieces[-1]))

    assert scanner.ended
    assert b"".join(out) == b"".join(pieces)


def test_after_an_event_too_long_to_be_held_the_next_ones_are_read_again() -> None:
    scanner = OpenAIStreamScanner(owns_credential=True)
    giant = image_event(MAX_PENDING_BYTES + 4 * PIECE_BYTES)
    error = b'data: {"error":{"message":"boom","type":"server_error"}}\n\n'
    out = b"".join(scanner.relay(piece) for piece in pieces_of(giant + error))

    assert out == giant + error
    assert scanner.failure is not None
    assert not scanner.error_frame("gone", "x").startswith(b"\n")


LINE_ENDS = [b"\n", b"\r\n", b"\r"]
ENDS = [(one, other) for one in LINE_ENDS for other in LINE_ENDS if one + other != b"\r\n"]


@given(
    st.lists(st.sampled_from(ENDS), min_size=1, max_size=6),
    st.lists(st.integers(0, 10_000), max_size=12),
)
def test_events_end_with_their_blank_line_whatever_ends_its_lines_and_wherever_it_is_cut(
    ends: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(b"data: %d%b%b" % (number, *pair) for number, pair in enumerate(ends))
    buffer = EventBuffer()

    out = [whole for chunk in chop(stream, cuts) for whole in split_events(buffer.take(chunk))]
    rest = buffer.flush()

    assert b"".join(out) + rest == stream
    numbers = [whole.strip() for whole in [*out, rest] if whole.strip()]
    assert numbers == [b"data: %d" % number for number in range(len(ends))]
    # Only a last CR that may be half of a CR LF keeps an event waiting.
    assert not rest.strip() or stream.endswith(b"\n\r")


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\n", b"\r\n"])
def test_a_comment_passes_as_soon_as_its_line_ends(end: bytes) -> None:
    buffer = EventBuffer()

    assert buffer.take(b": pi") == b""
    assert buffer.take(b"ng" + end + b"data: 1") == b": ping" + end
    assert buffer.take(b"\n\n: next" + end) == b"data: 1\n\n: next" + end
    assert buffer.pending_bytes == 0


def test_what_follows_a_comment_that_ends_with_cr_alone_is_an_event() -> None:
    buffer = EventBuffer()

    assert [buffer.take(piece) for piece in (b": note\rdata: 1\n", b"data: 2\n", b"\n")][:2] == [b"", b""]


def test_a_comment_inside_an_event_waits_for_the_event() -> None:
    buffer = EventBuffer()

    assert buffer.take(b"data: 1\n: ping\n") == b""
    assert buffer.take(b"\n") == b"data: 1\n: ping\n\n"


WORDS = [
    *('"finish_reason"', '"usage"', '"error"', "event:", "error", "[DONE]", "response.", "completed", "failed"),
    *("incomplete", " : ", ":", '"', "{", "}", "\n", " ", "null", "x"),
]


@given(st.lists(st.sampled_from(WORDS), max_size=8))
def test_what_is_worth_reading_is_found_in_large_events_too(parts: list[str]) -> None:
    filling = b'"text":"' + b"x" * 70_000 + b'"'
    chunk = filling + "".join(parts).encode() + filling

    assert is_worth_reading(chunk) is (_WORTH_READING.search(chunk) is not None)
