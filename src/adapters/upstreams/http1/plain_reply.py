"""Whole replies of the plainest kind, which are most: read without a parser, or not at all.

Status 200, lines of printable ASCII, no header twice, a `content-length`, and exactly that much behind the headers.
Whatever is taken here llhttp takes as well, and to mean the same; a test holds one against the other.
"""

import re

from application.messages import Headers
from domain.bounded_memo import Remembered

START = b"HTTP/1.1 200 OK\r\n"

_LONGEST_LENGTH = 10  # digits
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_PARSED = frozenset({"transfer-encoding", "proxy-connection", "upgrade"})  # headers that change what others mean


def _field(line: bytes) -> tuple[str, str]:
    """Name, in lower case, and value. Raises ValueError for a line that no plain reply has."""
    text = line.decode("ascii")
    name, _, value = text.partition(": ")
    name = name.lower()
    if not text.isprintable() or not value or value[0] == " " or value[-1] == " " or not _TOKEN.fullmatch(name):
        raise ValueError("not a plain line")
    if name in _PARSED or (name == "connection" and value.lower() != "keep-alive"):
        raise ValueError("to be parsed")
    if name == "content-length" and not (value.isdecimal() and len(value) <= _LONGEST_LENGTH):
        raise ValueError("no length")
    return name, value


# Most lines of a provider's replies are the same again and again.
_fields = Remembered(_field, most=1024, longest=128)
_field_of = _fields.__getitem__


def plain_reply(data: bytes, max_head_bytes: int, max_headers: int) -> tuple[Headers, bytes] | None:
    """Headers and body of the reply that `data`, which begins with `START`, is; None = it has to be parsed."""
    end = data.find(b"\r\n\r\n")
    if not len(START) < end <= max_head_bytes - 4:
        return None
    try:
        headers = tuple(map(_field_of, data[len(START) : end].split(b"\r\n")))
        named = dict(headers)
        length = int(named["content-length"])
    except (ValueError, KeyError):
        return None
    if len(named) != len(headers) or len(headers) > max_headers or len(data) - end - 4 != length:
        return None
    return headers, data[end + 4 :]
