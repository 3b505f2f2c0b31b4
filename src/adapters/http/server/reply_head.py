"""The head of a reply as bytes: status line and headers, and what they say about the body that follows."""

import time
from collections.abc import Sequence
from email.utils import formatdate
from enum import Enum
from functools import lru_cache
from http import HTTPStatus
from math import floor

import msgspec

Fields = Sequence[str]
"""Headers, each as `name: value`, names in lower case."""


class Framing(Enum):
    """How a client knows where a body ends (RFC 9112, 6.3)."""

    NONE = "there is no body"
    LENGTH = "content-length"
    CHUNKED = "transfer-encoding: chunked"
    CLOSE = "the end of the connection"


NONE, LENGTH, CHUNKED, CLOSE = Framing

BODILESS = frozenset({204, 304})
"""Statuses of replies that never have a body."""

_LENGTH_FIELD = "content-length: "
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus if status >= 200}
_as_json = msgspec.json.Encoder().encode
_QUOTES, _ESCAPES = 2, 2
"""How many characters a head is longer as JSON: once, and for each CR LF."""
_WITHOUT_CONTROLS = bytes(0x20 if byte == 0x7F or (byte < 0x20 and byte != 0x09) else byte for byte in range(256))


class UnsendableHead(ValueError):
    """A status or header that would not arrive as what it is."""


def framing_of(status: int, fields: Fields, *, is_head: bool, is_http10: bool) -> tuple[Framing, int]:
    """How the body of such a reply ends, and its length where that is said, else 0. `is_head`: it answers HEAD.

    Raises `UnsendableHead` for a content-length that is no number.
    """
    if is_head or status in BODILESS:
        return NONE, 0
    for field in fields:
        if field.startswith(_LENGTH_FIELD):
            digits = field.removeprefix(_LENGTH_FIELD)
            if not (digits.isascii() and digits.isdigit()):
                raise UnsendableHead("content-length is no number")
            return LENGTH, int(digits)
    return (CLOSE if is_http10 else CHUNKED), 0


def reply_head(status: int, fields: Fields, is_http10: bool, keeps: bool) -> bytes:
    """The head with these headers; they say the framing. `keeps`: the connection stays open after the body.

    Raises `UnsendableHead` for a character that no header may hold (RFC 9110, 5.5), and a status no reply ends with.
    """
    text = "\r\n".join((_STATUS_LINES.get(status) or _unusual(status), *fields))
    # As JSON a text grows by what is escaped or not ASCII: that is seen in half the time of a look at each byte.
    if len(_as_json(text)) != len(text) + _QUOTES + _ESCAPES * len(fields) or "\x7f" in text:
        _check_each(fields)
    if not keeps or is_http10:
        text += "\r\nconnection: keep-alive" if keeps else "\r\nconnection: close"
    if "\r\ndate: " not in text:
        text += _date_line(floor(time.time()))
    return f"{text}\r\n\r\n".encode("latin-1")


def switching_head(fields: Fields) -> bytes:
    """The head of a reply after which the connection speaks another protocol. Raises as `reply_head`."""
    _check_each(fields)
    return "\r\n".join(("HTTP/1.1 101 Switching Protocols", *fields)).encode("latin-1") + (
        f"{_date_line(floor(time.time()))}\r\n\r\n".encode()
    )


def _check_each(fields: Fields) -> None:
    told = "".join(fields).encode("latin-1")
    if told.translate(_WITHOUT_CONTROLS) != told:
        raise UnsendableHead("a header holds a control character")


def _unusual(status: int) -> str:
    if not 200 <= status <= 999:
        raise UnsendableHead(f"{status} is not the status of a reply")
    return f"HTTP/1.1 {status} "


@lru_cache(maxsize=2)
def _date_line(now: int) -> str:
    return f"\r\ndate: {formatdate(now, usegmt=True)}"
