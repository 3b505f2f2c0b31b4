"""JSON, strict and not, as parsers are given it."""

import json
from typing import Any

import msgspec

JSON_WORDS = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b'""', b"null", b"true", b"false", b"{}", b"[]", b"\\", b'\\"', b"\\\\",
    b"\\ud83d", b"\\ude00", b"\\u0000", b"\\u006d", b"\xed\xa0\x80", b"\xc3\xa9", b"\xff", b"NaN", b"-Infinity",
    b"1e999",
    b"[" * 300, b'{"a":' * 300, b"]" * 300, b'"index":0', b'"model":"gpt"', b'"type":"error"', b'"code":"x"',
    b'"id":"resp_1"',
    b'"error":{"message":"m","type":"t","param":null,"code":"c"}', b'"status":"completed"', b'"sequence_number":3',
    b'"usage":{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}', b'"choices":[{}]',
    b'"output":[{"type":"message"}]', b'"finish_reason":"stop"', b'"response":{"id":"r"}',
    b'"message":"retry after 5 s"',
)  # fmt: skip

JSON_OBJECTS = (
    b'{"model":"gpt","messages":[{"role":"user","content":"hi"}],"stream":true,"n":2,"temperature":0,"user":"u"}',
    b'{"id":"resp_1","object":"response","status":"completed","model":"m","output":[{"type":"message","id":"msg_0123456789",'
    b'"content":[{"type":"output_text","text":"x"}]}],"usage":{"input_tokens":3,"output_tokens":4},"error":null}',
    b'{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"x"},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}',
    b'{"error":{"message":"Please try again in 1.5s","type":"requests","param":null,"code":"rate_limit_exceeded"}}',
    b'{"error":{"code":"429","innererror":{"code":"x"},"status":429}}',
    b'[{"error":{"code":400,"status":"INVALID_ARGUMENT"}}]',
    b'{"detail":[{"msg":"m","type":"missing"}]}', b'{"a":{"model":"x"},"\\u006dodel":"y"}', b'{"model":"gpt"}', b"{}",
    b'{"model":null,"input":[{"type":"item_reference","id":"msg_1"}],"previous_response_id":"resp_2","conversation":{"id":"c"}}',
)  # fmt: skip
"""Beginnings for those who read JSON."""


def is_json(text: bytes) -> bool:
    """Can a strict reader read it?"""
    try:
        text.decode()
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
