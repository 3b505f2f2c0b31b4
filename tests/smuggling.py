"""Requests that two servers in a row could read in two ways, as a table of what may become of each.

In all of them a second request, for `/smuggled`, hides where one of the two would see a body or a header; a third one,
for `/next`, follows in the open. Sources: RFC 9112 sections 5 to 7 and 11.2; PortSwigger's "HTTP Desync Attacks" and
"Browser-Powered Desync Attacks"; CVE-2019-18277 (HAProxy), CVE-2020-8287 and CVE-2022-32213 (Node), CVE-2022-24766
(mitmproxy), CVE-2023-25690 (Apache), CVE-2023-44487's neighbours, CVE-2025-22871 (Go), CVE-2025-43859 (h11).
"""

from enum import Enum
from typing import NamedTuple


class Fate(Enum):
    """What becomes of the first request."""

    REFUSED = "none reaches the application: 400, 431 or 505, and the connection is closed"
    BROKEN = "its head does, but it never becomes whole: 400, and the connection is closed"
    TAKEN = "it is one request, with all that hides in it as its body, and the next one is the next one"
    LAST = "it is one request, as before, and nothing after it is read: the connection is closed"


REFUSED, BROKEN, TAKEN, LAST = Fate


class Payload(NamedTuple):
    """What is sent, without the request that follows in the open."""

    sent: bytes
    fate: Fate


HIDDEN = b"GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
SIZE = b"content-length: %d" % len(HIDDEN)
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
NOTHING = b"0\r\n\r\n" + HIDDEN
"""What is empty as chunks."""


def post(*lines: bytes, body: bytes = HIDDEN, line: bytes = b"POST /first HTTP/1.1") -> bytes:
    return b"\r\n".join([line, b"host: localhost", *lines, b"", body])


CODINGS = [
    *(b"xchunked", b"x-chunked", b"chunkedx", b"chunke", b"identity", b"gzip", b"deflate", b"compress", b"br", b"*"),
    *(b"chunked, chunked", b"chunked,chunked", b"gzip, chunked", b"chunked, gzip", b"identity, chunked", b"trailers"),
    *(b"chunked, identity", b",chunked", b"chunked,", b", ,chunked", b"chunked;q=1", b"chunked; a=b", b"chunked x"),
    *(b'"chunked"', b"'chunked'", b"chunked\x0b", b"\x0bchunked", b"\x0cchunked", b"chunked\0", b"\xa0chunked"),
    *(b"chunked\x80", b"chunked\xff", "\uff43hunked".encode(), b"chunked\\", b"chunked:", b"chunked\x7f", b""),
]
NAMES = {
    b"transfer-encoding ": REFUSED,
    b"transfer-encoding\t": REFUSED,
    b" transfer-encoding": REFUSED,
    b"\ttransfer-encoding": REFUSED,
    b"transfer encoding": REFUSED,
    b"transfer-encoding\0": REFUSED,
    b"\x0btransfer-encoding": REFUSED,
    b"transfer-encoding\x80": REFUSED,
    b"x: y\ntransfer-encoding": REFUSED,
    b"x: y\rtransfer-encoding": REFUSED,
    b"x: y\0\ntransfer-encoding": REFUSED,
    b"x:\r\n transfer-encoding": REFUSED,
    b"transfer-encoding:\r\n ": REFUSED,
    b"transfer-encoding:x\r\ntransfer-encoding": REFUSED,
    b"(transfer-encoding)": REFUSED,
    b'"transfer-encoding"': REFUSED,
    b"transfer-encoding,": REFUSED,
    b": y\r\ntransfer-encoding": REFUSED,
    b"transfer_encoding": TAKEN,  # another header, and none that anybody knows
    b"x-transfer-encoding": TAKEN,
    b"content-transfer-encoding": TAKEN,
}
LENGTHS = {
    **dict.fromkeys(
        (
            *(b"+%d", b"-%d", b"%d,%d", b"%d, %d", b"%d %d", b"0x%x", b"%d.0", b"%de0", b"%d;", b"%d\x0b", b"\x0b%d"),
            *(b"%d\0", b'"%d"', b"'%d'", b"1_%d", b"%d\x80", b"\xa0%d", b"", b"0%d-", b"%dx", b"x%d", b"%d,", b",%d"),
            *(b"99999999999999999999", b"18446744073709551616", b"9" * 400, b"1844674407370955161%d", b"%d\r\n %d"),
            *("\u0664\u0663".encode(), b"(%d)", b"%d:", b"- %d", b"+ %d", b"-0", b"+0", b"NaN", b"Infinity"),
        ),
        REFUSED,
    ),
    b"  %d": TAKEN,
    b"\t%d \t": TAKEN,
    b"000%d": TAKEN,  # 1*DIGIT, RFC 9110 section 8.6
}
SIZES = {
    **dict.fromkeys(
        (
            *(
                b"0x%x",
                b"+%x",
                b"-%x",
                b" %x",
                b"\t%x",
                b"%x_0",
                b"%xg",
                b"g",
                b"",
                b"%x,%x",
                b"%x.0",
                b"%x %x",
                b"%xh",
            ),
            *(b"%x\0", b"\0%x", b"fffffffffffffffff", b"1000000000000000%x", b"%x\n\n", b"%x\r", b"%x;a\n", b"%x\x0b"),
            *(b"%x;\n", b"%x;a=\0", b"(%x)", b"#%x", b"%x:", b'"%x"', b"-0", b"+0", b"0x0", b"%x\x80", b"\xff%x"),
        ),
        BROKEN,
    ),
    b"%x;a": TAKEN,
    b"%x;a=b;c": TAKEN,
    b'%x;a="b"': TAKEN,
    b"000000000%x": TAKEN,
}
ENDS = {
    b"\n0\r\n\r\n": BROKEN,
    b"\r0\r\n\r\n": BROKEN,
    b"0\r\n\r\n": BROKEN,
    b"XX0\r\n\r\n": BROKEN,
    b"X\r\n0\r\n\r\n": BROKEN,
    b"\n\r0\r\n\r\n": BROKEN,
    b"\r\n0\n\n": BROKEN,
    b"\r\n0\n\r\n": BROKEN,
    b"\r\n0\r\n\n": BROKEN,
    b"\r\n0\r\r\n": BROKEN,
    b"\r\n0\r\nx y\r\n\r\n": BROKEN,
    b"\r\n0\r\nx: a\r\n b\r\n\r\n": BROKEN,
    b"\r\n0\r\nx: a\nb: c\r\n\r\n": BROKEN,
    b"\r\n0\r\nx: a\0\r\n\r\n": BROKEN,
    b"\r\n0\r\nx : a\r\n\r\n": BROKEN,
    b"\r\n0\r\n: a\r\n\r\n": BROKEN,
    b"\r\n0\r\nGET /smuggled HTTP/1.1\r\n\r\n": BROKEN,
    b"\r\n0\r\ncontent-length: 5\r\n\r\n": BROKEN,
    b"\r\n0\r\ntransfer-encoding: chunked\r\n\r\n": BROKEN,
    b"\r\n0\r\nx: a\r\n\r\n": TAKEN,
    b"\r\n0\r\nhost: evil\r\nauthorization: Bearer evil\r\n\r\n": TAKEN,  # nobody looks at it
    b"\r\n000\r\n\r\n": TAKEN,
    b"\r\n0;a=b\r\n\r\n": TAKEN,
}
HEADERS = {
    b"x: a\0b": REFUSED,
    b"x\0: a": REFUSED,
    b"x: a\rb": REFUSED,
    b"x: a\nb: c": REFUSED,
    b"x: a\n\nGET /smuggled HTTP/1.1": REFUSED,
    b"x: a\r\n b": REFUSED,
    b"x: a\r\n\tb": REFUSED,
    b"x:\r\n ": REFUSED,
    b" x: a": REFUSED,
    b"x : a": REFUSED,
    b"x y: a": REFUSED,
    b"x": REFUSED,
    b": a": REFUSED,
    b"\x01x: a": REFUSED,
    b"x\x7f: a": REFUSED,
    b"x\xe9: a": REFUSED,
    b"x: a\x01": REFUSED,
    b"x: a\x7f": REFUSED,
    b"x[]: a": REFUSED,
    b"x: \xe9\xff": TAKEN,
    b"x:": TAKEN,
    b"expect: 100-continue": TAKEN,
    b"expect: 200-ok": TAKEN,
    b"x-http-method-override: DELETE": TAKEN,
    b"upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA": TAKEN,
    b"upgrade: websocket\r\nconnection: upgrade": TAKEN,
    b"upgrade: HTTP/1.0\r\nconnection: upgrade": TAKEN,
    b"upgrade: \r\nconnection: upgrade": TAKEN,
    b"connection: content-length": TAKEN,
    b"connection: transfer-encoding": TAKEN,
    b"connection: host": TAKEN,
    b"proxy-connection: close": LAST,
    b"connection: close": LAST,
    b"connection: keep-alive, close": LAST,
    b"connection: x\r\nconnection: close": LAST,
    b"te: chunked, trailers": TAKEN,
    b"trailer: content-length": TAKEN,
    b"content-encoding: chunked": TAKEN,
    b"forwarded: for=evil;host=evil": TAKEN,
    b"x-content-length: 0": TAKEN,
    b"content_length: 0": TAKEN,
}
LINES = {
    b"POST /first HTTP/1.1\n": REFUSED,
    b"POST /first HTTP/2.0": REFUSED,
    b"POST /first HTTP/3.0": REFUSED,
    b"POST /first HTTP/0.9": REFUSED,
    b"POST /first HTTP/1.2": REFUSED,
    b"POST /first HTTP/11.1": REFUSED,
    b"POST /first HTTP/1.1.1": REFUSED,
    b"POST /first http/1.1": REFUSED,
    b"POST /first HTTP/1": REFUSED,
    b"POST /first HTTP": REFUSED,
    b"POST /first": REFUSED,
    b"POST /first HTTP/1.1 HTTP/1.1": REFUSED,
    b"POST /first ICE/1.0": REFUSED,
    b"POST /first\tHTTP/1.1": REFUSED,
    b"POST\t/first HTTP/1.1": REFUSED,
    b"POST /fi rst HTTP/1.1": REFUSED,
    b"POST /first\r HTTP/1.1": REFUSED,
    b"POST /first\0 HTTP/1.1": REFUSED,
    b"POST /first\x0b HTTP/1.1": REFUSED,
    b"POST first HTTP/1.1": REFUSED,
    b"POST ?first HTTP/1.1": REFUSED,
    b"POST\0 /first HTTP/1.1": REFUSED,
    b"P OST /first HTTP/1.1": REFUSED,
    b"post /first HTTP/1.1": REFUSED,
    b"XPOST /first HTTP/1.1": REFUSED,
    b" POST /first HTTP/1.1": REFUSED,
    b"\0POST /first HTTP/1.1": REFUSED,
    b"\xef\xbb\xbfPOST /first HTTP/1.1": REFUSED,
    b"POST ftp://evil/first HTTP/1.1": REFUSED,
    b"POST http://evil@evil/first HTTP/1.1": REFUSED,
    b"POST http:///first HTTP/1.1": REFUSED,
    b"POST evil:443 HTTP/1.1": REFUSED,
    b"PRI * HTTP/2.0": REFUSED,
    b"POST /first HTTP/1.0": LAST,
    b"POST /first RTSP/1.0": LAST,  # llhttp knows these, and takes them for HTTP/1.0
    b"SOURCE /first ICE/1.0": LAST,
    b"DESCRIBE /first RTSP/1.0": LAST,
    b"\r\nPOST /first HTTP/1.1": TAKEN,  # RFC 9112 section 2.2
    b"POST http://evil/first HTTP/1.1": TAKEN,  # its host counts, not the header
    b"POST https://evil:80/first HTTP/1.1": TAKEN,
    b"GET /first HTTP/1.1": TAKEN,
    b"HEAD /first HTTP/1.1": TAKEN,
    b"OPTIONS /first HTTP/1.1": TAKEN,
    b"DELETE /first HTTP/1.1": TAKEN,
    b"TRACE /first HTTP/1.1": TAKEN,
    b"PATCH /first HTTP/1.1": TAKEN,
}


def _put(text: bytes, number: int) -> bytes:
    """The number in all the places for it."""
    return text.replace(b"%d", b"%d" % number).replace(b"%x", b"%x" % number)


def _table() -> dict[str, Payload]:
    table: dict[str, Payload] = {}

    def add(kind: str, what: bytes, sent: bytes, fate: Fate) -> None:
        table[f"{kind}: {what!r}"] = Payload(sent, fate)

    for coding in CODINGS:
        line = b"transfer-encoding: " + coding
        add("coding", coding, post(line, body=CHUNKS), REFUSED)
        add("length, then coding", coding, post(SIZE, line), REFUSED)
        add("coding, then length", coding, post(line, b"content-length: 4", body=CHUNKS), REFUSED)
        add("coding, then chunked", coding, post(line, b"transfer-encoding: chunked", body=NOTHING), REFUSED)
        add("chunked, then coding", coding, post(b"transfer-encoding: chunked", line, body=NOTHING), REFUSED)
        add("coding of HTTP/1.0", coding, post(line, body=CHUNKS, line=b"POST /first HTTP/1.0"), REFUSED)
    for spelled in (b"chunked", b"Chunked", b"CHUNKED", b" \tchunked", b"chunked ", b"chunked\t"):
        line = b"Transfer-Encoding:" + spelled
        # llhttp takes what a tab follows for another coding, and says so once the head is complete.
        add("only chunked", spelled, post(line, body=CHUNKS), BROKEN if spelled.endswith(b"\t") else TAKEN)
        add("length, then chunked", spelled, post(SIZE, line, body=NOTHING), REFUSED)
        add("chunked, then length", spelled, post(line, b"content-length: 4", body=CHUNKS), REFUSED)
        add("chunked, and no length", spelled, post(line, b"content-length: 0", body=CHUNKS), REFUSED)
        add("chunked of HTTP/1.0", spelled, post(line, body=CHUNKS, line=b"POST /first HTTP/1.0"), REFUSED)
    for name, fate in NAMES.items():
        add("name, then length", name, post(name + b": chunked", SIZE), fate)
        add("length, then name", name, post(SIZE, name + b": chunked"), fate)
        length_name = name.replace(b"transfer", b"content").replace(b"encoding", b"length")
        if fate is REFUSED:
            add("name of a length", length_name, post(b"%b: %d" % (length_name, len(HIDDEN))), REFUSED)
    for length, fate in LENGTHS.items():
        line = b"content-length: " + _put(length, len(HIDDEN))
        add("length", length, post(line), fate)
        add("length twice", length, post(line, SIZE), REFUSED)
        add("length, the other one first", length, post(SIZE, line), REFUSED)
    add("length twice", b"the same", post(SIZE, SIZE), REFUSED)
    add("length twice", b"in other letters", post(SIZE, SIZE.title()), REFUSED)
    add("length twice", b"0 first", post(b"content-length: 0", SIZE), REFUSED)
    add("length twice", b"0 last", post(SIZE, b"content-length: 0"), REFUSED)
    chunked = b"transfer-encoding: chunked"
    for size, fate in SIZES.items():
        chunk = b"%b\r\n%b\r\n0\r\n\r\n" % (_put(size, len(HIDDEN)), HIDDEN)
        add("chunk", size, post(chunked, body=chunk), fate)
    for end, fate in ENDS.items():
        add("end of a chunk", end, post(chunked, body=b"%x\r\n%b%b" % (len(HIDDEN), HIDDEN, end)), fate)
    for header, fate in HEADERS.items():
        add("header", header, post(header, SIZE), fate)
        add("header behind the length", header, post(SIZE, header), fate)
        if fate in (TAKEN, LAST):
            add("header and chunks", header, post(header, chunked, body=CHUNKS), fate)
    for line, fate in LINES.items():
        add("line", line, post(SIZE, line=line), fate)
    return table


PAYLOADS = _table()
