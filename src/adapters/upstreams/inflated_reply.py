"""A stream without its content coding. Identity is asked for; some gateways zip all the same (RFC 9110, 8.4)."""

import zlib

from application.messages import Headers, header
from application.ports import UpstreamFailed, UpstreamReply
from domain.failure import Failure, FailureKind

MAX_PIECE_BYTES = 64 * 1024
"""How much is inflated at a time: a few bytes can stand for megabytes."""

_GZIP = ("gzip", "x-gzip")
_GZIP_BITS = zlib.MAX_WBITS | 16


def plain(reply: UpstreamReply) -> UpstreamReply:
    """The reply itself if it is not coded. Raises `UpstreamFailed` for a coding that is unknown here."""
    coding = (header(reply.headers, "content-encoding") or "").strip().lower()
    if coding in ("", "identity"):
        return reply
    if coding in _GZIP or coding == "deflate":
        return InflatedReply(reply, coding)
    shown = coding if coding.isalnum() and len(coding) < 16 else "unknown"
    raise UpstreamFailed(
        Failure(FailureKind.JUNK, f"content-encoding {shown}, though identity was asked for", reply.status)
    )


class InflatedReply:
    """See `UpstreamReply`. What comes is inflated as far as it goes, so an event is there as soon as it was flushed."""

    def __init__(self, reply: UpstreamReply, coding: str) -> None:
        """`coding` is gzip or deflate."""
        self.status = reply.status
        self.headers: Headers = tuple(
            pair for pair in reply.headers if pair[0] not in ("content-encoding", "content-length")
        )
        self._reply = reply
        self._is_gzip = coding in _GZIP
        self._inflater = zlib.decompressobj(_GZIP_BITS if self._is_gzip else zlib.MAX_WBITS)
        self._coded = b""
        self._seen = b""
        self._began = False
        self._over = False

    async def receive(self) -> bytes:
        """See `UpstreamReply.receive`. TRUNCATED also when the coding breaks off, JUNK when it is broken."""
        while not self._over:
            if not self._coded:
                self._coded = await self._reply.receive()
                self._over = not self._coded
            piece = self._inflated()
            if piece:
                return piece
        if not self._inflater.eof and (self._began or self._seen):
            raise UpstreamFailed(Failure(FailureKind.TRUNCATED, "the compressed body was cut", self.status))
        return b""

    def close(self) -> None:
        """See `UpstreamReply.close`."""
        self._coded = b""
        self._reply.close()

    def _inflated(self) -> bytes:
        coded, self._coded = self._coded, b""
        if not coded or (self._inflater.eof and not self._is_gzip):
            return b""
        try:
            if self._inflater.eof:  # one member has ended, another may follow (RFC 1952, 2.2)
                self._inflater = zlib.decompressobj(_GZIP_BITS)
            piece = self._inflate(coded)
        except zlib.error:
            raise UpstreamFailed(Failure(FailureKind.JUNK, "broken compression", self.status)) from None
        self._began = self._began or bool(piece)
        self._coded = self._inflater.unconsumed_tail
        if self._inflater.eof and self._is_gzip:
            self._coded = self._inflater.unused_data.lstrip(b"\0")  # padding is allowed
        return piece

    def _inflate(self, coded: bytes) -> bytes:
        if self._is_gzip or self._began:
            return self._inflater.decompress(coded, MAX_PIECE_BYTES)
        self._seen += coded
        try:
            return self._inflater.decompress(coded, MAX_PIECE_BYTES)
        except zlib.error:
            self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)  # without zlib's frame, as some servers send deflate
            return self._inflater.decompress(self._seen, MAX_PIECE_BYTES)
