"""The readers of requests and replies, with their chunked bodies."""

from collections.abc import Hashable

from adapters.http.server.request.known_heads import KnownHeads
from tests.parsers.target import Target, by_lines, cut, led
from tests.unit import http_read, reply_read
from tests.unit.read_by_h11 import reply_by_h11, requests_by_h11

_LINES = (
    b"\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"3;x=y\r\nabc\r\n", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0",
    b"Content-Length: 5\r\n", b"content-length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"chunked", b"gzip, chunked",
    b"Connection: close\r\n", b"connection: keep-alive\r\n", b"Upgrade: websocket\r\n", b"Upgrade: h2c\r\n",
    b"Connection: upgrade\r\n", b"Trailer: x\r\n", b"x-a: b\r\n", b" folded: x\r\n", b"Proxy-Connection: close\r\n",
)  # fmt: skip


def _requests(data: bytes) -> Hashable:
    whole = http_read.Read(data)
    pieces = http_read.Read(*cut(data))
    heads = KnownHeads()
    http_read.Read(data, heads=heads)
    for head in dict.fromkeys(data.split(b"\r\n\r\n", 9)[:9]):
        http_read.Read(head + b"\r\n\r\n", heads=heads)
    again = [http_read.Read(*pieces, heads=heads) for pieces in ([data], cut(data), cut(data), by_lines(data))]

    assert _told(pieces) == _told(whole), "cut"
    assert _told(_patient([data])) == _told(_patient(cut(data))) == _told(whole), (
        "where there is room now and then only"
    )
    assert all(_told(each) == _told(whole) for each in again), "with heads that are known"
    complete = [each for each in whole.requests if each.is_complete]
    if whole.refusal is None and whole.behind is None and (others := requests_by_h11(data)) is not None:
        both = [(each.head.method.encode(), _target(each), each.body) for each in complete][: len(others)]
        assert both == others[: len(both)], "h11"
        is_due = not whole.requests or not whole.requests[-1].is_complete
        assert len(both) == len(others) or is_due, "h11 sees more"
    refusal = whole.refusal and (whole.refusal.code, str(whole.refusal))
    return refusal, min(len(complete), 3), whole.behind is None, bool(complete and complete[-1].head.is_chunked)


class _NowAndThen(http_read.Read):
    """Has room every other time that it is asked."""

    is_full = True

    def has_room(self) -> bool:
        self.is_full = not self.is_full
        return not self.is_full and super().has_room()


def _patient(pieces: list[bytes]) -> http_read.Read:
    read = _NowAndThen()
    for piece in pieces:
        if read.behind is not None:
            read.behind += piece
            continue
        read.refusal = read.reader.feed(piece)
        while read.refusal is None and read.reader.rest and http_read.Read.has_room(read):
            read.refusal = read.reader.go_on()
        if read.refusal is not None:
            break
        if not http_read.Read.has_room(read):
            read.behind = read.reader.close()
    return read


def _told(read: http_read.Read) -> object:
    """All complete requests, and the head of the one that is not: how much of a body comes before what is wrong with it
    is a matter of pieces, and so is which of two mistakes is told."""
    requests = [each.told() if each.is_complete else (each.head.method, each.length) for each in read.requests]
    for number, each in enumerate(read.requests):
        if each.is_complete and not each.head.keeps and not each.head.upgrades:
            return requests[: number + 1]  # the connection ends with its reply, whatever comes behind it
    code = read.refusal and read.refusal.code
    return requests, "malformed_request" if code == "headers_too_large" else code, read.behind


def _target(request: http_read.Request) -> bytes:
    query = request.head.query_string
    return request.head.raw_path + (b"?" + query if query else b"")


def _replies(data: bytes) -> Hashable:
    variant, data = led(data)
    has_body = variant % 4 != 0
    whole = reply_read.Read(data, has_body=has_body)
    pieces = reply_read.Read(*cut(data), has_body=has_body)

    assert _outcome(pieces, data) == _outcome(whole, data), "cut"
    if whole.is_clean:
        other = reply_by_h11("POST" if has_body else "HEAD", data)
        assert other == (whole.reply.status, whole.body), "h11"
    failure = whole.failure and whole.failure.reason
    return failure, whole.reader.is_whole, whole.reader.is_kept, whole.reader.is_followed, whole.reader.in_head


def _outcome(read: reply_read.Read, data: bytes) -> object:
    """Line breaks behind a reply are seen by most cuts only; llhttp skips those before the next one. What follows a
    reply that ends its connection is nobody's."""
    reader, reply = read.reader, read.reply
    if read.failure is not None:
        return read.failure.kind  # what is wrong in two ways is told by what comes first
    head = None if reader.in_head else (reply.status, reply.headers)
    return (
        head,
        read.body,
        reader.is_whole,
        reader.is_whole and reader.is_kept and (True, reader.is_followed or data[-1:] in b"\r\n"),
    )


TARGETS = (
    Target(
        "requests",
        _requests,
        (
            *_LINES, b"GET / HTTP/1.1\r\nhost: here\r\n\r\n", b"POST /v1/x?y HTTP/1.1\r\n", b"Host: a\r\n",
            b"Expect: 100-continue\r\n", b"http://h/p", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"OPTIONS *",
        ),
    ),
    Target(
        "replies",
        _replies,
        (
            *_LINES, b"\x01HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\n",
            b"\x01HTTP/1.1 204 No Content\r\n", b"\x00HTTP/1.0 304 \r\n", b"HTTP/1.1 101 Switching\r\n",
            b"ICY 200 OK\r\n",
        ),
    ),
)  # fmt: skip
