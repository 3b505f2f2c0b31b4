"""What a provider may say to do harm, as a table: whole replies, and floods that end when they are cut.

In a reply `{B}` stands for a good body of the kind that was asked for, `{N}` for its length, `{T}` for its media type,
`{C}` for it as chunks, all but the last one, `{H}` for half of it as a chunk.
"""

import gzip
import itertools
from contextlib import suppress
from typing import NamedTuple

from tests.contracts.scripted_server import Peer
from tests.contracts.upstream_status_lines import OTHERS


class Reply(NamedTuple):
    """What is sent to one request, after which the server closes."""

    said: bytes
    body: bytes = b"{B}"
    """What a client gets that gets it."""


class Flood(NamedTuple):
    """What is sent until the connection is cut."""

    said: bytes
    again: bytes


OK = b"HTTP/1.1 200 OK\r\ncontent-type: {T}\r\n"
SIZED = OK + b"content-length: {N}\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n"
END = b"\r\n{B}"
LAST = b"0\r\n\r\n"
MIB = 1024 * 1024
MANY = b"".join(b"x-%d: y\r\n" % number for number in range(300))
BOMB = gzip.compress(b'{"error":{"message":"' + b" " * (64 * MIB) + b'"}}')
"""64 kB that are 64 MiB."""

JUNK: dict[str, Reply] = {
    **{f"status line {line!r}": Reply(line + SIZED[15:] + END) for line in OTHERS},
    "HTTP/0.9, a body and nothing else": Reply(b"{B}"),
    "a blank line first": Reply(b"\r\n" + SIZED + END),
    "a bare line feed in the status line": Reply(b"HTTP/1.1 200 OK\n" + SIZED[17:] + END),
    "a bare line feed in a header": Reply(SIZED + b"x-a: 1\nx-b: 2\r\n" + END),
    "a bare line feed before the body": Reply(SIZED + b"\n{B}"),
    "a bare carriage return in a value": Reply(SIZED + b"x-a: 1\rx-b: 2\r\n" + END),
    "a NUL in a value": Reply(SIZED + b"x-a: 1\0\r\n" + END),
    "a control character in a value": Reply(SIZED + b"x-a: \x01\r\n" + END),
    "a NUL in a name": Reply(SIZED + b"x\0a: 1\r\n" + END),
    "a space in a name": Reply(SIZED + b"x a: 1\r\n" + END),
    "a header without a name": Reply(SIZED + b": 1\r\n" + END),
    "a header without a colon": Reply(SIZED + b"x-a\r\n" + END),
    "a folded header": Reply(SIZED + b"x-a: 1\r\n 2\r\n" + END),
    "a folded length": Reply(OK + b"content-length:\r\n {N}\r\n" + END),
    "a space before the colon": Reply(OK + b"content-length : {N}\r\n" + END),
    "a tab before the colon": Reply(CHUNKED.replace(b"encoding:", b"encoding\t:") + b"\r\n{C}" + LAST),
    "300 headers": Reply(SIZED + MANY + END),
    "a header of 70 kB": Reply(SIZED + b"x-a: " + b"y" * 70_000 + b"\r\n" + END),
    "a name of 70 kB": Reply(SIZED + b"x" * 70_000 + b": y\r\n" + END),
    "200 headers of 500 bytes": Reply(SIZED + (b"x-a: " + b"y" * 500 + b"\r\n") * 200 + END),
    "two lengths": Reply(SIZED + b"content-length: 1\r\n" + END),
    "two lengths, the right one last": Reply(OK + b"content-length: 1\r\ncontent-length: {N}\r\n" + END),
    "a list of lengths": Reply(OK + b"content-length: {N}, {N}\r\n" + END),
    "a length with a sign": Reply(OK + b"content-length: +{N}\r\n" + END),
    "a negative length": Reply(OK + b"content-length: -{N}\r\n" + END),
    "a length in hexadecimal": Reply(OK + b"content-length: 0x10\r\n" + END),
    "a length with an underscore": Reply(OK + b"content-length: 1_0\r\n" + END),
    "a length with a fraction": Reply(OK + b"content-length: {N}.0\r\n" + END),
    "two numbers as a length": Reply(OK + b"content-length: {N} {N}\r\n" + END),
    "an empty length": Reply(OK + b"content-length:\r\n" + END),
    "a length beyond 64 bits": Reply(OK + b"content-length: 18446744073709551617\r\n" + END),
    "a length of 400 digits": Reply(OK + b"content-length: " + b"9" * 400 + b"\r\n" + END),
    "a length and chunks": Reply(SIZED + b"transfer-encoding: chunked\r\n\r\n{C}" + LAST),
    "chunks and a length": Reply(CHUNKED + b"content-length: {N}\r\n\r\n{C}" + LAST),
    "chunked twice": Reply(OK + b"transfer-encoding: chunked, chunked\r\n\r\n{C}" + LAST),
    "chunked in two headers": Reply(CHUNKED + b"transfer-encoding: chunked\r\n\r\n{C}" + LAST),
    "another coding": Reply(OK + b"transfer-encoding: gzip\r\n" + END),
    "another coding besides": Reply(OK + b"transfer-encoding: gzip, chunked\r\n\r\n{C}" + LAST),
    "no coding at all": Reply(OK + b"transfer-encoding: identity\r\n" + END),
    "an empty coding": Reply(OK + b"transfer-encoding:\r\n" + END),
    "nearly chunked": Reply(OK + b"transfer-encoding: xchunked\r\n\r\n{C}" + LAST),
    "chunked with a parameter": Reply(OK + b"transfer-encoding: chunked;q=1\r\n\r\n{C}" + LAST),
    "switched protocols": Reply(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n" + SIZED + END),
    "an interim reply with a body": Reply(b"HTTP/1.1 103 Hints\r\ncontent-length: 2\r\n\r\nab" + SIZED + END),
    "interim replies only": Reply(b"HTTP/1.1 100 Continue\r\n\r\n" * 10),
    "an interim reply for HTTP/1.0": Reply(b"HTTP/1.0 100 Continue\r\n\r\n" + SIZED + END),
    "no body where there must be one": Reply(b"HTTP/1.1 204 No Content\r\ncontent-length: {N}\r\n" + END),
    "not modified": Reply(b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    "headers and no more": Reply(SIZED),
    "gzip that is none": Reply(SIZED + b"content-encoding: gzip\r\n" + END),
    "a body of 1 byte": Reply(OK + b"content-length: 1\r\n" + END),
}
"""Somebody else answers in its place, whether it comes whole or as a stream: nothing of it reaches anybody."""

for size in (b"xyz", b"-1", b"+5", b"0x5", b"5_0", b" 5", b"5 5", b"", b"fffffffffffffffff", b"1" * 20, b"5,5", b"5\0"):
    JUNK[f"a chunk of size {size!r}"] = Reply(CHUNKED + b"\r\n" + size + b"\r\n{B}\r\n" + LAST)
JUNK["chunks that end in line feeds"] = Reply(CHUNKED + b"\r\n1\n{B}\n0\n\n")

BROKEN: dict[str, Reply] = {
    "closed in the middle": Reply(CHUNKED + b"\r\n{H}"),
    "a last chunk in the middle": Reply(CHUNKED + b"\r\n{H}" + LAST),
    "half a last chunk in the middle": Reply(CHUNKED + b"\r\n{H}0\r\n"),
    "a chunk without its end": Reply(CHUNKED + b"\r\n{H}5\r\nabcdefg\r\n" + LAST),
    "a bad chunk after a good one": Reply(CHUNKED + b"\r\n{H}xyz\r\n"),
    "a negative chunk after a good one": Reply(CHUNKED + b"\r\n{H}-1\r\n" + LAST),
    "another reply in the middle": Reply(CHUNKED + b"\r\n{H}HTTP/1.1 200 OK\r\n\r\n" + LAST),
    "a length that cuts it": Reply(OK + b"content-length: 150\r\n" + END),
}
"""Good as far as it goes: somebody else answers, or a stream ends with an error, and never looks whole."""

LATE: dict[str, Reply] = {
    "no last chunk": Reply(CHUNKED + b"\r\n{C}"),
    "half a last chunk": Reply(CHUNKED + b"\r\n{C}0\r\n"),
    "a length longer than the body": Reply(OK + b"content-length: 9999999\r\n" + END),
    "a length of 2^63 - 1": Reply(OK + b"content-length: 9223372036854775807\r\n" + END),
    "a trailer with a NUL": Reply(CHUNKED + b"\r\n{C}0\r\nx: \0\r\n\r\n"),
    "a folded trailer": Reply(CHUNKED + b"\r\n{C}0\r\nx: a\r\n b\r\n\r\n"),
    "a length in the trailer": Reply(CHUNKED + b"\r\n{C}0\r\ncontent-length: 1\r\n\r\n"),
}
"""Broken behind all of the answer: somebody else answers in the place of a whole one, a stream has said its own end."""

EVIL = b"HTTP/1.1 200 OK\r\ncontent-type: {T}\r\ncontent-length: 4\r\n\r\nevil"
ODD: dict[str, Reply] = {
    "interim replies first": Reply(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nset-cookie: a\r\n\r\n" + SIZED + END
    ),
    "another reply behind it": Reply(SIZED + END + EVIL),
    "another reply behind its chunks": Reply(CHUNKED + b"\r\n{C}" + LAST + EVIL),
    "trailers": Reply(CHUNKED + b"\r\n{C}0\r\nx-evil: 1\r\nset-cookie: evil\r\n\r\n"),
    "chunk extensions": Reply(CHUNKED + b"\r\n0001;x=evil\r\n\n\r\n{C}0;evil\r\n\r\n", b"\n{B}"),
    "no length at all": Reply(OK + END),
    "HTTP/1.0 that is to be kept open": Reply(SIZED.replace(b"1.1", b"1.0") + b"connection: keep-alive\r\n" + END),
    "what belongs to the connection": Reply(
        SIZED + b"connection: close, X-Evil, content-type\r\nx-evil: 1\r\nkeep-alive: timeout=1\r\nupgrade: evil\r\n"
        b"proxy-authenticate: Basic\r\nproxy-connection: keep-alive\r\nte: trailers\r\ntrailer: x-evil\r\n" + END
    ),
    "orders for a web server in front": Reply(
        SIZED + b"X-Accel-Redirect: /etc/passwd\r\nx-accel-expires: 1\r\nx-accel-buffering: evil\r\n"
        b"X-SendFile: /etc/passwd\r\nx-lighttpd-send-file: /etc/passwd\r\nX-Accel-Limit-Rate: 1\r\n"
        b"x-accel-charset: evil\r\n" + END
    ),
    "what is the provider's web site's": Reply(
        SIZED
        + b"set-cookie: a=evil\r\nSet-Cookie: b=evil\r\nalt-svc: h3=evil\r\nstrict-transport-security: max-age=9\r\n"
        b"access-control-allow-origin: *\r\naccess-control-allow-credentials: true\r\n" + END
    ),
    "our own headers": Reply(
        SIZED + b"x-llmproxy-endpoint: evil\r\nX-LLMProxy-Cache: evil\r\nx-llmproxy-request-id: evil\r\n" + END
    ),
    "a key": Reply(SIZED + b"authorization: Bearer evil\r\napi-key: evil\r\nx-api-key: evil\r\n" + END),
    "a reason with control characters": Reply(SIZED.replace(b"OK", b"\x01\x1b[31m", 1) + END),
    "250 headers": Reply(SIZED + b"x-fine: y\r\n" * 240 + END),
}
"""It passes, and what it brings along that is none of the client's business does not: nothing that says `evil`."""

ERRORS: dict[str, Reply] = {
    "an error that inflates to 64 MiB": Reply(
        b"HTTP/1.1 500 No\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
        % len(BOMB)
        + BOMB
    ),
    "an error that never ends well": Reply(
        b"HTTP/1.1 502 No\r\ncontent-type: text/html\r\ncontent-length: 9999999\r\n\r\n" + b"<html>" * 200_000
    ),
    "a redirect": Reply(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/evil\r\ncontent-length: 0\r\n\r\n"),
    "a redirect to metadata": Reply(
        b"HTTP/1.1 307 There\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"
    ),
    "status 600": Reply(b"HTTP/1.1 600 Odd\r\ncontent-length: 0\r\n\r\n"),
    "status 999": Reply(b"HTTP/1.1 999 Odd\r\ncontent-type: {T}\r\ncontent-length: {N}\r\n" + END),
    "a 429 for ever": Reply(
        b"HTTP/1.1 429 No\r\nretry-after: %b\r\nx-ratelimit-remaining-tokens: -%b\r\ncontent-length: 0\r\n\r\n"
        % (b"9" * 300, b"9" * 300)
    ),
    "a 503 of digits": Reply(
        b"HTTP/1.1 503 No\r\ncontent-length: 60035\r\n\r\n"
        + b'{"error":{"message":"try again in '
        + b"9" * 60_000
        + b"}"
    ),
}
"""Errors: somebody else answers, in reasonable time."""

FLOODS: dict[str, Flood] = {
    "a status line": Flood(b"HTTP/1.1 200 ", b"x" * 4096),
    "blank lines": Flood(b"", b"\r\n" * 2048),
    "junk": Flood(b"", b"\0" * 4096),
    "a header": Flood(SIZED + b"x: ", b"x" * 4096),
    "a name": Flood(SIZED, b"x" * 4096),
    "headers": Flood(SIZED, (b"x: " + b"y" * 500 + b"\r\n") * 8),
    "tiny headers": Flood(SIZED, b"x:\r\n" * 1024),
    "hints": Flood(b"", b"HTTP/1.1 103 Hints\r\nlink: </a>\r\n\r\n" * 100),
    "headers of hints": Flood(b"HTTP/1.1 103 Hints\r\n", b"x:\r\n" * 1024),
    "the size of a chunk": Flood(CHUNKED + b"\r\n", b"0" * 4096),
    "the extension of a chunk": Flood(CHUNKED + b"\r\n1;", b"x" * 4096),
    "trailers": Flood(CHUNKED + b"\r\n0\r\n", b"x:\r\n" * 1024),
}


def filled(said: bytes, body: bytes, media_type: bytes) -> bytes:
    """A reply with the body and what depends on it."""
    half = len(body) // 2
    first, second = (b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:]))
    marks = {b"{T}": media_type, b"{N}": b"%d" % len(body), b"{C}": first + second, b"{H}": first, b"{B}": body}
    for mark, text in marks.items():
        said = said.replace(mark, text)
    return said


async def say(peer: Peer, said: bytes, again: bytes = b"") -> None:
    """Say it, and the other thing over and over."""
    if again:
        peer.send_slowly()
    await peer.send(said)
    for _ in itertools.count() if again else ():
        await peer.send(again)
    with suppress(OSError):  # the client may have cut it already
        peer.finish()
    await peer.gone()
