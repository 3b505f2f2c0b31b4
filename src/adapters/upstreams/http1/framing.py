"""How a chunk of HTTP/1.1 is framed, by its length in all: what is one whole chunk is known without a parser."""

LINE_END = b"\r\n"


def _framing(length: int) -> tuple[bytes, int]:
    """The usual framing of a chunk that takes so many bytes with it: in lower case, without extensions (RFC 9112,
    7.1)."""
    for digits in (1, 2, 3):
        size = length - digits - 2 * len(LINE_END)
        if size > 0 and len(b"%x" % size) == digits:
            return b"%x\r\n" % size, size
    return b"none", 0


FRAMINGS = tuple(map(_framing, range(2048)))
"""The line before it, and the size of what is in it; where no chunk is so long, a line that no chunk begins with.
Nearly all events of streams are shorter."""

LENGTHS = len(FRAMINGS)


def whole_chunk(data: bytes) -> bytes:
    """What is in the one whole chunk that `data` is; b"" = it is none, or not a usual one."""
    if len(data) >= LENGTHS:
        return b""
    line, _ = FRAMINGS[len(data)]
    piece = data[len(line) : -len(LINE_END)]
    return piece if line + piece + LINE_END == data else b""
