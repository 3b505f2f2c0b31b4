"""Reads requests off one connection, with llhttp, and never mistakes where one ends.

llhttp refuses what could be read in two ways (both framings, folded headers, bare line breaks, a length that is no
number); what it lets pass and could still be mistaken is refused here.
"""

from typing import Any

import httptools

from adapters.http.server.request import refusals
from adapters.http.server.request.head import RequestHead, target_of
from adapters.http.server.request.known_heads import KnownHeads, Spelling, spelling_of
from adapters.http.server.request.sinks import BodySink, RequestSink
from application.errors import InvalidRequest

_UNPARSED_FROM_BYTES = 64 * 1024
"""The rest of a body of known length, if it is longer than this, goes past the parser, which would copy it."""

_AT_ONCE_BYTES = 2 * 1024
_BODY_AT_ONCE_BYTES = 4 * 1024
"""The parser is never given more than this without a look at what it made of it: it calls back for every request and
every header in what it is given, and cannot be stopped where another could still begin."""

_HEAD_END = b"\r\n\r\n"
_LEAST_HEAD_BYTES = len(b"GET / HTTP/1.1")
_LEAST_BODY_BYTES = 64
"""A piece ends where a request may end, but is no shorter than this."""

_PAID_FOR = 8
"""How many bytes of chunk sizes and extensions each byte of a body may bring along, beside `MAX_HEAD_BYTES` at a time:
an extension means nothing to anybody here, but is read (compare CVE-2023-39326 in Go's net/http)."""


class _Refused(Exception):
    """Stops the parser; the reader knows why."""


class RequestReader:
    """One request after the other."""

    def __init__(self, sink: RequestSink, heads: KnownHeads) -> None:
        """`heads`: those that were read before, on any connection."""
        self.in_head = True
        """Is no request being received, or only its head?"""
        self.overhead_bytes = 0
        """What has come since a request or its headers were complete, less what its body pays for."""
        self.rest = b""
        """What has come and is not read, since the sink has no room; `go_on` reads it."""
        self._sink = sink
        self._heads = heads
        self._head: RequestHead | None = None
        """The one that was read last, if nothing but what it says decides where its request ends."""
        self._parser: Any = None
        """None = nothing was parsed yet: where heads are known nothing ever is."""
        self._body: BodySink | None = None
        self._url = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._due_bytes = 0
        self._is_past = False
        self._is_unparsed = False
        """Has the parser not seen the request whose body comes?"""
        self._framing = b""
        self._is_repeated = False
        self._upgrades = False
        self._behind = b""
        self._refusal: InvalidRequest | None = None
        self._rest_from = 0

    def feed(self, data: bytes) -> InvalidRequest | None:
        """Read what has come, as far as the sink has room for it; None = it was good so far."""
        if self.in_head and not self.overhead_bytes and not self.rest:
            spelling = spelling_of(data)
            if spelling is not None:
                key, end, length = spelling
                head = self._heads.find(key)
                if head is None or len(data) - end != (length or 0):
                    return self._begin_with(data, spelling, head)
                # All of it is here: neither the parser nor anything of this reader's state has to see it.
                self._sink.arrived(head, length or 0, data[end:])
                return None
        elif self._is_past and (body := self._body) is not None and not self.rest:
            data = self._past_the_parser(body, data)
        if len(data) <= _AT_ONCE_BYTES and not self.rest:
            return self._parse(data)
        self.rest = self.rest[self._rest_from :] + data
        self._rest_from = 0
        return self.go_on()

    def _begin_with(self, data: bytes, spelling: Spelling, head: RequestHead | None) -> InvalidRequest | None:
        """Data that begins with a whole head; None = it is not known."""
        key, end, length = spelling
        if head is not None:
            self._again(head, length or 0)
        elif (refusal := self._read_head(data[:end], key, length)) is not None:
            return refusal
        if len(data) == end:
            return None
        at, body = end, self._body
        if self._is_past and body is not None:
            at = min(at + self._due_bytes, len(data))
            self._past_the_parser(body, data[end:at])
            if at == len(data):
                return None
        self.rest, self._rest_from = data, at
        return self.go_on()

    def _again(self, head: RequestHead, length: int) -> None:
        """A request whose head is known. The parser does not get to see it, nor its body."""
        self._is_unparsed = True
        self._hand_in(head, length)
        self._is_past = True
        if not length:
            self._complete()

    def _read_head(self, raw: bytes, key: bytes, length: int | None) -> InvalidRequest | None:
        """Have it parsed by itself, and remember it if nothing but its bytes decides what comes after it."""
        earlier = self._head
        refusal = self._parse(raw)
        head, self._head = self._head, None
        if head is earlier:  # of empty lines the parser makes no head
            return refusal
        if refusal is not None or head is None or not head.keeps or head.is_chunked or head.waits_for_100:
            return refusal
        if head.has_length == (length is not None) and self._due_bytes == (length or 0):
            self._heads.add(key, head)
        return None

    def go_on(self) -> InvalidRequest | None:
        """Read the rest, as far as the sink has room for it; None = it was good so far."""
        while self.rest:
            if not self._sink.has_room():
                return None
            refusal = self._read_a_piece()
            if refusal is not None:
                self.rest = b""
                return refusal
        return None

    def _read_a_piece(self) -> InvalidRequest | None:
        rest, start, body = self.rest, self._rest_from, self._body
        refusal = None
        if self._due_bytes > 0:
            end = min(start + self._due_bytes, len(rest))
            if self._is_past and body is not None:
                self._past_the_parser(body, rest[start:end])
            else:
                refusal = self._parse(rest[start:end])
        else:
            least, most = _LEAST_BODY_BYTES, _BODY_AT_ONCE_BYTES
            if self.in_head:
                least, most = _LEAST_HEAD_BYTES, _AT_ONCE_BYTES
            found = rest.find(_HEAD_END, start + least, start + most)
            end = min(start + most, len(rest)) if found < 0 else found + len(_HEAD_END)
            refusal = self._parse(rest[start:end])
        if end == len(rest):
            self.rest, self._rest_from = b"", 0
        else:
            self._rest_from = end
        return refusal

    def _parse(self, data: bytes) -> InvalidRequest | None:
        while data:
            self.overhead_bytes += len(data)
            try:
                if self._parser is None:
                    self._parser = httptools.HttpRequestParser(self)
                self._parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                if not self._upgrades:
                    self._ignore_upgrade()
                    continue
                self._behind = data
                self._complete()
                return None
            except httptools.HttpParserError:
                return self._refusal or refusals.MALFORMED
        if self.overhead_bytes > refusals.MAX_HEAD_BYTES:
            return refusals.HEAD_TOO_LARGE
        if len(self._fields) > refusals.MAX_HEADERS:  # of a head that is not complete, or of trailers
            self._fields = []
            return refusals.TOO_MANY_HEADERS
        return None

    def close(self) -> bytes:
        """Read nothing more, and let go of the parser, which holds on to this reader. What has come and is not read."""
        rest, self.rest = self._behind + self.rest[self._rest_from :], b""
        self._body = None
        self._is_past = False
        self._parser = None
        return rest

    def _past_the_parser(self, body: BodySink, data: bytes) -> bytes:
        """What is left after the body."""
        due = self._due_bytes
        rest = data[due:] if len(data) > due else b""
        piece = data[:due] if rest else data
        self._due_bytes -= len(piece)
        body.feed(piece)
        if not self._due_bytes:
            if not self._is_unparsed:
                self._parser = None  # it waits for the body
            self._complete()
        return rest

    def _ignore_upgrade(self) -> None:
        """A request like any other (RFC 9110, 7.8), whose body llhttp has left to the protocol it would upgrade to."""
        self._parser = httptools.HttpRequestParser(self)
        self._is_repeated = True
        self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % self._framing)
        self.overhead_bytes = 0

    # What llhttp tells us.

    def on_message_begin(self) -> None:
        # Also behind the end of another: what comes next is the rest of a head then, and no head that may be known.
        self.overhead_bytes = self.overhead_bytes or 1

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        if self._is_repeated:
            self._is_repeated = False
            self._url, self._fields = b"", []
            return
        url, self._url = self._url, b""
        headers, self._fields = self._fields, []
        parser = self._parser
        if self.overhead_bytes > refusals.MAX_HEAD_BYTES or len(headers) > refusals.MAX_HEADERS:
            self._refuse(refusals.size_refusal(url, headers))
        version = parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            self._refuse(refusals.OTHER_VERSION)
        length = b"0"
        has_length = False
        for name, value in headers:
            if name == b"content-length":
                length, has_length = value, True
        self._framing = b"" if length == b"0" else b"content-length: %b\r\n" % length
        if has_length:
            headers = [pair for pair in headers if pair[0] != b"content-length"]
        target = target_of(url, headers)
        if target is None:
            self._refusal = refusals.BAD_TARGET
            raise _Refused
        keeps = parser.should_keep_alive()
        head = RequestHead(parser.get_method().decode(), version, *target, headers, keeps=keeps, has_length=has_length)
        if head.is_chunked:
            self._refuse(refusals.coding_refusal(headers, version))
            self._framing = b"transfer-encoding: chunked\r\n"
        self._head = head
        if parser.should_upgrade():
            self._head = None
            self._upgrades = head.may_upgrade()
            self._refuse(refusals.UPGRADE_WITH_BODY if self._upgrades and self._framing else None)
        self._is_unparsed = False
        self._hand_in(head, int(length))
        self._is_past = self._due_bytes > _UNPARSED_FROM_BYTES and not parser.should_upgrade()

    def _hand_in(self, head: RequestHead, due_bytes: int) -> None:
        self.in_head = False
        self.overhead_bytes = 0
        self._body = self._sink.arrived(head, None if head.is_chunked else due_bytes)
        self._due_bytes = due_bytes

    def on_body(self, piece: bytes) -> None:
        overhead = self.overhead_bytes - _PAID_FOR * len(piece)
        self.overhead_bytes = overhead if overhead > 0 else 0
        self._due_bytes -= len(piece)
        if self._body is not None:
            self._body.feed(piece)

    def on_message_complete(self) -> None:
        if not self._parser.should_upgrade():  # not before its body
            self._complete()

    def _complete(self) -> None:
        body, self._body = self._body, None
        self._due_bytes = 0
        self._is_past = False
        self._fields = []  # trailers mean nothing to anybody here
        self.in_head = True
        self.overhead_bytes = 0
        if body is not None:
            body.complete()

    def _refuse(self, refusal: InvalidRequest | None) -> None:
        if refusal is not None:
            self._refusal = refusal
            raise _Refused
