"""A body without its codings: in small steps, so that nobody waits for it, and never more than may be held."""

import asyncio
from collections.abc import Sequence

from adapters.http.bodies.body import too_large
from adapters.http.bodies.coding_libraries import BEGINNING_BYTES, BrokenCoding, Decompressor, decompressor_of
from application.errors import InvalidRequest
from application.held_bytes import Holding

STEP_BYTES = 64 * 1024
"""How much is given to a library, and about how much of what comes out is taken, before others have their turn."""

MOST_EXPANSION = 200
FREE_BYTES = 1024 * 1024
"""What is larger than this may be so many times as large as what was sent. Conversations shrink to a third or a tenth,
and to a fiftieth where they repeat whole files; zeros to a thousandth (gzip) or less (zstd, br)."""

MOST_MEMBERS = 1000
"""Frames or members one after the other, as parallel compressors write them; each costs the making of an object."""
_TAKE_SEVERAL = frozenset({"gzip", "zstd"})


async def decompressed(body: bytes, codings: Sequence[str], max_bytes: int, holding: Holding) -> bytes:
    """The body without its codings, held in the place of `body`. Raises `InvalidRequest` where it is broken (400) or
    larger than `max_bytes` or than all that is honest (413), and `TooMuchHeld`."""
    if not body:
        return body
    layer: _Bytes | _Layer = _Bytes(body)
    for coding in reversed(codings):
        layer = _Layer(layer, coding, max_bytes)
    parts: list[bytes] = []
    size = 0
    try:
        while (piece := layer.step()) is not None:
            size += len(piece)
            if size > FREE_BYTES and size > MOST_EXPANSION * len(body):
                told = f"The body becomes more than {MOST_EXPANSION} times as large as what came; send it as it is."
                raise InvalidRequest(told, code="request_too_large")
            holding.hold(2 * len(piece))  # once more in the library's window, or when the parts become one
            parts.append(piece)
            if len(parts) > 1:
                await asyncio.sleep(0)
    except BrokenCoding as error:
        told = f"The body is not what its content-encoding says ({', '.join(codings)}): it is {error}."
        raise InvalidRequest(told, code="broken_encoding") from None
    plain = b"".join(parts)
    holding.hold_in_all(size)
    return plain


class _Bytes:
    """What came."""

    def __init__(self, body: bytes) -> None:
        self._body = memoryview(body)

    def step(self) -> bytes | None:
        """The next piece; None = that was all."""
        piece, self._body = self._body[:STEP_BYTES], self._body[STEP_BYTES:]
        return bytes(piece) or None


class _Layer:
    """What comes out of one coding."""

    def __init__(self, source: "_Bytes | _Layer", coding: str, max_bytes: int) -> None:
        self._source = source
        self._coding = coding
        self._max_bytes = max_bytes
        self._member: Decompressor | None = None
        self._members = 0
        self._left = b""  # what came and was not given to anybody
        self._size = 0

    def step(self) -> bytes | None:
        """The next piece, which may be empty: whoever asks decides when to go on. None = that was all."""
        member, coded = self._member, b""
        if member is None or member.needs_input:
            piece, self._left = self._left or self._source.step(), b""
            if piece is None:
                self._check_end()
                return None
            coded = piece
            if member is None:
                coded = self._beginning(piece)
                if not coded:
                    return b""
                member = self._member = decompressor_of(self._coding, coded)
        plain = member.decompress(coded, STEP_BYTES)
        if member.eof:
            self._left, self._member = member.unused_data, None
        self._size += len(plain)
        if self._size > self._max_bytes:
            raise too_large(self._max_bytes)
        return plain

    def _beginning(self, piece: bytes) -> bytes:
        """Of the next member; empty = so far there is none."""
        if self._members and self._coding == "gzip":
            piece = piece.lstrip(b"\0")  # padding, as gzip(1) lets it follow and tar(1) writes it
        if not piece:
            return b""
        if self._members and self._coding not in _TAKE_SEVERAL:
            raise BrokenCoding("followed by more bytes")
        self._members += 1
        if self._members > MOST_MEMBERS:
            raise BrokenCoding(f"made of more than {MOST_MEMBERS} parts")
        while len(piece) < BEGINNING_BYTES and (more := self._source.step()) is not None:
            piece += more
        return piece

    def _check_end(self) -> None:
        if self._member is not None or not self._members:
            raise BrokenCoding("cut short")
