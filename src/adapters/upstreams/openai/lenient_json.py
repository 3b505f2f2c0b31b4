"""Reads what msgspec refuses and providers send all the same, and writes half of a surrogate pair, as `"\\ud83d"`.

Providers that cut tokens inside an emoji send such halves, often in two events of one stream. Python's own `json`
writes NaN and Infinity, and some services begin a body with a byte order mark. None of it makes an answer junk.
"""

import json
from typing import Any, NoReturn, TypeVar

import msgspec
from msgspec import Struct

from application.body.narrowed import LARGE_BYTES
from application.body.readable import readable

T = TypeVar("T")

Odd = str | int | float | bool | list[Any] | None  # in place of an object; with `dict[str, Any]` it is anything at all

_MAX_DIGITS = 300  # longer whole numbers fit no float


def decode(decoder: "msgspec.json.Decoder[T]", text: bytes, shape: type[T] | None = None) -> T:
    """As `decoder.decode`, but for lone surrogates, NaN, Infinity, numbers out of range and a byte order mark: to judge
    a text that stays as it is. Raises `ValueError`, or `RecursionError` for bottomless nesting.

    Of a large text nothing but the decoder's fields is ever decoded: their halves of surrogate pairs are `HALF` there,
    and NaN is null.

    `shape` stands in for the decoder's type where that holds raw JSON; None = it does not.
    """
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        if "out of range" not in str(error):
            raise
    except msgspec.DecodeError as error:
        if b"\\u" not in text and "truncated" in str(error):
            raise
        if len(text) > LARGE_BYTES:
            return decoder.decode(readable(text))
    return msgspec.convert(json.loads(text, parse_int=_whole_number), shape or decoder.type)


def decode_exactly(decoder: "msgspec.json.Decoder[T]", text: bytes) -> T:
    """As `decoder.decode`, but for lone surrogates: to read what is going to be written again. Raises as `decode`."""
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        if b"\\u" not in text:
            raise
        return msgspec.convert(json.loads(text, parse_constant=_refuse, parse_float=_finite), decoder.type)


def encode(value: Struct) -> bytes:
    """As JSON. Half of a surrogate pair, which has no UTF-8, is written as the escape it came as; where two halves have
    come together, their escapes are the character."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":"), allow_nan=False).encode()


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    return number if abs(number) < float("inf") else _refuse(digits)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} cannot be written as JSON")
