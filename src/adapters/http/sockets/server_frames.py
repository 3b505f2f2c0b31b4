"""What a Responses socket tells its client: the events of a stream, one a message, and errors.

Every error has a `status`: Codex ignores those without, and waits for the end of its patience (openai/codex,
`responses_websocket.rs`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

_RELAYED_PREFIXES = ("retry-after", "x-ratelimit-", "x-request-id", "x-should-retry", "x-llmproxy-")
BROKEN = 502
"""The status of what ends before it should."""
_STATUSES = {
    "rate_limit_exceeded": 429, "insufficient_quota": 429, "server_error": 500, "proxy_shutting_down": 503,
    "websocket_connection_limit_reached": 400,
    "invalid_prompt": 400, "context_length_exceeded": 400, "content_filter": 400,
}  # fmt: skip
"""Of errors inside a stream, which have none of their own, by their code."""
_OF_REQUESTS = frozenset({"invalid_request_error", "invalid_request"})
"""Types of errors that are 400 where their code is not known; all others are `BROKEN`."""
_THOUGHT = "reasoning"
TERMINAL = frozenset({"response.completed", "response.failed", "response.incomplete", "response.cancelled"})


class Event(Struct, frozen=True):
    """One event of a stream, without what frames it there."""

    type: str
    """Empty = it does not say."""
    payload: bytes
    """JSON, as it came."""


class Response(Struct, frozen=True):
    """What is read of a response."""

    id: str = ""
    output: Sequence[Raw] = ()


class _Status(Struct, frozen=True):
    status: str = ""


class _Typed(Struct, frozen=True):
    type: str = ""
    error: Raw = Raw(b"null")


class _OfResponse(Struct, frozen=True):
    response: Response = Response()


class _Item(Struct, frozen=True):
    type: str = ""
    encrypted_content: str | None = None


_status = msgspec.json.Decoder(_Status)
_typed = msgspec.json.Decoder(_Typed)
_of_response = msgspec.json.Decoder(_OfResponse)
_item = msgspec.json.Decoder(_Item)
_any = msgspec.json.Decoder(dict[str, Any])
encode = msgspec.json.encode


def events_in(stream: bytes) -> Iterator[Event]:
    """Those of a piece of an event stream that has whole ones only. Comments, `[DONE]` and all else that is no
    JSON object are none: a client could not read it."""
    if b"\r" in stream:
        stream = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for block in stream.split(b"\n\n"):
        name, data = b"", []
        for line in block.split(b"\n"):
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif line.startswith(b"event:"):
                name = line[6:].strip()
        payload = b"\n".join(data)
        if payload.lstrip()[:1] == b"{":
            yield Event(name.decode("ascii", "replace") or _type_of(payload), payload)


def _type_of(payload: bytes) -> str:
    """An error without a type, as Chat has them, is one as well."""
    try:
        typed = _typed.decode(payload)
        return typed.type or ("error" if bytes(typed.error) != b"null" else "")
    except (ValueError, RecursionError):
        return ""


def event_of(reply: bytes) -> Event:
    """The event that would have ended the stream in place of a good reply that came whole: a response, or an error
    that some gateways give a 200."""
    try:
        kind = f"response.{_status.decode(reply).status}"
    except (ValueError, RecursionError):
        kind = ""
    if kind not in TERMINAL:
        if _type_of(reply) == "error":
            return Event("error", reply)
        kind = "response.completed"
    return Event(kind, b'{"type":"%b","response":%b}' % (kind.encode(), reply))


def response_in(payload: bytes) -> Response:
    """That of an event about a whole one; an empty one if there is none that can be read."""
    try:
        return _of_response.decode(payload).response
    except (ValueError, RecursionError):
        return Response()


def kept_items(output: Sequence[Raw]) -> Sequence[bytes]:
    """Those that can be said again to another account: not what was thought and nobody can read (the API answers 404
    for it)."""
    read = ((bytes(raw), _read(bytes(raw))) for raw in output)
    return [raw for raw, item in read if item.type != _THOUGHT or item.encrypted_content]


def is_thought(item: bytes) -> bool:
    """Is it what a model thought, which only the account that made it can read?"""
    return _read(item).type == _THOUGHT


def _read(item: bytes) -> _Item:
    try:
        return _item.decode(item)
    except (ValueError, RecursionError):
        return _Item()


def in_lane(payload: bytes, lane: str) -> bytes:
    """The event of a named lane, which says so. It is not decoded."""
    if not lane:
        return payload
    start = payload.index(b"{") + 1
    rest = payload[start:].lstrip()
    comma = b"" if rest.startswith(b"}") else b","
    return b'{"stream_id":%b%b%b' % (encode(lane), comma, rest)


def error_frame(
    message: str,
    code: str | None,
    status: int,
    lane: str = "",
    *,
    param: str | None = None,
    kind: str = "",
    **more: Any,
) -> bytes:
    """An error of the proxy's own."""
    kind = kind or ("invalid_request_error" if status < 500 and status != 429 else "server_error")
    error = {"type": kind, "code": code, "message": message, "param": param}
    return in_lane(encode({"type": "error", "status": status, "error": error} | more), lane)


def reply_frame(status: int, fields: Sequence[str], body: bytes, lane: str) -> bytes:
    """A whole reply that is an error, as it would have been over HTTP."""
    headers = dict(field.split(": ", 1) for field in fields if field.startswith(_RELAYED_PREFIXES))
    try:
        error = _any.decode(body).get("error")
    except (ValueError, RecursionError):
        error = None
    if not isinstance(error, dict):
        error = {"type": "server_error", "code": None, "message": body[:500].decode(errors="replace"), "param": None}
    frame = {"type": "error", "status": status, "error": error | {"headers": headers}, "headers": headers}
    return in_lane(encode(frame), lane)


def with_status(payload: bytes) -> bytes:
    """An error inside a stream, in the shape that sockets have for it."""
    try:
        told = _any.decode(payload)
    except (ValueError, RecursionError):
        told = {}
    if isinstance(told.get("status"), int) and isinstance(told.get("error"), dict):
        return payload
    inner = told.get("error")
    error: Mapping[str, Any] = (
        inner
        if isinstance(inner, dict)
        else {
            "type": told.get("error_type") or "server_error",
            "code": told.get("code"),
            "message": told.get("message") or "The stream broke.",
            "param": told.get("param"),
        }
    )
    of_type = 400 if str(error.get("type")) in _OF_REQUESTS else BROKEN
    status = _STATUSES.get(str(error.get("code")), of_type)
    number = {"sequence_number": told["sequence_number"]} if "sequence_number" in told else {}
    return encode({"type": "error", "status": status, "error": error} | number)


def cancelled(created: bytes) -> bytes:
    """The end of a response that was cancelled, made of the event that began it. No provider documents one."""
    try:
        response = _any.decode(created).get("response")
    except (ValueError, RecursionError):
        response = None
    ended = {"status": "incomplete", "incomplete_details": {"reason": "cancelled"}}
    whole = (response if isinstance(response, dict) else {"object": "response", "output": []}) | ended
    return encode({"type": "response.incomplete", "response": whole})


def warmed_up(response_id: str, model: Any, created_at: int) -> Sequence[bytes]:
    """The events of a turn that only warms up: nothing is asked of anybody."""
    response = {
        "id": response_id, "object": "response", "created_at": created_at, "model": model, "output": [],
        "status": "in_progress", "error": None, "incomplete_details": None, "usage": None, "store": False,
    }  # fmt: skip
    usage = {
        "input_tokens": 0, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 0,
    }  # fmt: skip
    whole = response | {"status": "completed", "usage": usage}
    return (
        encode({"type": "response.created", "sequence_number": 0, "response": response}),
        encode({"type": "response.completed", "sequence_number": 1, "response": whole}),
    )
