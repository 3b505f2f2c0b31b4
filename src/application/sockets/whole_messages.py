"""Messages put together from their pieces, to be read beside the relay."""

from application.socket_ports import Piece

MOST_BYTES = 1024 * 1024
"""Of a message that is put together: of a longer one only the beginning is kept."""
BEGINNING_BYTES = 1024
"""Enough to see what kind of message it is."""


class WholeMessages:
    """Of one side of a socket."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._bytes = 0

    def add(self, piece: Piece) -> bytes | None:
        """The message that this piece completes, empty where it is no text, and its beginning where it is too long to
        be read; None = it is not complete."""
        if piece.is_first:
            if piece.is_last:
                return _text(piece, piece.data)
            self._parts, self._bytes = [], 0
        self._bytes += len(piece.data)
        if self._bytes <= MOST_BYTES:
            self._parts.append(piece.data)
        else:
            self._parts = [(b"".join(self._parts) or piece.data)[:BEGINNING_BYTES]]
        if not piece.is_last:
            return None
        parts, self._parts = self._parts, []
        return _text(piece, b"".join(parts))


def _text(piece: Piece, message: bytes) -> bytes:
    if not piece.is_text:
        return b""
    return message if len(message) <= MOST_BYTES else message[:BEGINNING_BYTES]
