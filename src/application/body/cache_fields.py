"""What the cache reads of a body: whether it is worth decoding, its fields, and the bytes that stand for them.

The rules are `domain.caching`'s; here a body of JSON becomes what they speak of.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from domain.caching.cache_key import CachePolicy
from domain.caching.cacheability import COMPUTED, DELIVERY, SAMPLED
from domain.elided import elide_long_strings

_TEMPERATURE = b'"temperature"'
_MAYBE_ZERO = re.compile(rb'"temperature"\s*+:\s*+(?!-?[0-9.]{0,20}[1-9][0-9.]{0,20}+\s{0,20}+[,}])')
"""A temperature that is not plainly, and in few letters, another number than zero."""


def needs_look(policy: CachePolicy, api: str, body: bytes) -> bool:
    """Could this body be cacheable at all? Saves decoding those that cannot."""
    if api in COMPUTED:
        return True
    if api not in SAMPLED:
        return False
    text = elide_long_strings(body)
    if not policy.absent_is_cacheable and not _may_be_zero(text):
        return False
    return api != "responses" or text.find(b'"store"') >= 0


def _may_be_zero(text: bytes) -> bool:
    # To find the word first costs a tenth of what the pattern takes for it.
    at = text.find(_TEMPERATURE)
    while at >= 0 and _MAYBE_ZERO.match(text, at) is None:
        at = text.find(_TEMPERATURE, at + len(_TEMPERATURE))
    return at >= 0


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
