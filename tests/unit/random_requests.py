"""Requests, drawn at random."""

from hypothesis import strategies as st

TOKENS = st.sampled_from([b"x-a", b"X-B", b"accept", b"user-agent", b"x_y", b"te"])
VALUES = st.binary(max_size=20).map(
    lambda value: bytes(byte for byte in value if byte >= 0x20 and byte != 0x7F).strip()
)
BODIES = st.binary(max_size=300)


def chunked(pieces: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    headers = b"host: here\r\n" + b"".join(
        b"%b: %b\r\n" % pair for pair in draw(st.lists(st.tuples(TOKENS, VALUES), max_size=5))
    )
    target = draw(st.sampled_from([b"/", b"/v1/models", b"/a%20b?c=d", b"/v1/files?purpose=x"]))
    framing = draw(st.sampled_from(["none", "length", "chunked"]))
    if framing == "none":
        return b"GET %b HTTP/1.1\r\n%b\r\n" % (target, headers)
    if framing == "length":
        body = draw(BODIES)
        headers += b"Content-Length: %d\r\n" % len(body)
    else:
        body = chunked(draw(st.lists(BODIES, max_size=4)))
        headers += b"Transfer-Encoding: chunked\r\n"
    return b"POST %b HTTP/1.1\r\n%b\r\n%b" % (target, headers, body)
