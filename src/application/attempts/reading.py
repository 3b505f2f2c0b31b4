"""Reading a reply to its end, as far as it is to be held."""

from collections.abc import Awaitable
from typing import Protocol

from application.held_bytes import SMALL_BYTES, HeldBytes, Holding
from application.messages import header
from application.ports import UpstreamFailed, UpstreamReply
from domain.failure import Failure, FailureKind

MAX_REPLY_BYTES = 64 * 1024 * 1024

MAX_HELD_BYTES = 1024 * 1024
"""JSON up to this size is read whole: then what it names can be learned, and a break in it be retried."""


class Source(Protocol):
    """What is read."""

    def receive(self) -> Awaitable[bytes]:
        """The next piece; b"" = that was all."""

    def close(self) -> None:
        """Let go of it."""


async def read_whole(source: Source, held: HeldBytes, begun: bytes = b"") -> bytes:
    """The whole body, with what has `begun` it, held until it is returned; the source is closed then. Raises
    `UpstreamFailed` when it breaks or is larger than any answer should be, and `TooMuchHeld`."""
    try:
        first = begun or await source.receive()
        second = b""
        if first and len(first) <= SMALL_BYTES:
            second = await source.receive()
        if not second and len(first) <= SMALL_BYTES:
            return first
        with Holding(held) as holding:
            body = bytearray(first)
            body += second
            while True:
                holding.hold_in_all(len(body))
                piece = await source.receive()
                if not piece:
                    return bytes(body)
                body += piece
                if len(body) > MAX_REPLY_BYTES:
                    raise UpstreamFailed(Failure(FailureKind.JUNK, f"reply larger than {MAX_REPLY_BYTES} bytes"))
    finally:
        source.close()


async def read_json(reply: UpstreamReply, held: HeldBytes) -> tuple[bytes, bool]:
    """A good reply, as far as it is to be held: (what was read, was that all?). Not JSON: nothing is read.

    Raises `UpstreamFailed`, `TooMuchHeld`.
    """
    length = header(reply.headers, "content-length") or "0"
    if _media_type(reply) != "application/json" or not length.isdecimal() or int(length) > MAX_HELD_BYTES:
        return b"", False
    body = bytearray()
    with Holding(held) as holding:
        while len(body) <= MAX_HELD_BYTES:
            piece = await reply.receive()
            if not piece:
                return bytes(body), True
            body += piece
            holding.hold(len(piece))
    return bytes(body), False


def is_event_stream(reply: UpstreamReply) -> bool:
    """Does the reply say that it is one?"""
    return _media_type(reply) == "text/event-stream"


def _media_type(reply: UpstreamReply) -> str:
    return (header(reply.headers, "content-type") or "").partition(";")[0].strip().lower()
