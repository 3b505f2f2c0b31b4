"""Replies for property tests: good ones in every framing, broken ones made of them, and a server that plays them."""

from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

from hypothesis import strategies as st

from tests.contracts.scripted_server import Peer, Script
from tests.contracts.upstream_calls import until_waiting

NAMES = st.sampled_from(["x-a", "X-B", "Retry-After", "set-cookie", "etag", "x-ratelimit-remaining-tokens"])
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=4)
BODIES = st.lists(st.binary(min_size=1, max_size=60), max_size=4)
INTERIMS = st.lists(
    st.sampled_from([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"]), max_size=3
)
FRAMINGS = st.sampled_from(["length", "chunked", "extended", "close", "none"])
STATUSES = st.sampled_from(["200 OK", "200", "429 Too Many Requests", "503 \xfcberlastet", "301 Moved", "599 ?"])


class Played(NamedTuple):
    """What a server sends to one request, and how it goes on."""

    method: str
    pieces: tuple[bytes, ...]
    ending: str
    """`stay`, `finish` or `reset`."""


def framed(framing: str, chunks: list[bytes]) -> tuple[str, bytes]:
    """The header that says where the body ends, and the body."""
    body = b"".join(chunks)
    if framing == "length":
        return f"Content-Length: {len(body)}\r\n", body
    if framing == "close":
        return "", body
    extension, trailer = (b";a=b", b"x-trailer: 1\r\n") if framing == "extended" else (b"", b"")
    sent = b"".join(b"%X%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    return "transfer-encoding: Chunked\r\n", sent + b"0%b\r\n%b\r\n" % (extension, trailer)


def in_pieces(data: bytes, cuts: list[int]) -> tuple[bytes, ...]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return tuple(data[start:end] for start, end in pairwise(edges))


CUTS = st.lists(st.integers(0, 2000), max_size=8)


@st.composite
def good(draw: st.DrawFn) -> Played:
    """A reply that RFC 9112 allows, cut anywhere."""
    framing = draw(FRAMINGS)
    method = draw(st.sampled_from(["POST", "GET", "HEAD"]))
    status = draw(STATUSES) if framing != "none" else draw(st.sampled_from(["204 No Content", "304 Not Modified"]))
    length, body = framed(framing, draw(BODIES)) if framing != "none" else ("", b"")
    version = draw(st.sampled_from(["1.1", "1.1", "1.0"])) if framing in ("length", "close") else "1.1"
    fields = [f"{name}:{draw(st.sampled_from(['', ' ', '  ']))}{value}\r\n" for name, value in draw(FIELDS)]
    fields.insert(draw(st.integers(0, len(fields))), length)
    fields.append(draw(st.sampled_from(["", "", "Connection: close\r\n", "connection: keep-alive\r\n"])))
    head = f"HTTP/{version} {status}\r\n{''.join(fields)}\r\n".encode("latin-1")
    sent = b"".join(draw(INTERIMS)) + head + (b"" if method == "HEAD" else body)
    ending = "finish" if framing == "close" and method != "HEAD" else draw(st.sampled_from(["stay", "finish"]))
    return Played(method, in_pieces(sent, draw(CUTS)), ending)


JUNK = [b"\0", b"\r", b"\n", b"\r\n", b" ", b":", b"5\r\n", b"content-length: 3\r\n", b"transfer-encoding: chunked\r\n"]
JUNK += [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", b"\r\n folded", b"\xff" * 3, b"0\r\n\r\n", b"\r\n\r\n"]
JUNK += [b"transfer-encoding: gzip\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", b"-", b"+", b"9" * 30]


@st.composite
def broken(draw: st.DrawFn) -> Played:
    """A good reply with bytes put in, taken out or changed, or the end missing."""
    whole = draw(good())
    sent = b"".join(whole.pieces)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(sent)))
        gone = draw(st.integers(0, 5))
        sent = sent[:at] + draw(st.sampled_from([b"", *JUNK]) | st.binary(max_size=4)) + sent[at + gone :]
    if draw(st.booleans()):
        sent = sent[: draw(st.integers(0, len(sent)))]
    return Played(whole.method, in_pieces(sent, draw(CUTS)), draw(st.sampled_from(["finish", "reset"])))


def playing(played: Played) -> Script:
    """Play it on each connection; what stays open answers further requests with `again`."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*played.pieces)
        if played.ending == "finish":
            with suppress(OSError):  # the client may have cut it already
                peer.finish()
            await peer.gone()
            return
        if played.ending == "reset":
            await until_waiting(0.02)  # so that what was sent has been read: a reset can overtake it
            peer.reset()
            return
        try:
            while True:
                await peer.request()
                await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nagain")
        finally:
            peer.over.set()

    return script
