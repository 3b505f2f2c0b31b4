"""Server-sent events as bytes: where one ends, and what it carries. Nothing is ever re-encoded.

An event ends with a blank line; lines end with LF, CR LF or CR (WHATWG HTML, "Server-sent events", 9.2.5).
"""

import re
from collections.abc import Iterator

from msgspec import Struct

# Atomic groups: without them CR LF would also match as CR, then LF, and every line would look blank.
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_FIELDS = (b"data", b"event", b"id", b"retry")

DONE = b"[DONE]"
DONE_EVENT = b"data: [DONE]\n\n"
"""What OpenAI ends a stream with."""


class Event(Struct, frozen=True):
    """What one event says: its name, its data lines joined, and whether it is server-sent-event syntax at all."""

    name: bytes
    data: bytes | None
    """None = it has no data line: a comment, or only an id."""
    recognised: bool


def complete_until(buffer: bytes | bytearray) -> int:
    """The length of the whole events at the start of `buffer`; 0 = none is whole."""
    if buffer.endswith(b"\n\n"):
        return len(buffer)
    return max(_after(buffer, b"\n\n"), _after(buffer, b"\n\r\n"), _after(buffer, b"\r\r"))


def _after(buffer: bytes | bytearray, mark: bytes) -> int:
    found = buffer.rfind(mark)
    return found + len(mark) if found >= 0 else 0


def split_events(buffer: bytes) -> Iterator[bytes]:
    """The events in `buffer`, each with the blank line that ends it, and whatever follows the last one."""
    start = 0
    for blank in _BLANK_LINE.finditer(buffer):
        yield buffer[start : blank.end()]
        start = blank.end()
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
    line = _LINE_END.split(bytes(text[:64]).lstrip(), maxsplit=1)[0]
    return line.partition(b":")[0] in (b"", *_FIELDS)


def parse_event(frame: bytes) -> Event:
    """Read one event. A field's value loses one leading space; unknown fields are skipped, as the standard says."""
    name = b""
    data: list[bytes] = []
    recognised = False
    for line in _LINE_END.split(frame):
        if not line:
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        recognised = recognised or not field or field in _FIELDS
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return Event(name, b"\n".join(data) if data else None, recognised or not frame.strip())
