"""PNG pictures with a palette: a screenshot in 256 colours looks the same, and takes a third of the bytes."""

import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB, _PALETTE = 2, 3
_COLOURS = 256
_ALIKE = 3 * 8**2
"""Colours whose distance squared is less are one: so a rare colour that is like no other keeps its place."""


class _Chunk(NamedTuple):
    kind: bytes
    data: bytes


def with_palette(png: bytes) -> bytes:
    """The same picture, of 8-bit RGB; colours that are nearly alike become one."""
    chunks = list(_chunks(png))
    width, height, depth, colour, *_, interlaced = struct.unpack(">IIBBBBB", chunks[0].data)
    if (depth, colour, interlaced) != (8, _RGB, 0):
        raise ValueError("not a plain picture in 8-bit RGB")
    raw = zlib.decompress(b"".join(chunk.data for chunk in chunks if chunk.kind == b"IDAT"))
    rows = [list(zip(row[::3], row[1::3], row[2::3], strict=True)) for row in _rows(raw, 3 * width, height)]
    often = [pixel for pixel, _ in Counter(pixel for row in rows for pixel in row).most_common()]
    palette: list[tuple[int, ...]] = []
    index = {}
    for pixel in often:
        number = min(range(len(palette)), key=lambda number: _distance(pixel, palette[number]), default=0)
        if not palette or (len(palette) < _COLOURS and _distance(pixel, palette[number]) >= _ALIKE):
            palette.append(pixel)
            number = len(palette) - 1
        index[pixel] = number
    told = b"".join(b"\0" + bytes(map(index.__getitem__, row)) for row in rows)
    return _SIGNATURE + b"".join(
        _written(kind, data)
        for kind, data in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _PALETTE, 0, 0, 0)),
            (b"PLTE", bytes(value for pixel in palette for value in pixel)),
            (b"IDAT", zlib.compress(told, 9)),
            (b"IEND", b""),
        )
    )


def _distance(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _chunks(png: bytes) -> Iterator[_Chunk]:
    at = len(_SIGNATURE)
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        yield _Chunk(kind, png[at + 8 : at + 8 + length])
        at += 12 + length


def _written(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _rows(raw: bytes, size: int, height: int) -> Iterator[bytes]:
    """Without the filters of PNG, each of which foretells a byte by those to the left and above."""
    above = bytearray(size)
    for start in range(0, height * (size + 1), size + 1):
        kind, row = raw[start], bytearray(raw[start + 1 : start + 1 + size])
        for at in range(size if kind else 0):
            left, corner = (row[at - 3], above[at - 3]) if at >= 3 else (0, 0)
            up = above[at]
            told = (0, left, up, (left + up) // 2)[kind] if kind < 4 else _paeth(left, up, corner)
            row[at] = (row[at] + told) & 0xFF
        above = row
        yield bytes(row)


def _paeth(left: int, up: int, corner: int) -> int:
    to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
    if to_left <= to_up and to_left <= to_corner:
        return left
    return up if to_up <= to_corner else corner
