"""A reply before it is on the wire, and its bytes once it is."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from itertools import chain
from typing import Any

import msgspec
from msgspec import Struct

JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"
LAST_CHUNK = b"0\r\n\r\n"
KEEP_ALIVE = b""
CLOSES = b"connection: close\r\n"

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode() for status in HTTPStatus}
encode_json = msgspec.json.encode


class EventStream(Struct):
    """Whole SSE frames: what opens a stream, one frame for each token, what finishes it."""

    opening: list[bytes]
    tokens: Iterator[bytes]
    closing: list[bytes]

    def frames(self) -> Iterator[bytes]:
        """All of them, in order. Uses the stream up."""
        return chain(self.opening, self.tokens, self.closing)


class Reply(Struct):
    """Either `body` or `events`. `headers` holds finished lines besides type and framing."""

    status: int
    body: bytes = b""
    content_type: bytes = JSON
    headers: bytes = b""
    events: EventStream | None = None
    limited: bool = False
    """Refused by a rate limit."""
    works: bool = False
    """A model answers: the latency of the settings applies."""
    extra_latency_s: float = 0.0


def json_reply(status: int, value: Any, **more: Any) -> Reply:
    return Reply(status, encode_json(value), **more)


def header_lines(headers: Mapping[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1", "replace")


def head(reply: Reply, framing: bytes, connection: bytes = KEEP_ALIVE) -> bytes:
    """Status line and headers, with the empty line. `framing` and `connection` are finished lines or nothing."""
    status_line = _STATUS_LINES.get(reply.status) or b"HTTP/1.1 %d Unassigned" % reply.status
    content_type = b"content-type: %b\r\n" % reply.content_type if reply.content_type else b""
    return b"%b\r\n%b%b%b%b\r\n" % (status_line, content_type, reply.headers, framing, connection)


def length_framing(body_bytes: int) -> bytes:
    return b"content-length: %d\r\n" % body_bytes


CHUNKED_FRAMING = b"transfer-encoding: chunked\r\n"


def chunk(data: bytes) -> bytes:
    """One HTTP chunk. Nothing for no data: an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
