"""Puts an endpoint's own name for the model into a request body, and changes no other byte of it."""

import json
import re

import msgspec

from application.messages import Pieces
from domain.outline import outline

_JOIN_BYTES = 64 * 1024
"""Larger bodies are left in pieces: a copy of megabytes takes longer than all else that is done to them."""

_KEY = b'"model"'
_KEY_THEN_STRING = re.compile(rb'"model"[ \t\r\n]*:[ \t\r\n]*("(?:[^"\\]|\\.)*")')
# `model` may also be spelt with escapes, as \u006dodel; nobody does, but then the plain spelling proves nothing.
_ESCAPED_LETTER = re.compile(rb"\\u00(?:6[cCdDfF45])")
_SPACE = b" \t\r\n"
_NO_VALUE = msgspec.Raw(b"")
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def replace_model(body: bytes, model: str, *, is_named: bool = True) -> bytes | Pieces:
    """The body with the value of its top-level `model` replaced, or added where it is not `is_named`; a large one in
    pieces.

    `body` is a valid JSON object.
    """
    value = msgspec.json.encode(model)
    if not is_named:
        # A null or empty model is as good as none, but would stand beside the new one.
        return _spliced(body, value) or _with_member(body, value)
    text = outline(body)
    if text.count(_KEY) == 1 and not (b"\\" in text and _ESCAPED_LETTER.search(text)):
        found = _KEY_THEN_STRING.match(body, _place_of_key(body, text))
        if found is not None:
            return _assembled(body, [found.span(1)], value)
    return _spliced(body, value) or _with_member(body, value)


def _place_of_key(body: bytes, text: bytes) -> int:
    """Where the key stands that is in the body, and in `text`, its outline, once: mostly before all that is left out
    there, or after it."""
    at = text.index(_KEY)
    for place in (at, at + len(body) - len(text)):
        if body.startswith(_KEY, place):
            return place
    return body.index(_KEY)


def _spliced(body: bytes, value: bytes) -> bytes | Pieces | None:
    spans = _model_values(body)
    return _assembled(body, spans, value) if spans else None


def _with_member(body: bytes, value: bytes) -> bytes | Pieces:
    after_brace = body.index(b"{") + 1
    is_empty = body.startswith(b"}", _skip_space(body, after_brace))
    member = b"%b:%b%b" % (_KEY, value, b"" if is_empty else b",")
    return _assembled(body, [(after_brace, after_brace)], member)


def _assembled(body: bytes, spans: list[tuple[int, int]], new: bytes) -> bytes | Pieces:
    """The body with `new` in each of these places."""
    is_large = len(body) > _JOIN_BYTES
    source = memoryview(body) if is_large else body
    pieces: list[bytes | memoryview] = []
    start = 0
    for begin, end in spans:
        pieces += (source[start:begin], new)
        start = end
    pieces.append(source[start:])
    return tuple(pieces) if is_large else b"".join(pieces)


def _model_values(body: bytes) -> list[tuple[int, int]]:
    """Where the values of top-level `model` keys stand. The members' lengths are msgspec's, so nothing is walked but
    the top level; only a key that stands twice, and whose length is therefore not known, is walked through."""
    try:
        raws = _members.decode(body)
    except msgspec.DecodeError:
        raws = {}  # half an emoji somewhere: valid for us, not for msgspec
    spans: list[tuple[int, int]] = []
    at = _skip_space(body, body.index(b"{") + 1)
    while body[at : at + 1] == b'"':
        key_end = _string_end(body, at)
        key = json.loads(body[at:key_end])
        begin = _skip_space(body, body.index(b":", key_end) + 1)
        raw = bytes(memoryview(raws.get(key, _NO_VALUE)))
        end = begin + len(raw) if raw and body.startswith(raw, begin) else _value_end(body, begin)
        if key == "model":
            spans.append((begin, end))
        at = _skip_space(body, end)
        if body[at : at + 1] != b",":
            break
        at = _skip_space(body, at + 1)
    return spans


def _skip_space(body: bytes, at: int) -> int:
    while at < len(body) and body[at] in _SPACE:
        at += 1
    return at


def _string_end(body: bytes, at: int) -> int:
    """The index after the string that begins at `at`: after the first quote with an even number of backslashes."""
    quote = at
    while True:
        quote = body.index(b'"', quote + 1)
        slashes = quote
        while body[slashes - 1] == 0x5C:
            slashes -= 1
        if (quote - slashes) % 2 == 0:
            return quote + 1


_STRUCTURE = re.compile(rb'["{}\[\]]')
_SCALAR_END = re.compile(rb"[,}\] \t\r\n]")


def _value_end(body: bytes, at: int) -> int:
    if body[at : at + 1] == b'"':
        return _string_end(body, at)
    if body[at : at + 1] not in (b"{", b"["):
        found = _SCALAR_END.search(body, at)
        return found.start() if found else len(body)
    depth = 0
    while True:
        found = _STRUCTURE.search(body, at)
        if found is None:
            raise ValueError("not a JSON object")
        mark = found.group()
        if mark == b'"':
            at = _string_end(body, found.start())
            continue
        depth += 1 if mark in b"{[" else -1
        at = found.end()
        if depth == 0:
            return at
