"""What the cache reads of a body: its fields, and the bytes that stand for them.

The rules are `domain.caching`'s; here a body of JSON becomes what they speak of.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from domain.caching.cacheability import DELIVERY


def decode(body: bytes) -> Mapping[str, Any] | None:
    try:
        fields = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def is_unambiguous(body: bytes, fields: Mapping[str, Any]) -> bool:
    """Does the body name no key twice, at any depth? Of two equal keys one reader takes the first and another the last,
    so an entry made for one reading would answer the other."""
    return _quotes(msgspec.json.encode(fields)) == _quotes(body)


def canonical(fields: Mapping[str, Any]) -> bytes:
    """The same bytes for all bodies that ask for the same, however they are written and delivered."""
    return msgspec.json.encode({n: value for n, value in fields.items() if n not in DELIVERY}, order="sorted")


def _quotes(text: bytes) -> int:
    """A canonical text never has more of these than the original, and fewer where a key was dropped."""
    return text.count(b'"') - text.count(b'\\"')
