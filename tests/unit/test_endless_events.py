"""An event that never ends is bounded in bytes and in pieces: junk before content, and after it the stream is cut."""

from collections.abc import Callable

import pytest

from adapters.upstreams.openai.streams import event_buffer
from adapters.upstreams.openai.streams.event_buffer import EventBuffer
from adapters.upstreams.openai.streams.stream_scanner import OpenAIStreamScanner
from application.messages import FrameKind
from domain.failure import FailureKind
from tests.fakes import FakeReply
from tests.unit.stream_line import COMPLETED, DELTA, DONE, HELLO, STOP, Line

BEGUN = b'data: {"choices":[{"delta":{"content":"'
HEADERS = (("content-type", "text/event-stream"),)


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_buffer, "MAX_PENDING_BYTES", 200_000)
    monkeypatch.setattr(event_buffer, "MAX_EVENT_BYTES", 400_000)
    monkeypatch.setattr(event_buffer, "MAX_PIECES", 500)


def fed(buffer: EventBuffer, piece: bytes, times: int) -> tuple[int, int]:
    """Bytes that came out, and the most that was held."""
    out = held = 0
    for _ in range(times):
        out += len(buffer.take(piece))
        held = max(held, buffer.pending_bytes)
    return out, held


@pytest.mark.parametrize("begun", [b"data: ", b": ", b"", b"data: a\n", b"\r"])
@pytest.mark.parametrize(("size", "times"), [(1, 2000), (1000, 2000), (50_000, 20)])
def test_so_much_is_held_and_so_many_pieces_are_taken(begun: bytes, size: int, times: int) -> None:
    buffer = EventBuffer()
    buffer.take(begun)
    _, held = fed(buffer, b"x" * size, times)

    assert held <= 200_000 + size
    assert buffer.is_full
    assert buffer.pending_bytes == 0
    assert fed(buffer, b"x\n\n", 10) == (0, 0)


def test_events_in_many_pieces_are_counted_one_by_one() -> None:
    buffer = EventBuffer()
    event = b"data: " + b"x" * 400 + b"\n\n"
    out = b"".join(buffer.take(event[at : at + 1]) for _ in range(20) for at in range(len(event)))

    assert out == event * 20
    assert not buffer.is_full


def test_each_piece_of_one_byte_takes_a_look_at_a_few_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    search = event_buffer.complete_until

    def counted(text: bytes | bytearray, start: int = 0) -> int:
        nonlocal looked
        looked += len(text) - start
        return search(text, start)

    monkeypatch.setattr(event_buffer, "complete_until", counted)
    fed(EventBuffer(), b"x", 2000)

    assert looked <= 4 * 501


def test_before_content_it_is_junk() -> None:
    for piece in (b"x", b"x" * 50_000):
        scanner = OpenAIStreamScanner(owns_credential=True)
        frames = [*scanner.feed(BEGUN)]
        for _ in range(600):
            frames += scanner.feed(piece)
            if frames:
                break

        assert frames[0].kind is FrameKind.ERROR
        assert frames[0].failure is not None
        assert frames[0].failure.kind is FailureKind.JUNK


PIECES = [b"x", b"x" * 1000, b"x" * 50_000]


@pytest.mark.parametrize("piece", PIECES)
async def test_before_content_another_endpoint_answers(piece: bytes) -> None:
    endless = FakeReply(200, [BEGUN, *[piece] * 5000], HEADERS)
    line = Line(lambda: endless, lambda: FakeReply(200, [HELLO, STOP, DONE], HEADERS))

    assert await line.text() == HELLO + STOP + DONE
    assert "an event without an end" in line.trace.attempts[0].outcome
    assert endless.closed
    assert len(endless._pieces) > 4000 or len(piece) > 1
    assert line.nothing_is_left()


@pytest.mark.parametrize("first", [HELLO, DELTA])
@pytest.mark.parametrize("piece", PIECES)
async def test_after_content_the_stream_is_cut_and_says_so(first: bytes, piece: bytes) -> None:
    endless = FakeReply(200, [first, BEGUN, *[piece] * 5000], HEADERS)
    line = Line(lambda: endless)
    text = await line.text()

    assert text.startswith(first)
    assert b'"upstream_stream_error"' in text
    assert b"an event without an end" in text
    assert len(text) < len(first) + 401_000 + 1000
    assert endless._pieces
    assert endless.closed
    assert line.nothing_is_left()


@pytest.mark.parametrize("ended", [lambda: [HELLO, STOP, DONE], lambda: [DELTA, COMPLETED]])
async def test_after_the_end_of_a_stream_it_harms_nobody(ended: Callable[[], list[bytes]]) -> None:
    endless = FakeReply(200, [*ended(), BEGUN, *[b"x" * 50_000] * 500], HEADERS)
    line = Line(lambda: endless)
    text = await line.text()

    assert text.startswith(b"".join(ended()))
    assert b"upstream_stream_error" not in text
    assert line.nothing_is_left()


async def test_a_first_event_that_is_long_is_waited_for() -> None:
    event = BEGUN + b"x" * 150_000 + b'"}}]}\n\n'
    pieces = [event[at : at + 1000] for at in range(0, len(event), 1000)]
    line = Line(lambda: FakeReply(200, [*pieces, STOP, DONE], HEADERS))

    assert await line.text() == event + STOP + DONE
