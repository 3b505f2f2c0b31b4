"""An event that begins like one before it is of the same type: nothing of it has to be read."""

from typing import Self

from msgspec import Struct

from adapters.http.sockets.server_frames import Event
from adapters.websocket.outlets import Outlet
from adapters.websocket.wire import TEXT_HEADS
from domain.bounded_memo import Remembered

_DATA = b"data: {"
_END = b"\n\n"
_LF, _CR = 0x0A, 0x0D
_LINE_BYTES = len(b"ff\r\n")
_TAIL_BYTES = len(_END + b"\r\n")
_NOWHERE = slice(0, 0)
SHORTEST_BYTES = 128
"""Nobody counts here how many events wait for a client that does not read, and each costs the loop more than its bytes.
Those of providers are longer."""


class Beginning(Struct, frozen=True):
    """How events begin from which nothing follows but that they are sent. Streams have it in common: what each kept
    for itself would have left the processor's cache before its next event."""

    start: bytes
    at: int
    """Where the payload begins."""
    short: slice = _NOWHERE
    """Where the start stands in a chunk whose size has two digits, and next the payload; then in one with three."""
    short_payload: slice = _NOWHERE
    long: slice = _NOWHERE
    long_payload: slice = _NOWHERE

    @classmethod
    def of(cls, start: bytes) -> Self:
        """Of events that begin so, up to their type at least."""
        at = start.find(_DATA) + len(_DATA) - 1
        places = [
            place
            for line in (_LINE_BYTES, _LINE_BYTES + 1)
            for place in (slice(line, line + len(start)), slice(line + at, -_TAIL_BYTES))
        ]
        return cls(start, at, *places)

    def payload(self, piece: bytes) -> bytes | None:
        """Of the event that `piece` is; None = it is not one event, not whole, or has to be read."""
        payload = piece[self.at : -len(_END)]
        if piece.startswith(self.start) and piece.endswith(_END) and _LF not in payload and _CR not in payload:
            return payload
        return None


NO_BEGINNING = Beginning(b"\r", 0)
"""No event has it."""

_beginnings = Remembered(Beginning.of, most=256, longest=128)


def beginning_of(piece: bytes, event: Event) -> Beginning | None:
    """That of `event`, which is all that is in `piece`, and the type of which means nothing here. None = it is written
    in another way than usual: its type stands neither before the data nor first in it."""
    at = piece.find(_DATA) + len(_DATA) - 1
    start = piece[: at + 1]
    if not start.startswith(b"event:"):
        start += b'"type":"%b"' % event.type.encode()
    if piece.startswith(start) and piece[at:] == event.payload + _END:
        return _beginnings[start]
    return None


class AlikeEvents(Outlet):
    """Those of one stream that begin like one before them, on their way out of its chunks."""

    __slots__ = ("beginning",)

    def __init__(self) -> None:
        super().__init__()
        self.beginning = NO_BEGINNING

    def payload(self, framed: bytes, size: int) -> bytes | None:
        """Of the event that the chunk `framed` is, with `size` bytes of whole events in it; None = it is not one, or
        has to be read."""
        known = self.beginning
        if size <= 0xFF:
            start, payload = framed[known.short], framed[known.short_payload]
        else:
            start, payload = framed[known.long], framed[known.long_payload]
        return None if start != known.start or _LF in payload or _CR in payload else payload

    def send_framed(self, framed: bytes, _line: bytes, size: int, /) -> bool:
        """See `Client`. Called for every event of every stream."""
        to = self.to
        payload = None if to is None else self.payload(framed, size)
        if payload is None or to is None or (length := len(payload)) < SHORTEST_BYTES:
            return False
        self.frames += 1
        self.bytes += length
        to.write(TEXT_HEADS[length] + payload)
        return True
