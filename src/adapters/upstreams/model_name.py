"""Puts an endpoint's own name for the model into a request body, and changes no other byte of it."""

import json
import re

import msgspec

_KEY = b'"model"'
_KEYS = re.compile(_KEY)
_KEY_THEN_STRING = re.compile(rb'"model"[ \t\r\n]*:[ \t\r\n]*("(?:[^"\\]|\\.)*")')
# `model` may also be spelt with escapes, as \u006dodel; nobody does, but then the plain spelling proves nothing.
_ESCAPED_LETTER = re.compile(rb"\\u00(?:6[cCdDfF45])")
_SPACE = b" \t\r\n"
_NO_VALUE = msgspec.Raw(b"")
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def replace_model(body: bytes, model: str, *, is_named: bool = True) -> bytes:
    """The body with the value of its top-level `model` replaced, or added where it is not `is_named`.

    `body` is a valid JSON object.
    """
    value = msgspec.json.encode(model)
    if not is_named:
        # A null or empty model is as good as none, but would stand beside the new one.
        return _spliced(body, value) or _with_member(body, value)
    # Over megabytes of image only single letters are searched for faster than by a regular expression.
    if len(_KEYS.findall(body)) == 1 and not (b"\\" in body and _ESCAPED_LETTER.search(body)):
        found = _KEY_THEN_STRING.search(body)
        if found is not None:
            return b"".join((body[: found.start(1)], value, body[found.end(1) :]))
    return _spliced(body, value) or _with_member(body, value)


def _spliced(body: bytes, value: bytes) -> bytes | None:
    spans = _model_values(body)
    if not spans:
        return None
    pieces: list[bytes] = []
    start = 0
    for begin, end in spans:
        pieces += (body[start:begin], value)
        start = end
    pieces.append(body[start:])
    return b"".join(pieces)


def _with_member(body: bytes, value: bytes) -> bytes:
    after_brace = body.index(b"{") + 1
    comma = b"" if body[_skip_space(body, after_brace) :].startswith(b"}") else b","
    return b"".join((body[:after_brace], _KEY, b":", value, comma, body[after_brace:]))


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
