"""An event that begins like one before it is of the same type: nothing of it has to be read."""

from adapters.http.sockets.server_frames import Event

_DATA = b"data: {"
_LF = 0x0A


class AlikeEvents:
    """Of one stream: how an event begins from which nothing follows but that it is sent."""

    __slots__ = ("_payload_at", "_size", "_start")

    def __init__(self) -> None:
        self._start = b""
        self._size = self._payload_at = 0

    def learn(self, piece: bytes, event: Event) -> None:
        """`event` is all that is in `piece`, and the type of it means nothing here. What is written in another way than
        usual is not learned: its type stands before the data, or first in it."""
        at = piece.find(_DATA) + len(_DATA) - 1
        start = piece[: at + 1]
        if not start.startswith(b"event:"):
            start += b'"type":"%b"' % event.type.encode()
        if piece.startswith(start) and piece[at:] == event.payload + b"\n\n":
            self._start, self._size, self._payload_at = start, len(start), at

    def payload(self, data: bytes, start: int, end: int) -> bytes | None:
        """Of the event that `data` holds from `start` to `end`; None = it is not one event, not whole, or has to be
        read. Called for every event of every stream."""
        size = self._size
        if (
            size
            and data.startswith(self._start, start)
            and data.find(b"\n", start + size, end) == end - 2
            and data[end - 1] == _LF
            and data.find(b"\r", start + size, end) < 0
        ):
            return data[start + self._payload_at : end - 2]
        return None
