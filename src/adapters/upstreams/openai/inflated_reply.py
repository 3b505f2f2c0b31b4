"""A stream without its content coding. Identity is asked for; some gateways zip all the same (RFC 9110, 8.4)."""

import zlib
from operator import itemgetter

from application.flow import Take, TakeFramed, pulled
from application.messages import Headers, header
from application.ports import UpstreamFailed, UpstreamReply
from domain.failure import Failure, FailureKind

MAX_PIECE_BYTES = 64 * 1024  # how much is inflated at a time: a few bytes can stand for megabytes

_name = itemgetter(0)
_GZIP = ("gzip", "x-gzip")
_GZIP_BITS = zlib.MAX_WBITS | 16

_MAX_MEMBERS = 1000  # members of one gzip file that hold nothing, or of one whose beginning is looked at
_WINDOW_BYTES = 4096  # how much is given to zlib at a time, as it copies what it leaves
_SEEN_BYTES = 64  # by then it is known whether deflate has zlib's frame (two bytes, RFC 1950, 2.2)


def beginning(headers: Headers, body: bytes, max_bytes: int) -> tuple[bytes, bool]:
    """A body as far as `max_bytes` without its content coding, for reading only, and whether that is all of it. One
    that is not coded is all there.

    Raises `ValueError` for a coding that is unknown here, broken or cut.
    """
    if "content-encoding" not in map(_name, headers) or not (coding := _coding(headers)):
        return body, True
    if coding not in _GZIP and coding != "deflate":
        raise ValueError(f"content-encoding {coding[:16]} was not asked for")
    try:
        if coding in _GZIP:
            return _inflated(body, _GZIP_BITS, max_bytes)
        try:
            return _inflated(body, zlib.MAX_WBITS, max_bytes)
        except zlib.error:
            return _inflated(body, -zlib.MAX_WBITS, max_bytes)
    except zlib.error:
        raise ValueError("broken compression") from None


def _coding(headers: Headers) -> str:
    coding = (header(headers, "content-encoding") or "").strip().lower()
    return "" if coding == "identity" else coding


def _inflated(body: bytes, bits: int, max_bytes: int) -> tuple[bytes, bool]:
    plain = bytearray()
    source = memoryview(body)
    at = 0
    for _ in range(_MAX_MEMBERS):
        inflater = zlib.decompressobj(bits)
        while not inflater.eof and at < len(source):
            window = source[at : at + _WINDOW_BYTES]
            plain += inflater.decompress(window, max_bytes + 1 - len(plain))
            at += len(window) - len(inflater.unused_data) - len(inflater.unconsumed_tail)
            if len(plain) > max_bytes:
                return bytes(plain[:max_bytes]), False
        if not inflater.eof:
            raise zlib.error("cut")
        at = _past_padding(body, at)
        if at == len(body) or bits != _GZIP_BITS:
            return bytes(plain), True
    return bytes(plain), False


def _past_padding(body: bytes, at: int) -> int:
    rest = body[at : at + _WINDOW_BYTES]
    while rest and not rest.strip(b"\0"):
        at += len(rest)
        rest = body[at : at + _WINDOW_BYTES]
    return at + len(rest) - len(rest.lstrip(b"\0"))


def plain(reply: UpstreamReply) -> UpstreamReply:
    """The reply itself if it is not coded. Raises `UpstreamFailed` for a coding that is unknown here."""
    coding = _coding(reply.headers)
    if not coding:
        return reply
    if coding in _GZIP or coding == "deflate":
        return InflatedReply(reply, coding)
    shown = coding if coding.isalnum() and len(coding) < 16 else "unknown"
    raise UpstreamFailed(Failure(FailureKind.JUNK, f"content-encoding {shown}, though identity was asked for"))


class InflatedReply:
    """See `UpstreamReply`. What comes is inflated as far as it goes, so an event is there as soon as it was flushed."""

    __slots__ = (
        "_began", "_coded", "_empty", "_inflater", "_is_gzip", "_over", "_reply", "_seen", "headers", "status",
    )  # fmt: skip

    def __init__(self, reply: UpstreamReply, coding: str) -> None:
        self.status = reply.status
        self.headers: Headers = tuple(
            pair for pair in reply.headers if pair[0] not in ("content-encoding", "content-length")
        )
        self._reply = reply
        self._is_gzip = coding in _GZIP
        self._inflater = zlib.decompressobj(_GZIP_BITS if self._is_gzip else zlib.MAX_WBITS)
        self._coded = memoryview(b"")
        self._seen = b""
        self._began = False
        self._over = False
        self._empty = 0  # members in a row that held nothing

    def whole_now(self) -> None:
        """See `UpstreamReply.whole_now`: nobody knows."""

    async def receive(self) -> bytes:
        """See `UpstreamReply.receive`. TRUNCATED also when the coding breaks off, JUNK when it is broken."""
        while not self._over:
            if not self._coded:
                self._coded = memoryview(await self._reply.receive())
                self._over = not self._coded
            piece = self._inflated()
            if piece:
                return piece
        if not self._inflater.eof and (self._began or self._seen):
            raise UpstreamFailed(Failure(FailureKind.TRUNCATED, "the compressed body was cut"))
        return b""

    async def flow(self, take: Take, _: TakeFramed | None = None, /) -> bool:
        return await pulled(self.receive, take)

    def rest(self) -> None:
        self._reply.rest()

    def close(self) -> None:
        self._coded = memoryview(b"")
        self._reply.close()

    def _inflated(self) -> bytes:
        coded, self._coded = self._coded, memoryview(b"")
        if not coded or (self._inflater.eof and not self._is_gzip):
            return b""
        if self._inflater.eof:
            coded = _without_padding(coded)
            if not coded:
                return b""
            self._inflater = zlib.decompressobj(_GZIP_BITS)  # another member follows (RFC 1952, 2.2)
        window = coded[:_WINDOW_BYTES]
        try:
            piece = self._inflate(window)
        except zlib.error:
            raise UpstreamFailed(Failure(FailureKind.JUNK, "broken compression")) from None
        self._began = self._began or bool(piece)
        self._count(piece)
        left = len(self._inflater.unconsumed_tail) + len(self._inflater.unused_data)
        if left <= len(window):
            self._coded = coded[len(window) - left :]
        else:  # begun again without a frame
            self._coded = memoryview(self._seen[-left:] + coded[len(window) :])
        return piece

    def _count(self, piece: bytes) -> None:
        self._empty = 0 if piece else self._empty + self._inflater.eof
        if self._empty > _MAX_MEMBERS:
            raise UpstreamFailed(Failure(FailureKind.JUNK, "compression of nothing"))

    def _inflate(self, coded: memoryview) -> bytes:
        if self._is_gzip or self._began or len(self._seen) >= _SEEN_BYTES:
            return self._inflater.decompress(coded, MAX_PIECE_BYTES)
        self._seen += coded
        try:
            return self._inflater.decompress(coded, MAX_PIECE_BYTES)
        except zlib.error:
            self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)  # without zlib's frame, as some servers send deflate
            return self._inflater.decompress(self._seen, MAX_PIECE_BYTES)


def _without_padding(coded: memoryview) -> memoryview:
    """It may follow the last member (RFC 1952 says nothing of it, and gzip allows it)."""
    at = 0
    while at < len(coded) and not coded[at]:
        at += 1
    return coded[at:]
