"""Where a request body names its model: the key `model` of its top level, however it is spelt.

Which of several is the one is left to msgspec's decoder, which skips all else at the speed of memory: each is renamed
in a copy, and those that are then found are at the top level.
"""

import re
from functools import cache
from typing import Any

import msgspec
from msgspec import Raw

from application.body.readable import readable

MAX_KEYS = 1000  # so many keys `model` may stand in one body, at any depth

_KEY = b'"model"'
_ESCAPED_LETTER = re.compile(rb"\\u00(?:6[cCdDfF45])")
_ANY_KEY = re.compile(rb'"(?:m|\\u006[dD])(?:o|\\u006[fF])(?:d|\\u0064)(?:e|\\u0065)(?:l|\\u006[cC])"(?=[ \t\r\n]*+:)')
_MARK = "llmproxy.model."
_AT_A_TIME = (8, 128)
_ABSENT = Raw(b"")


class TooManyKeys(ValueError):
    """More than `MAX_KEYS`, or keys that nobody writes by chance."""


def may_stand_twice(outline: bytes) -> bool:
    """Could the key stand more than once, at any depth, or in other letters, in the body of that outline? Cheap, and
    mostly enough."""
    # `in` of bytes costs several times as much: it takes what is looked for as a number first, and drops the error.
    return outline.count(_KEY) > 1 or (outline.find(b"\\u00") >= 0 and _ESCAPED_LETTER.search(outline) is not None)


def model_keys(body: bytes) -> list[tuple[int, int]]:
    """Where the keys of the top level of a JSON object begin and end; raises `TooManyKeys`."""
    found: list[tuple[int, int]] = []
    for match in _ANY_KEY.finditer(body):
        found.append(match.span())
        if len(found) > MAX_KEYS:
            raise TooManyKeys(f"more than {MAX_KEYS} keys 'model'")
    if not found:
        return found
    size = next((size for size in _AT_A_TIME if size >= len(found)), _AT_A_TIME[-1])
    if _set(body, size):
        raise TooManyKeys(f"a key that begins with '{_MARK}'")
    return [
        found[start + n] for start in range(0, len(found), size) for n in _top_level(body, found[start:][:size], size)
    ]


def _top_level(body: bytes, keys: list[tuple[int, int]], size: int) -> list[int]:
    """Which of these keys, of which there are at most `size`, stand at the top level."""
    pieces: list[bytes] = []
    start = 0
    for number, (begin, end) in enumerate(keys):
        pieces += (body[start:begin], f'"{_MARK}{number}"'.encode())
        start = end
    pieces.append(body[start:])
    return _set(b"".join(pieces), size)


def _set(body: bytes, size: int) -> list[int]:
    """The numbers of the marks that are keys of the top level."""
    decoder = _marks(size)
    try:
        found = decoder.decode(body)
    except msgspec.DecodeError:
        found = decoder.decode(readable(body, numbers=False))
    return [number for number in range(size) if getattr(found, f"n{number}") is not _ABSENT]


@cache
def _marks(size: int) -> "msgspec.json.Decoder[Any]":
    """Of as few sizes as `_AT_A_TIME` has."""
    fields = [(f"n{number}", Raw, _ABSENT) for number in range(size)]
    return msgspec.json.Decoder(msgspec.defstruct("Marks", fields, rename=lambda name: _MARK + name[1:]))
