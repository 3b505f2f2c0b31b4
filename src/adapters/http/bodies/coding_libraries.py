"""The libraries that take a coding off, behind one interface: that of `bz2`, `lzma` and `compression.zstd`."""

import sys
import zlib

import brotli  # type: ignore[import-untyped] # it has none

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_ZSTD_WINDOW_LOG = 23  # a frame may look back 8 MiB at most: what RFC 9659 asks of all that is sent over HTTP

BEGINNING_BYTES = 2  # so many bytes of a body say which decompressor it needs


class BrokenCoding(Exception):
    """What came is not what its coding makes. The text says what is wrong, as the end of a sentence."""


class Decompressor:
    """One frame, member or stream of a coding."""

    eof = False
    """Has its end come?"""
    needs_input = True
    """Has it given out all that came?"""
    unused_data = b""
    """What came behind its end."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """At most about so many bytes of what `data` and what it has kept stand for. Raises `BrokenCoding`."""
        raise NotImplementedError


def decompressor_of(coding: str, beginning: bytes) -> Decompressor:
    """For a body that begins so, with `BEGINNING_BYTES` if it has as many."""
    if coding == "zstd":
        return _Zstd()
    if coding == "br":
        return _Brotli()
    if coding == "gzip":
        return _Zlib(zlib.MAX_WBITS | 16)
    return _Zlib(zlib.MAX_WBITS if _has_frame(beginning) else -zlib.MAX_WBITS)


def _has_frame(beginning: bytes) -> bool:
    """Deflate is zlib's format, and some clients send it without that frame (RFC 9110, 8.4.1.2; RFC 1950, 2.2)."""
    return beginning[0] & 0x0F == 8 and int.from_bytes(beginning[:2], "big") % 31 == 0


class _Zlib(Decompressor):
    def __init__(self, bits: int) -> None:
        self._inflater = zlib.decompressobj(bits)

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        inflater = self._inflater
        try:
            plain = inflater.decompress(inflater.unconsumed_tail + data, max_length)
        except zlib.error:
            raise BrokenCoding("broken") from None
        # What fills the room may not be all that zlib has.
        self.needs_input = len(plain) < max_length and not inflater.unconsumed_tail
        self.eof, self.unused_data = inflater.eof, inflater.unused_data
        return plain


class _Zstd(Decompressor):
    def __init__(self) -> None:
        self._frame = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        frame = self._frame
        try:
            plain = frame.decompress(data, max_length)
        except zstd.ZstdError:
            raise BrokenCoding("broken, or looks back more than 8 MiB") from None
        self.eof, self.needs_input, self.unused_data = frame.eof, frame.needs_input, frame.unused_data
        return plain


class _Brotli(Decompressor):
    """`unused_data` stays empty: it takes what follows its end for an error."""

    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        try:
            plain: bytes = self._decompressor.process(data, output_buffer_limit=max_length)
        except brotli.error:
            raise BrokenCoding("broken") from None
        self.eof = bool(self._decompressor.is_finished())
        # It may take more while it still has some to give.
        self.needs_input = not plain and self._decompressor.can_accept_more_data()
        return plain
