"""The head of a reply as bytes: status line and headers, and what they say about the body that follows."""

import time
from collections.abc import Sequence
from email.utils import formatdate
from enum import Enum
from functools import lru_cache
from http import HTTPStatus

from msgspec import Struct

Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case, as ASGI has them."""


class Framing(Enum):
    """How a client knows where a body ends (RFC 9112, 6.3)."""

    NONE = "there is no body"
    LENGTH = "content-length"
    CHUNKED = "transfer-encoding: chunked"
    CLOSE = "the end of the connection"


NONE, LENGTH, CHUNKED, CLOSE = Framing


class ReplyHead(Struct, frozen=True):
    """What is sent first."""

    raw: bytes
    framing: Framing
    length: int
    """Bytes of the body; 0 unless the framing is a length."""


class UnsendableHead(ValueError):
    """A status or header that would not arrive as what it is."""


_END = (b"", b"")
_STATUS_LINES = {status.value: b"HTTP/1.1 %d %b" % (status.value, status.phrase.encode()) for status in HTTPStatus}
_STATUS_TEXTS = {status: line.decode() for status, line in _STATUS_LINES.items() if status >= 200}
_FORBIDDEN = bytes(byte for byte in (*range(0x20), 0x7F) if byte != 0x09)


def reply_head(status: int, headers: Headers, *, is_head: bool, is_http10: bool, keeps: bool) -> ReplyHead:
    """`is_head`: it answers a HEAD request. `keeps`: the connection stays open after the body, if the framing allows.

    Raises `UnsendableHead` for a line break or a NUL in a header, or a content-length that is no number.
    """
    if not 200 <= status <= 999:
        raise UnsendableHead(f"{status} is not the status of a reply")
    by_name = dict(headers)
    framing, length = CHUNKED, 0
    if is_head or status in {204, 304}:
        framing = NONE
    elif b"content-length" in by_name:
        framing, length = LENGTH, _length(by_name[b"content-length"])
    elif is_http10:
        framing, keeps = CLOSE, False
    lines = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d " % status]
    lines += map(b": ".join, headers)
    if b"date" not in by_name:
        lines.append(_date_line(int(time.time())))
    if framing is CHUNKED:
        lines.append(b"transfer-encoding: chunked")
    if not keeps:
        lines.append(b"connection: close")
    elif is_http10:
        lines.append(b"connection: keep-alive")
    lines += _END
    raw = b"\r\n".join(lines)
    if len(raw) - len(raw.translate(None, b"\r\n\0")) != 2 * (len(lines) - 1):
        raise UnsendableHead("a header holds a line break or a NUL")
    return ReplyHead(raw, framing, length)


def whole_head(status: int, fields: Sequence[str], *, is_http10: bool, keeps: bool) -> bytes:
    """The head of a reply whose body is all there. `fields` are its headers, `name: value`, names in lower case; among
    them the length of the body, where that has to be said.

    Raises `UnsendableHead` for a character that no header may hold (RFC 9110, 5.5).
    """
    lines = [_STATUS_TEXTS.get(status) or _unusual(status), *fields]
    if not keeps:
        lines.append("connection: close")
    elif is_http10:
        lines.append("connection: keep-alive")
    text = "\r\n".join(lines)
    breaks = len(lines) + 1
    if "\r\ndate: " not in text:
        text = f"{text}\r\n{_date_line(int(time.time())).decode()}"
        breaks += 1
    raw = f"{text}\r\n\r\n".encode("latin-1")
    if len(raw) - len(raw.translate(None, _FORBIDDEN)) != 2 * breaks:
        raise UnsendableHead("a header holds a control character")
    return raw


def _unusual(status: int) -> str:
    if not 200 <= status <= 999:
        raise UnsendableHead(f"{status} is not the status of a reply")
    return f"HTTP/1.1 {status} "


def _length(value: bytes) -> int:
    if not value.isdigit():
        raise UnsendableHead("content-length is no number")
    return int(value)


@lru_cache(maxsize=2)
def _date_line(now: int) -> bytes:
    return b"date: " + formatdate(now, usegmt=True).encode()
