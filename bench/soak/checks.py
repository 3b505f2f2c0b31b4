"""What a client checks in a reply, and what it raises when nothing that was injected explains it."""

import msgspec

from bench.wire import Answer
from simulator.content.text import digest_of

CHAT, RESPONSES, EMBEDDINGS, FILES = "/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/files"


class Unexpected(Exception):
    """An outcome that nothing which was injected explains."""


def expect(reply: Answer, *statuses: int) -> None:
    if reply.status not in statuses or not reply.ended:
        cut = "" if reply.ended else ", cut"
        raise Unexpected(f"status {reply.status}{cut}, expected {statuses}: {reply.body[:300]!r}")


def is_json(received: bytes) -> bool:
    try:
        msgspec.json.decode(received)
    except msgspec.DecodeError:
        return False
    return True


def is_whole(question: bytes, received: bytes, *, stream: bool) -> bool:
    """True for an answer to that question, to its end: all answers in words begin with a digest of what was asked. That
    they come byte for byte, tests/integration/test_wire.py holds."""
    is_ended = (
        received.endswith(b"data: [DONE]\n\n") or b"event: response.completed\n" in received
        if stream
        else is_json(received)
    )
    return is_ended and f"/{digest_of(question)}/0".encode() in received


def whole(is_whole: bool, reply: Answer) -> None:
    if not is_whole:
        raise Unexpected(f"not a whole answer to what was asked: {reply.body[:200]!r} ... {reply.body[-200:]!r}")


def told(reply: Answer, *, is_whole: bool) -> str:
    """A stream that broke upstream: an error event, and nothing that looks like its end. Or all of it from another
    endpoint, or an error at once, where the proxy saw it break before it had begun to answer: events that lag behind
    arrive together. That is a 429 where all endpoints have just answered 429 to others."""
    expect(reply, 200, 429, 502, 503, 504)
    if reply.status != 200 or is_whole:
        return "whole" if is_whole else str(reply.status)
    if b'"error"' not in reply.body or b"[DONE]" in reply.body or b"response.completed" in reply.body:
        raise Unexpected(f"a broken stream that looks whole: {reply.body[-300:]!r}")
    return "told by an error event"
