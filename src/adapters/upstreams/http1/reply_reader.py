"""Reads replies off one connection, with llhttp, and never mistakes where one ends.

llhttp refuses what could be read in two ways; what it lets pass and could still be mistaken is refused here.
"""

from functools import partial
from typing import Any

import httptools

from adapters.upstreams.http1.failures import HEAD_TOO_LARGE, NOT_HTTP, SWITCHED
from adapters.upstreams.http1.framing import LINE_END, whole_chunk
from adapters.upstreams.http1.plain_reply import START, plain_reply
from adapters.upstreams.http1.reply import Http1Reply
from application.messages import Headers
from domain.bounded_memo import Remembered
from domain.failure import Failure

_MAX_HEADERS = 256

AT_ONCE_BYTES = 16 * 1024
"""Of headers and chunks the parser is never given more than this without a look at what it made of it: it calls back
for each of them, however small."""

_USUAL = b"HTTP/1.1 2"
_INTERIM = b"HTTP/1.1 1"
_FINAL = frozenset(b"HTTP/1.%d %d" % (minor, digit) for minor in (0, 1) for digit in range(2, 10))
"""A status line begins with one of these (RFC 9112 sections 2.3 and 4); there is no interim one of HTTP/1.0 (RFC 9110
section 15.2). llhttp takes HTTP/0.9, HTTP/2.0, RTSP/1.0 and ICE/1.0 as well, and reads on as if they were HTTP/1.1."""

_PAID_FOR = 8
"""How many bytes of chunk sizes and extensions a byte of a body may bring along, beside `max_head_bytes` at a time."""


_names: Remembered[bytes, str] = Remembered(lambda name: name.decode("latin-1").lower(), most=1024)


def _may_become_one(beginning: bytes) -> bool:
    """Is it the beginning of a status line, as far as it goes?"""
    return len(beginning) < len(_USUAL) and any(whole.startswith(beginning) for whole in (_INTERIM, *_FINAL))


class _Refused(Exception):
    """Stops the parser; the reader knows why."""


class ReplyReader:
    """One reply after the other."""

    def __init__(self, max_head_bytes: int) -> None:
        """`max_head_bytes` bounds the headers of a reply with all interim replies before it, and trailers likewise."""
        self.in_head = True
        """Are the headers of the final reply still to come?"""
        self.is_whole = False
        """Is the reply complete?"""
        self.is_kept = False
        """Does the server keep the connection open after it?"""
        self.is_followed = False
        """Did anything come after the end of the reply?"""
        self.is_between_chunks = False
        """Does what comes next begin with a chunk, whatever it is?"""
        self.overhead_bytes = 0
        """What has come since the request was sent or the headers were whole, less what the body pays for."""
        self._max_head_bytes = max_head_bytes
        self._pieces: list[bytes] = []
        """Of the body, in what is being read."""
        self._open_chunk: list[None] = []
        """Empty = none has begun, or the last one that has is over."""
        self._parser: Any = None  # until something has to be parsed, which on most connections nothing ever has
        self._reply: Http1Reply | None = None
        self._has_body = True
        self._own_pieces = 0
        """How many of those are the reply's own, once it is whole: what follows them nobody asked for."""
        self._fields: list[tuple[bytes, bytes]] = []
        self._interim_bytes = 0
        self._is_chunked = False
        self._is_interim = False
        self._refusal: Failure | None = None
        self._is_line_due = True
        """Is the beginning of the final reply's status line still to come?"""
        self._begun = b""
        """What has come of a status line that nobody can judge yet, and is not parsed; or, of an interim reply that is
        not complete, `_INTERIM`."""

    def begin(self, reply: Http1Reply, *, has_body: bool) -> None:
        """What comes from here on is for `reply`; one to HEAD or CONNECT has no body whatever its headers say."""
        self.in_head = True
        self.is_whole = self.is_kept = self.is_followed = self.is_between_chunks = False
        self.overhead_bytes = 0
        self._reply = reply
        self._has_body = has_body
        self._fields = []
        self._interim_bytes = 0
        self._is_chunked = self._is_interim = False
        self._is_line_due = True
        self._begun = b""

    def feed(self, data: bytes) -> Failure | None:
        """Read what has come; None = it was good so far."""
        if self._is_line_due:
            return self._feed_beginning(data)
        start = 0
        while len(data) - start > AT_ONCE_BYTES and (self.in_head or self._is_chunked) and not self.is_whole:
            failure = self.read(data[start : start + AT_ONCE_BYTES])
            if failure is not None:
                return failure
            start += AT_ONCE_BYTES
        if not self.is_whole:
            return self.read(data[start:] if start else data)
        self.is_followed = self.is_followed or start < len(data)
        return None

    def _feed_beginning(self, data: bytes) -> Failure | None:
        """Status lines are judged before they are parsed. Interim replies are read line by line, as nothing tells where
        in what it was given the parser came to the end of one."""
        if not self._begun and data.startswith(_USUAL):
            if data.startswith(START) and self._has_body and self._has_read(data):
                return None
            self._is_line_due = False
            return self.feed(data)
        if self._begun != _INTERIM:
            self.overhead_bytes -= len(self._begun)
            data, self._begun = self._begun + data, b""
        start = 0
        while start < len(data):
            if not self._begun:
                beginning = data[start : start + len(_USUAL)]
                if beginning in _FINAL:
                    self._is_line_due = False
                    return self.feed(data[start:])
                if beginning != _INTERIM:
                    self.overhead_bytes += len(beginning)
                    self._begun = beginning
                    return None if _may_become_one(beginning) else NOT_HTTP
                self._begun = _INTERIM
            end = data.find(b"\n", start) + 1 or len(data)
            failure = self.read(data[start:end])
            if failure is not None:
                return failure
            start = end
        return None

    def _has_read(self, data: bytes) -> bool:
        """Is it a plain reply, and all of it?"""
        plain = plain_reply(data, self._max_head_bytes, _MAX_HEADERS)
        reply = self._reply
        if plain is None or reply is None:
            return False
        self.in_head = False
        self.is_whole = self.is_kept = True
        self._reply = None
        reply.status = 200
        reply.headers, body = plain
        if body:
            reply.keep(body)
        return True

    def read(self, data: bytes) -> Failure | None:
        """The same of no more than `AT_ONCE_BYTES` behind the headers: for every event of every stream."""
        if self.is_between_chunks and (piece := whole_chunk(data)):
            self._pieces.append(piece)  # the parser would come to where it is now
            self._hand_over()
            return None
        self.overhead_bytes += len(data)
        try:
            (self._parser or self._new_parser()).feed_data(data)
        except httptools.HttpParserError:
            if not self.is_whole:
                self._hand_over()
                return self._refusal or NOT_HTTP
            self.is_followed = True
        if self.is_whole:
            self._end(data)
            return None
        if self._pieces:
            self._hand_over()
        if self._is_chunked:
            # The next chunk has not begun either: it does with the end of the line with its size, as llhttp counts.
            self.is_between_chunks = not (self._open_chunk or self.overhead_bytes) and data[-2:] == LINE_END
        if self.overhead_bytes > self._max_head_bytes or (self.in_head and len(self._fields) > _MAX_HEADERS):
            self._fields = []
            return HEAD_TOO_LARGE
        return None

    def _hand_over(self) -> None:
        """What has come of the body."""
        pieces, reply = self._pieces, self._reply
        piece = pieces.pop() if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        overhead = self.overhead_bytes - _PAID_FOR * len(piece)
        self.overhead_bytes = overhead if overhead > 0 else 0
        if piece and reply is not None and not reply.give(piece):
            reply.keep(piece)

    def _end(self, data: bytes) -> None:
        """`data` holds the end of the reply, and maybe more."""
        pieces, own = self._pieces, self._own_pieces
        if len(pieces) > own:
            self.is_followed = True
            del pieces[own:]
        last = pieces[-1] if pieces and not self._is_chunked else b""
        if data[-1] in b"\r\n" and self._has_blank_lines_after(data, last):
            self.is_followed = True
        if not self._has_body:
            self._parser = None  # it waits for a body
        self._hand_over()
        self._reply = None

    def close(self) -> None:
        """Nothing more comes: let go of the parser, which holds on to this reader."""
        self._reply = self._parser = None

    def _new_parser(self) -> Any:
        self.on_body = self._pieces.append
        self.on_chunk_header = partial(self._open_chunk.append, None)
        self.on_chunk_complete = self._open_chunk.clear
        parser = self._parser = httptools.HttpResponseParser(self)
        return parser

    def ends_with_connection(self) -> bool:
        """Is the end of the connection the end of the body? Where no header says how long it is (RFC 9112 6.3)."""
        if self.in_head or self._is_chunked:
            return False
        return not any(name.lower() == b"content-length" for name, _ in self._fields)

    @staticmethod
    def _has_blank_lines_after(data: bytes, piece: bytes) -> bool:
        """llhttp skips line breaks before a reply, and so does not tell of those after one. `piece`: the last one of a
        body that is not chunked."""
        breaks = len(data) - len(data.rstrip(b"\r\n"))
        own = len(piece) - len(piece.rstrip(b"\r\n"))
        return breaks > (own if own < len(piece) else own + 4)

    # What llhttp tells us.

    def on_message_begin(self) -> None:
        if self.is_whole:
            self.is_followed = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_head:  # trailers mean nothing to anybody here
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        if self._reply is None or self.is_whole:
            return  # of a reply that nobody asked for
        if self.overhead_bytes > self._max_head_bytes or len(self._fields) > _MAX_HEADERS:
            self._check_size()
        headers = tuple([(_names[name], value.decode("latin-1").rstrip(" \t")) for name, value in self._fields])
        if "transfer-encoding" in dict(headers):
            self._is_chunked = True
            self._check_coding(headers)
        status = self._parser.get_status_code()
        if status < 200:
            self._end_interim(status)
            return
        self.in_head = False
        self.overhead_bytes = 0
        self._reply.status = status
        self._reply.headers = headers
        if not self._has_body:
            self.is_whole = True
            self._own_pieces = 0
            self.is_kept = self._parser.should_keep_alive() and not self._is_chunked

    def on_message_complete(self) -> None:
        if self._is_interim:
            self._is_interim = False
            self._begun = b""
        elif not self.is_whole:
            self._own_pieces = len(self._pieces)
            self.is_whole = True
            self.is_kept = self._parser.should_keep_alive()

    def _end_interim(self, status: int) -> None:
        if status == 101 or status < 100:
            self._refuse(SWITCHED if status == 101 else NOT_HTTP)
        self._interim_bytes += self._field_bytes()
        self._fields = []
        self._is_chunked = False
        self._is_interim = True

    def _check_size(self) -> None:
        """What has come with the headers may be a body already, so that is left out."""
        if len(self._fields) > _MAX_HEADERS or self._interim_bytes + self._field_bytes() > self._max_head_bytes:
            self._refuse(HEAD_TOO_LARGE)

    def _field_bytes(self) -> int:
        return sum(len(name) + len(value) + 4 for name, value in self._fields)

    def _check_coding(self, headers: Headers) -> None:
        """No other coding than chunked was asked for, nor chunked twice (RFC 9112 section 7.1): the end of either could
        be mistaken."""
        if [value.lower() for name, value in headers if name == "transfer-encoding"] != ["chunked"]:
            self._refuse(NOT_HTTP)

    def _refuse(self, failure: Failure) -> None:
        self._refusal = failure
        raise _Refused
