"""Server-sent events as bytes: where one ends, and what it carries. Nothing is ever re-encoded.

An event ends with a blank line; lines end with LF, CR LF or CR (WHATWG HTML, "Server-sent events", 9.2.5).
"""

import re
from collections.abc import Iterator

from msgspec import Struct

_LINE_END = re.compile(rb"\r\n|\n|\r")
_FIELDS = (b"data", b"event", b"id", b"retry")
_BLANK_LINES = (b"\n\n", b"\n\r", b"\r\r")
"""How a line's end and a blank line meet; where the last of them is CR, an LF that follows belongs to it."""

ENDS = (b"\n\n", b"\r\n\r\n")
"""How nearly all events end."""

BOM = b"\xef\xbb\xbf"
"""A stream may begin with it, and it means nothing (WHATWG HTML, 9.2.5; "UTF-8 decode")."""

MAX_LINES = 10_000
"""More lines than this make no event of anybody's."""
_LARGE_BYTES = 64 * 1024

DONE = b"[DONE]"
DONE_EVENT = b"data: [DONE]\n\n"
"""What OpenAI ends a stream with."""


class Event(Struct, frozen=True):
    """What one event says: its name, its data lines joined, and whether it is server-sent-event syntax at all."""

    name: bytes
    data: bytes | None
    """None = it has no data line: a comment, or only an id."""
    recognised: bool


def complete_until(buffer: bytes | bytearray, start: int = 0) -> int:
    """The length of the whole events at the start of `buffer`; 0 = none is whole.

    Nothing before `start` is looked at: an event that comes in many pieces is searched once, and not once a piece.
    """
    if buffer.endswith(ENDS):
        return len(buffer)
    mixed = buffer.rfind(b"\n\r", start)
    if mixed >= 0 and mixed + 2 == len(buffer):  # only the next byte can tell where this blank line ends
        mixed = buffer.rfind(b"\n\r", start, mixed + 1)
    end = max(buffer.rfind(b"\n\n", start), buffer.rfind(b"\r\r", start), mixed)
    if end < 0:
        return 0
    return end + (3 if buffer.startswith(b"\r\n", end + 1) else 2)


def split_events(buffer: bytes) -> Iterator[bytes]:
    """The events in `buffer`, each with the blank line that ends it, and whatever follows the last one.

    By plain searches, each of which goes through the buffer once: a regular expression takes a second for the megabytes
    of one image.
    """
    start = 0
    marks = _BLANK_LINES if b"\r" in buffer else _BLANK_LINES[:1]
    ahead = [buffer.find(mark) for mark in marks]
    while True:
        for number, at in enumerate(ahead):
            if 0 <= at < start:
                ahead[number] = buffer.find(marks[number], start)
        found = [at for at in ahead if at >= 0]
        if not found:
            break
        end = min(found) + 2
        if buffer.startswith(b"\r\n", end - 1):
            end += 1
        yield buffer[start:end]
        start = end
    if start < len(buffer):
        yield buffer[start:]


def read_whole(body: bytes) -> Iterator[Event]:
    """The events of a finished stream that carry data. Raises `ValueError` where it was cut inside an event, or holds
    what is no event."""
    if body[complete_until(body) :].strip():
        raise ValueError("the last event is not whole")
    for frame in split_events(body):
        event = parse_event(frame)
        if not event.recognised:
            raise ValueError("not an event")
        if event.data is not None:
            yield event


def begins_like_events(text: bytes | bytearray) -> bool:
    """Could this be the beginning of an event stream, though no event is whole yet?"""
    start = bytes(text[:64])
    line = _LINE_END.split(start.removeprefix(BOM).lstrip(), maxsplit=1)[0]
    return BOM.startswith(start) or line.partition(b":")[0] in (b"", *_FIELDS)


def parse_event(frame: bytes) -> Event:
    """Read one event. A field's value loses one leading space; unknown fields are skipped, as the standard says."""
    if len(frame) > _LARGE_BYTES and frame.count(b"\n") + frame.count(b"\r") > 2 * MAX_LINES:
        return Event(b"", None, recognised=False)
    name = b""
    data: list[bytes] = []
    recognised = has_fields = False
    for line in _lines(frame):
        if not line:
            continue
        colon = line.find(b":")
        field = line if colon < 0 else line[:colon]
        has_fields = has_fields or bool(field)
        recognised = recognised or field in _FIELDS
        if field == b"data":
            data.append(_value(line, colon))
        elif field == b"event":
            name = _value(line, colon)
    # Comments are events, and make none of what follows them: they may have come, and gone on, before it.
    recognised = recognised or not has_fields or not frame.strip()
    return Event(name, b"\n".join(data) if data else None, recognised)


def _value(line: bytes, colon: int) -> bytes:
    """Copied once: it may be megabytes."""
    if colon < 0:
        return b""
    return line[colon + 2 if line.startswith(b" ", colon + 1) else colon + 1 :]


def _lines(frame: bytes) -> list[bytes]:
    if b"\r" in frame:
        frame = frame.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if BOM in frame:  # at any line, as the lines before it may have gone on ahead of it
        frame = frame.removeprefix(BOM).replace(b"\n" + BOM, b"\n")
    return frame.split(b"\n")
