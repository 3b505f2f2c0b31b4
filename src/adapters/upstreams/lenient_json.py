"""Reads and writes what msgspec refuses and JSON allows: half of a surrogate pair, as `"\\ud83d"`.

Providers that cut tokens inside an emoji send such halves, often in two events of one stream; they are no junk.
"""

import json
from typing import TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T")


def decode(decoder: "msgspec.json.Decoder[T]", text: bytes, shape: type[T] | None = None) -> T:
    """As `decoder.decode`, but for lone surrogates. Raises `ValueError`, or `RecursionError` for bottomless nesting.

    `shape` stands in for the decoder's type where that holds raw JSON; None = it does not.
    """
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        if b"\\u" not in text:
            raise
        return msgspec.convert(json.loads(text), shape or decoder.type)


def encode(value: Struct) -> bytes:
    """As JSON. Half of a surrogate pair, which has no UTF-8, is written as the escape it came as; where two halves have
    come together, their escapes are the character."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":"), allow_nan=False).encode()
