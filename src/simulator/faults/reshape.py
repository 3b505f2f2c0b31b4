"""Faults that are nothing but another reply: made here from the normal one, delivered like it."""

from itertools import chain, islice

from simulator.content.responses import RESPONSES_ERROR_FRAME
from simulator.content.streams import CHAT_ERROR_FRAME
from simulator.faults.rules import (
    Action,
    Empty,
    HugeHeaders,
    Junk,
    Latency,
    NoDone,
    Redirect,
    Status,
    StreamError,
)
from simulator.protocol.reply import EVENT_STREAM, JSON, EventStream, Reply, encode_json, header_lines
from simulator.protocol.routes import Route

_PADDING_LINE_BYTES = 1000


def replaces(action: Action) -> bool:
    """True when the normal reply is not wanted at all: the request is neither charged nor remembered."""
    return isinstance(action, Status | Junk | Empty | Redirect)


def replacement(action: Action) -> Reply:
    """The reply for an action that `replaces`."""
    match action:
        case Status(status=status, headers=headers, body=body):
            return _with_status(status, headers, body)
        case Junk(body=text, content_type=content_type):
            return Reply(200, text.encode(), content_type.encode(), works=True)
        case Redirect(location=location, status=status):
            return Reply(status, content_type=b"", headers=header_lines({"location": location}), works=True)
    return Reply(200, works=True)


def _with_status(status: int, headers: dict[str, str], body: object) -> Reply:
    given = {name.lower(): value for name, value in headers.items()}
    content = body.encode() if isinstance(body, str) else encode_json(body)
    usual = "text/plain; charset=utf-8" if isinstance(body, str) else JSON.decode()
    content_type = given.pop("content-type", usual if content else "")
    given.pop("content-length", None)  # ours is true; `truncate` and `overlong` are there for lies
    return Reply(status, content, content_type.encode("latin-1", "replace"), header_lines(given), works=True)


def reshaped(action: Action, reply: Reply, route: Route) -> Reply:
    """The normal reply with something done to it; unchanged by actions that are about the wire."""
    match action:
        case Latency(seconds=seconds):
            reply.extra_latency_s = seconds
        case HugeHeaders(size_bytes=size_bytes):
            reply.headers += _padding(size_bytes)
        case StreamError(after_events=after_events, frame=frame) if reply.events is not None:
            usual = RESPONSES_ERROR_FRAME if route.operation in {"responses", "response"} else CHAT_ERROR_FRAME
            error = usual if frame is None else frame.encode()
            reply.events = _first(reply.events, after_events, closing=[error])
            reply.content_type = EVENT_STREAM
        case NoDone() if reply.events is not None:
            reply.events.closing = []
    return reply


def _first(events: EventStream, count: int, closing: list[bytes]) -> EventStream:
    """The first `count` frames, then `closing`."""
    opening = events.opening[:count]
    rest = chain(events.tokens, events.closing)
    return EventStream(opening, islice(rest, count - len(opening)), closing)


def _padding(size_bytes: int) -> bytes:
    """Header lines of that many bytes altogether, none longer than servers usually accept in one line."""
    whole, rest = divmod(size_bytes, _PADDING_LINE_BYTES)
    sizes = [_PADDING_LINE_BYTES] * whole + ([rest] if rest else [])
    return b"".join(
        b"x-padding-%d: " % number + b"p" * max(1, size - 16) + b"\r\n" for number, size in enumerate(sizes)
    )
