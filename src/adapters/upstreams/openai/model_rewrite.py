"""Puts an endpoint's own name for the model into a request body, and changes no other byte of it."""

import re

import msgspec

from application.body.model_key import may_stand_twice, model_keys
from application.messages import Pieces
from domain.bounded_memo import Remembered
from domain.elided import elide_long_strings

_JOIN_BYTES = 64 * 1024  # larger bodies are left in pieces: copying megabytes takes longer than all else

_KEY = b'"model"'
_KEYS = (b'"model":"', b'"model": "')
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_KEY_THEN_STRING = re.compile(rb'"model"[ \t\r\n]*+:[ \t\r\n]*+(%b)' % _STRING)
_VALUE = re.compile(rb"[ \t\r\n]*+:[ \t\r\n]*+(%b|null)" % _STRING)
_SPACE = b" \t\r\n"
_values = Remembered(msgspec.json.encode, most=1024)  # names of models as JSON


def replace_model(
    body: bytes, model: str, is_named: bool = True, has_plain_key: bool = False, outline: bytes = b""
) -> bytes | Pieces:
    """The body with the value of its top-level `model` replaced, or added where it is not `is_named`; a large one in
    pieces.

    `body` is a valid JSON object. `has_plain_key` and `outline`: see `ProxyRequest`.
    """
    value = _values[model]
    if is_named and has_plain_key and len(body) <= _JOIN_BYTES:
        for key in _KEYS:  # as nearly all clients write it
            before, name, after = body.partition(key)
            old, _, rest = after.partition(b'"')
            if name and old.find(b"\\") < 0:
                return before + name[:-1] + value + rest
    if not is_named:
        # A null or empty model is as good as none, but would stand beside the new one.
        return _spliced(body, value) or _with_member(body, value)
    text = outline or elide_long_strings(body)
    if text.find(_KEY) >= 0 and not may_stand_twice(text):
        found = _KEY_THEN_STRING.match(body, _place_of_key(body, text))
        if found is not None:
            return _assembled(body, [found.span(1)], value)
    return _spliced(body, value) or _with_member(body, value)


def _place_of_key(body: bytes, text: bytes) -> int:
    """Where the one key of `body`, and of its outline `text`, stands: mostly before what is left out there."""
    at = text.index(_KEY)
    if text is body:
        return at
    for place in (at, at + len(body) - len(text)):
        if body.startswith(_KEY, place):
            return place
    return body.index(_KEY)


def _spliced(body: bytes, value: bytes) -> bytes | Pieces | None:
    spans = [found.span(1) for _, end in model_keys(body) if (found := _VALUE.match(body, end)) is not None]
    return _assembled(body, spans, value) if spans else None


def _with_member(body: bytes, value: bytes) -> bytes | Pieces:
    after_brace = body.index(b"{") + 1
    is_empty = body.startswith(b"}", _skip_space(body, after_brace))
    member = b"%b:%b%b" % (_KEY, value, b"" if is_empty else b",")
    return _assembled(body, [(after_brace, after_brace)], member)


def _assembled(body: bytes, spans: list[tuple[int, int]], new: bytes) -> bytes | Pieces:
    is_large = len(body) > _JOIN_BYTES
    if len(spans) == 1 and not is_large:
        begin, end = spans[0]
        return body[:begin] + new + body[end:]
    source = memoryview(body) if is_large else body
    pieces: list[bytes | memoryview] = []
    start = 0
    for begin, end in spans:
        pieces += (source[start:begin], new)
        start = end
    pieces.append(source[start:])
    return tuple(pieces) if is_large else b"".join(pieces)


def _skip_space(body: bytes, at: int) -> int:
    while at < len(body) and body[at] in _SPACE:
        at += 1
    return at
