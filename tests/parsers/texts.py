"""JSON, strict and not, as parsers are given it."""

import json
from typing import Any

import msgspec

JSON_WORDS = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b'""', b"null", b"true", b"false", b"{}", b"[]", b"\\", b'\\"', b"\\\\",
    b"\\ud83d", b"\\ude00", b"\\u0000", b"\\u006d", b"\xed\xa0\x80", b"\xc3\xa9", b"\xff", b"NaN", b"-Infinity", b"1e999",
    b"[" * 300, b'{"a":' * 300, b"]" * 300, b'"index":0', b'"model":"gpt"', b'"type":"error"', b'"code":"x"', b'"id":"resp_1"',
    b'"error":{"message":"m","type":"t","param":null,"code":"c"}', b'"status":"completed"', b'"sequence_number":3',
    b'"usage":{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}', b'"choices":[{}]',
    b'"output":[{"type":"message"}]', b'"finish_reason":"stop"', b'"response":{"id":"r"}', b'"message":"retry after 5 s"',
)  # fmt: skip


def is_json(text: bytes) -> bool:
    """Can a strict reader read it?"""
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (ValueError, RecursionError):
        return False
    return True


def by_json(text: bytes) -> Any:
    """As Python's own reader has it; `...` = it cannot read it."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return ...
