"""What was sent and what came back, as others read it: h11, and a reader of replies that forgives nothing."""

import re
from typing import NamedTuple

import h11


class Sent(NamedTuple):
    """The requests in what was sent, as h11 reads them, up to the first that it refuses or that is not whole."""

    requests: list[tuple[bytes, bytes, bytes]]
    """Method, target and body."""
    is_whole: bool
    """Was all of it read, to its end or to a request after which there is none?"""
    asks_for_end: bool = False
    """Does the last request ask for the end of the connection?"""


def sent_of(data: bytes) -> Sent:
    """See `Sent`."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=10**7)
    connection.receive_data(data)
    found: list[tuple[bytes, bytes, bytes]] = []
    method = target = body = b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                method, target, body = event.method, event.target, b""
                if any(name == b"upgrade" for name, _ in event.headers) or method == b"CONNECT":
                    return Sent(found, is_whole=False)
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                found.append((method, target, body))
                connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    return Sent(found, is_whole=True, asks_for_end=True)
                connection.start_next_cycle()
            else:
                is_idle = connection.their_state is h11.IDLE
                return Sent(found, is_whole=is_idle and not connection.trailing_data[0])
    except h11.RemoteProtocolError:
        return Sent(found, is_whole=False)


class Reply(NamedTuple):
    """One reply. `headers` by lower-case name."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Odd(Exception):
    """What came is no HTTP/1.1; the text says why."""


class Replies(NamedTuple):
    """What came back on one connection."""

    whole: list[Reply]
    is_whole: bool
    """Did the last one end?"""
    is_switched: bool
    """Was it left to a WebSocket?"""


_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [\x20-\x7e]*")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t\x20-\x7e\x80-\xff]*)")
_CHUNK = re.compile(rb"([0-9a-fA-F]+)\r\n")


def replies_of(data: bytes, methods: list[bytes]) -> Replies:
    """`methods`: of the requests, as far as they are known. Raises `Odd`."""
    found: list[Reply] = []
    while data:
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            return Replies(found, is_whole=False, is_switched=False)
        line, *fields = head.split(b"\r\n")
        status = _STATUS_LINE.fullmatch(line)
        if status is None:
            raise Odd(f"no status line: {line[:80]!r}")
        headers = dict(_field(field) for field in fields)
        code = int(status[1])
        if code == 100:
            data = rest
            continue
        if code == 101:
            return Replies([*found, Reply(code, headers, rest)], is_whole=True, is_switched=True)
        is_known = len(found) < len(methods) and (b"x-llmproxy-request-id" in headers or code < 400)
        method = methods[len(found)] if is_known else None
        taken = _body(code, headers, method, rest)
        if taken is None:
            return Replies(found, is_whole=False, is_switched=False)
        body, data = taken
        found.append(Reply(code, headers, body))
    return Replies(found, is_whole=True, is_switched=False)


def _field(field: bytes) -> tuple[bytes, bytes]:
    found = _FIELD.fullmatch(field)
    if found is None:
        raise Odd(f"no header: {field[:80]!r}")
    return found[1].lower(), found[2]


def _body(status: int, headers: dict[bytes, bytes], method: bytes | None, rest: bytes) -> tuple[bytes, bytes] | None:
    """The body and what follows it; None = it did not come whole."""
    if b"transfer-encoding" in headers and b"content-length" in headers:
        raise Odd("both framings")
    if method == b"HEAD" or status in (204, 304):
        return b"", rest
    if b"transfer-encoding" in headers:
        return _chunks(rest)
    length = headers.get(b"content-length")
    if length is None and headers.get(b"connection") == b"close":
        return rest, b""  # to a client of HTTP/1.0
    if length is None or not length.isdigit():
        raise Odd(f"a body without an end: {status} {headers}")
    if method is None and (not rest or rest.startswith(b"HTTP/1.1 ")):
        return b"", rest  # of a HEAD that only the proxy could read
    size = int(length)
    return (rest[:size], rest[size:]) if len(rest) >= size else None


def _chunks(data: bytes) -> tuple[bytes, bytes] | None:
    body = b""
    while (found := _CHUNK.match(data)) is not None:
        size = int(found[1], 16)
        if len(data) < found.end() + size + 2:
            return None
        body += data[found.end() : found.end() + size]
        if data[found.end() + size : found.end() + size + 2] != b"\r\n":
            raise Odd("a chunk without its end")
        data = data[found.end() + size + 2 :]
        if not size:
            return body, data
    if data and b"\r\n" in data[:20]:
        raise Odd(f"no chunk: {data[:40]!r}")
    return None
