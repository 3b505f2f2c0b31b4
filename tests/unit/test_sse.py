"""Event boundaries and event contents, whatever the chunking and the line ends."""

from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.upstreams.openai.streams.event_buffer import MAX_PENDING_BYTES
from adapters.upstreams.openai.streams.sse import complete_until, parse_event, split_events
from adapters.upstreams.openai.streams.stream_scanner import OpenAIStreamScanner
from application.messages import Frame, FrameKind
from domain.failure import FailureKind
from tests.unit.chopped import chop

STREAMS = [
    b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n',
    b'data: {"choices":[{"delta":{"content":"\xc3\xa4"}}]}\r\n\r\n: note\r\n\r\ndata: [DONE]\r\n\r\n',
    b'event: x\rdata: {"a":1}\r\rdata: [DONE]\r\r',
    b'data: {"choices":[]}\n\ndata: {"choices":[{"delta":{"content":"no end',
    b"\n\n\ndata: [DONE]\n\n",
    b"",
]


@given(st.sampled_from(STREAMS) | st.binary(max_size=200), st.lists(st.integers(0, 10_000), max_size=20))
def test_what_is_relayed_is_what_came_byte_for_byte(stream: bytes, cuts: list[int]) -> None:
    scanner = OpenAIStreamScanner(owns_credential=True)

    out = b"".join(scanner.relay(chunk) for chunk in chop(stream, cuts)) + scanner.finish()

    assert out == stream


@given(st.sampled_from(STREAMS) | st.binary(max_size=200), st.lists(st.integers(0, 10_000), max_size=20))
def test_what_is_fed_comes_out_as_frames_and_rest_byte_for_byte(stream: bytes, cuts: list[int]) -> None:
    scanner = OpenAIStreamScanner(owns_credential=True)

    frames = [frame for chunk in chop(stream, cuts) for frame in scanner.feed(chunk)]

    assert b"".join(frame.data for frame in frames) + scanner.finish() == stream


@given(st.sampled_from(STREAMS[:2]), st.lists(st.integers(0, 10_000), max_size=20))
def test_chunking_changes_neither_the_events_nor_what_they_mean(stream: bytes, cuts: list[int]) -> None:
    whole, chopped = OpenAIStreamScanner(owns_credential=True), OpenAIStreamScanner(owns_credential=True)

    def meant(frames: Iterable[Frame]) -> list[tuple[bytes, FrameKind]]:
        """Comments and empty lines need not come with the same event."""
        return [(frame.data.strip(), frame.kind) for frame in frames if frame.kind is not FrameKind.PREAMBLE]

    expected = meant(whole.feed(stream))
    got = meant(frame for chunk in chop(stream, cuts) for frame in chopped.feed(chunk))

    assert got == expected
    assert chopped.ended


@given(st.lists(st.integers(0, 10), max_size=8))
@example([3])
def test_a_byte_order_mark_is_no_event_however_what_stands_before_it_is_cut(cuts: list[int]) -> None:
    stream = b':t\n\xef\xbb\xbfdata: {"error":{"code":"content_filter"}}\n\n'
    scanner = OpenAIStreamScanner(owns_credential=True)

    frames = [frame for chunk in chop(stream, cuts) for frame in scanner.feed(chunk)]

    assert frames[-1].failure is not None
    assert frames[-1].failure.kind is FailureKind.CLIENT


@given(st.lists(st.integers(0, 10_000), max_size=20))
def test_relayed_pieces_end_where_events_end(cuts: list[int]) -> None:
    scanner = OpenAIStreamScanner(owns_credential=True)

    pieces = [scanner.relay(chunk) for chunk in chop(STREAMS[0], cuts)]

    assert all(piece.endswith(b"\n\n") for piece in pieces if piece)


def test_crlf_is_one_line_end_and_not_a_blank_line() -> None:
    assert complete_until(b"data: 1\r\n") == 0
    assert list(split_events(b"data: 1\r\ndata: 2\r\n\r\n")) == [b"data: 1\r\ndata: 2\r\n\r\n"]


def test_data_lines_are_joined_and_lose_one_space() -> None:
    event = parse_event(b"event: ping\ndata:  one\ndata:two\nid: 7\n\n")

    assert (event.name, event.data, event.recognised) == (b"ping", b" one\ntwo", True)


@pytest.mark.parametrize("text", [b"<html>no</html>\n\n", b'{"error": {}}\n\n'])
def test_what_is_no_event_stream_is_recognised_as_such(text: bytes) -> None:
    assert not parse_event(text).recognised


@pytest.mark.parametrize("lead", [b": note\n", b":\n\n", b""])
def test_a_comment_makes_no_event_of_what_follows_it(lead: bytes) -> None:
    scanner = OpenAIStreamScanner(owns_credential=True)

    kinds = [frame.kind for frame in scanner.feed(lead + b"<p>Bad gateway\n\n")]

    assert kinds[-1] is FrameKind.ERROR


def test_an_event_without_end_passes_in_pieces_once_it_is_too_long() -> None:
    scanner = OpenAIStreamScanner(owns_credential=True)
    huge = b"data: " + b"x" * (MAX_PENDING_BYTES + 1)

    assert scanner.relay(huge) == huge
    assert scanner.error_frame("gone", "x").startswith(b"\n\ndata: ")
