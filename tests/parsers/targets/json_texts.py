"""JSON of clients and of providers: what is read of it, and what is put into it."""

import json
from collections.abc import Hashable
from typing import Any

import msgspec

from adapters.http.bodies.decode_request import decoded
from adapters.upstreams.openai.lenient_json import decode, decode_exactly, encode
from adapters.upstreams.openai.model_rewrite import replace_model
from adapters.upstreams.openai.stored_ids import made_ids, state_ids
from adapters.upstreams.stored_things.references import references
from application.body import cache_fields
from application.body.model_key import TooManyKeys, model_keys
from application.body.narrowed import Narrowed
from application.body.readable import readable
from application.errors import InvalidRequest
from tests.parsers.target import Target
from tests.parsers.texts import JSON_OBJECTS, JSON_WORDS, by_json, is_json

_any: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Any)
_NAMES = ("model", "error", "usage", "choices")
_narrowed = Narrowed(*_NAMES, longest_bytes=64)
_UNREADABLE = (ValueError, RecursionError)


class _Object(msgspec.Struct):
    model: Any = None
    error: Any = None


_objects = msgspec.json.Decoder(_Object)


def _requests(data: bytes) -> Hashable:
    """A body as the server takes it in, and as it goes on with another name of its model."""
    try:
        fields, _, has_plain_key = decoded(data)
    except InvalidRequest as refusal:
        return refusal.code, refusal.param
    other = by_json(data)
    if isinstance(other, dict):
        assert _same(fields.model, other.get("model")), "the model"
        assert _same(fields.stream, other.get("stream"))
    is_named = bool(fields.model)
    changed: Any = replace_model(data, "m/2", is_named, has_plain_key)
    body = b"".join(changed) if isinstance(changed, tuple) else changed
    if isinstance(other, dict):
        expected = {**other, "model": "m/2"}
        assert _same(by_json(body), expected), "nothing but the model is another"
    again, _, _ = decoded(body)
    assert again.model == "m/2"
    _cached(data, other)
    try:
        named = references(data)
    except _UNREADABLE:
        return is_named, has_plain_key, "no references"
    return is_named, has_plain_key, min(2, len(named.ids)), min(2, len(named.whole))


def _cached(data: bytes, other: Any) -> None:
    fields = cache_fields.decode(data)
    if fields is None or not cache_fields.is_unambiguous(data, fields):
        return
    assert _same(dict(fields), other), "the cache reads the same"
    again = cache_fields.canonical(fields)
    indented = cache_fields.decode(json.dumps(dict(fields), indent=1).encode())
    assert indented is not None
    assert cache_fields.canonical(indented) == again, "however it is written"


def _texts(data: bytes) -> Hashable:
    """What providers write: read more leniently than JSON allows."""
    ends = [_ends(lambda: decode(_any, data)), _ends(lambda: decode(_objects, data)), _ends(lambda: _narrowed(data))]
    mended = readable(data)
    assert readable(mended) == mended or mended.startswith(b"\xef\xbb\xbf"), "mended twice"
    other = by_json(data)
    if isinstance(other, dict) and is_json(data):
        assert _same(decode(_any, data), other)
        members = by_json(_narrowed(data))
        assert list(members) == [name for name in _NAMES if name in other]
    try:
        value = decode_exactly(_objects, data)
    except _UNREADABLE:
        ends.append("not exactly")
    else:
        written = encode(value)
        assert is_json(written) or b"\\ud" in written, "what is written is JSON"
    assert set(state_ids(data)) <= set(made_ids(data))
    try:
        keys = model_keys(data)
    except (TooManyKeys, *_UNREADABLE):
        keys = []
    assert all(data[start:end].startswith(b'"') for start, end in keys)
    return *ends, min(2, len(keys)), min(2, len(state_ids(data)))


def _ends(work: Any) -> str:
    try:
        return type(work()).__name__
    except _UNREADABLE as error:
        return type(error).__name__


def _same(one: Any, two: Any) -> bool:
    """Equal, or written alike, as NaN is."""
    return repr(one) == repr(two) or one == two


TARGETS = (
    Target("json-requests", _requests, (*JSON_OBJECTS, *JSON_WORDS, b'"stream":true', b'"\\u006dodel":"x"', b'"n":2',
    b'"temperature":0')),
    Target("json-replies", _texts, (*JSON_OBJECTS, *JSON_WORDS, b'"encrypted_content":"' + b"x" * 20 + b'"',
    b'"file-1a"', b'{"id":"y"}')),
)  # fmt: skip
