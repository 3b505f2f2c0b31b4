"""What is asked of the Responses API and what its stream answers: as large as OpenAI's own events."""

import json
from typing import Any

from bench.servers.payloads import MODEL, UPSTREAM_MODEL

PATH = "/v1/responses"
EVENTS_AROUND = 2
"""How many events a stream has besides its tokens: how it begins, and how it ends."""

_ASKED = {"model": MODEL, "store": False, "input": "Name the animals of the quick brown fox, one a line."}


def asked(model: str = MODEL) -> bytes:
    """The body of a streamed response."""
    return _json(_ASKED | {"model": model, "stream": True})


def turn(model: str = MODEL) -> bytes:
    """The same as a message of a WebSocket."""
    return _json({"type": "response.create"} | _ASKED | {"model": model})


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: ".encode() + _json({"type": kind} | fields) + b"\n\n"


_RESPONSE = {"id": "resp_bench", "object": "response", "created_at": 1764000000, "model": UPSTREAM_MODEL}
_SAID = {"type": "output_text", "text": " token words", "annotations": []}
_MESSAGE = {"id": "msg_bench", "type": "message", "role": "assistant", "status": "completed", "content": [_SAID]}
_USAGE = {"input_tokens": 24, "output_tokens": 160, "total_tokens": 184}

FIRST_EVENT = _event("response.created", sequence_number=0, response=_RESPONSE | {"output": []})
LAST_EVENT = _event(
    "response.completed", response=_RESPONSE | {"output": [_MESSAGE], "usage": _USAGE, "status": "completed"}
)
END = b'"status":"completed"}}'
"""What the last event ends with, and no other."""

_DELTA = _event(
    "response.output_text.delta",
    sequence_number=0,
    item_id="msg_bench",
    output_index=0,
    content_index=0,
    delta="<delta>",
    logprobs=[],
    obfuscation="kT3fW9aQ",
)
_BEFORE, _, _REST = _DELTA.partition(b'"sequence_number":0')
_BETWEEN, _, _AFTER = _REST.partition(b"<delta>")
_TEXTS = (b" token", b" words")


def delta(number: int) -> bytes:
    """The event of a token."""
    return b'%b"sequence_number":%d%b%b%b' % (_BEFORE, number, _BETWEEN, _TEXTS[number % 2], _AFTER)
