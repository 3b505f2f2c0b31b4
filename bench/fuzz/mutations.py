"""What is done to requests: to drafts, which stay requests of a kind, and to the bytes that these become."""

import gzip
import json
import random
import re
import zlib
from collections.abc import Callable

import brotli

try:
    from compression import zstd
except ImportError:
    from backports import zstd

from bench.fuzz.drafts import Draft

DraftMutation = Callable[[random.Random, Draft], None]
BytesMutation = Callable[[random.Random, bytes], bytes]

_ODD = (
    b"\0", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b"\x0b", b"\x7f", b"\x80", b"\xff", b":", b",", b";", b"=",
    b'"', b"\\", b"{", b"}", b"[", b"]", b"%", b"%00", b"%ff", b"..", b"/../", b"//", b"#", b"?", b"chunked", b"-1",
    b"0", b"00", b"0x1", b"1e400", b"9" * 25, b"\xef\xbb\xbf", b"\\ud83d", b"\xf0\x9f\x98\x80",
    b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.0", b"HTTP/1.1\r\n",
    b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n",
)  # fmt: skip
_ODD_HEADERS = (
    (b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"gzip, chunked"), (b"Content-Length", b"0"),
    (b"Content-Length", b"7"), (b"Content-Length", b"+5"), (b"Content-Length", b"99999999999999999999"),
    (b"Content-Encoding", b"gzip"), (b"Content-Encoding", b"zstd"), (b"Content-Encoding", b"br, gzip"),
    (b"Content-Encoding", b"nobody"), (b"Expect", b"100-continue"), (b"Connection", b"close"),
    (b"Connection", b"x-fuzz"), (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), (b"Upgrade", b"h2c"),
    (b"Host", b"evil.example"), (b"Host", b"localhost"), (b"Origin", b"https://evil.example"), (b"Origin", b"null"),
    (b"Sec-Fetch-Site", b"cross-site"), (b"Content-Type", b"text/plain"),
    (b"Content-Type", b"application/json; charset=utf-16"), (b"Cookie", b"a=b"), (b"X-Forwarded-For", b"10.0.0.1"),
    (b"X-Forwarded-Host", b"evil.example"), (b"Forwarded", b"host=evil.example"), (b"Authorization", b"Basic eDp5"),
    (b"api-key", b"sk-another"), (b"X-Api-Key", b"x" * 3000), (b"Cache-Control", b"max-age=9999999999999999999999"),
    (b"Cache-Control", b"no-store"), (b"x-stainless-read-timeout", b"1e999"), (b"x-stainless-timeout", b"-1"),
    (b"Accept", b"text/html"), (b"Accept", b"*/*;q=zz"), (b"If-None-Match", b'"' * 99), (b"Range", b"bytes=0-1"),
    (b"traceparent", b"00-0-0-0"), (b"x-request-id", b"\xff\xfe"), (b"x-client-request-id", b"a" * 999),
    (b"OpenAI-Organization", b"org"), (b"session_id", b"\xc3\x28"), (b"X-HTTP-Method-Override", b"DELETE"),
    (b"Proxy-Connection", b"close"), (b"TE", b"trailers"), (b"Trailer", b"Host"),
)  # fmt: skip
_ODD_VALUES: tuple[object, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, 1.5, -0.0, 1e308, "", "gpt", "nobody", " gpt", "gpt\0",
    "\u0000", "../..", "a" * 5000, "\ud83d", "\U0001f600" * 50, [], [[]], {}, {"model": "gpt"}, ["gpt"], {"": None},
    [None] * 200,
)  # fmt: skip
_NAMES = (
    "model", "stream", "n", "max_tokens", "store", "background", "temperature", "user", "input", "messages",
)  # fmt: skip
_KEYS = (
    b'"model":"gpt",', b'"model":"nobody",', b'"mod\\u0065l":"gpt",', b'"stream":true,', b'"n":3,', b'"n":1e3,',
)  # fmt: skip
_NO_BODIES = (
    b"", b"null", b"[]", b'"gpt"', b"{", b" " * 3000, b"\xff\xfe{\0}\0", b"[" * 3000, b'{"model":' * 900,
)  # fmt: skip
_METHODS = (
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"PATCH",
    b"DELETE",
    b"OPTIONS",
    b"TRACE",
    b"CONNECT",
    b"PROPFIND",
    b"get",
    b"G\0T",
)
_TARGETS = (
    b"*", b"/", b"//", b"/v1", b"/v1/", b"/v1/../../etc/passwd", b"/v1/%2e%2e/models", b"/v1/files/%00",
    b"/v1/\xff\xfe", b"/v1/files/%zz", b"http://evil.example/v1/models", b"http://localhost/v1/files",
    b"/v1/models/" + b"a" * 9000, b"/openai/deployments/%ff/chat/completions", b"/v1/chat/completions/chat/completions",
    b"/v1/files?" + b"a=b&" * 900, b"/v1/files#x", b"/v1/responses/..%2f..", b"/v1/realtime?model=gpt",
    b"/v1/organization/users", b"localhost:80", b"/v1/%F0%9F%98%80",
)  # fmt: skip


def _flipped(rng: random.Random, data: bytes) -> bytes:
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def _without_a_piece(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randrange(1, 40) :]


def _with_something_odd(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(_ODD) + data[at:]


def _twice(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    end = at + rng.randrange(1, 200)
    return data[:end] + data[at:end] + data[end:]


def _a_line_twice(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    at = rng.randrange(len(lines))
    lines.insert(rng.randrange(len(lines)), lines[at])
    return b"\r\n".join(lines)


def _lines_elsewhere(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\r\n".join(lines)


def _other_line_ends(rng: random.Random, data: bytes) -> bytes:
    return data.replace(b"\r\n", rng.choice((b"\n", b"\r", b"\r\r\n", b"\r\n ")), rng.choice((1, 2, -1)))


def _another_number(rng: random.Random, data: bytes) -> bytes:
    numbers = list(re.finditer(rb"[0-9]+", data))
    if not numbers:
        return data
    found = rng.choice(numbers)
    number = rng.choice(
        (b"0", b"1", b"%d" % (int(found[0][:15]) + rng.choice((-1, 1))), b"-1", b"9" * 30, b"1e99", b"")
    )
    return data[: found.start()] + number + data[found.end() :]


BYTES: tuple[BytesMutation, ...] = (
    _flipped, _flipped, _cut, _without_a_piece, _with_something_odd, _with_something_odd, _twice, _a_line_twice,
    _lines_elsewhere, _other_line_ends, _another_number,
)  # fmt: skip


def _another_method(rng: random.Random, draft: Draft) -> None:
    draft.method = rng.choice(_METHODS)


def _another_target(rng: random.Random, draft: Draft) -> None:
    draft.target = rng.choice(_TARGETS)


def _a_target_of_bytes(rng: random.Random, draft: Draft) -> None:
    draft.target = b"/" + rng.choice(BYTES)(rng, draft.target)


def _another_version(rng: random.Random, draft: Draft) -> None:
    draft.version = rng.choice((b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2", b"HTTP/0.9", b"HTTP/1.1 ", b"", b"ICY/1.0"))


def _an_odd_header(rng: random.Random, draft: Draft) -> None:
    draft.headers.insert(rng.randrange(len(draft.headers) + 1), rng.choice(_ODD_HEADERS))


def _a_header_twice(rng: random.Random, draft: Draft) -> None:
    name, value = rng.choice(draft.headers)
    name = rng.choice((name, name.upper(), name.lower()))
    draft.headers.insert(rng.randrange(len(draft.headers) + 1), (name, rng.choice((value, b"", value + b"x"))))


def _without_a_header(rng: random.Random, draft: Draft) -> None:
    del draft.headers[rng.randrange(len(draft.headers))]


def _a_header_of_bytes(rng: random.Random, draft: Draft) -> None:
    at = rng.randrange(len(draft.headers))
    name, value = draft.headers[at]
    draft.headers[at] = (name, rng.choice(BYTES)(rng, value or b"x"))


def _many_headers(rng: random.Random, draft: Draft) -> None:
    draft.headers += [
        (b"x-%d" % number, b"y" * rng.choice((0, 10, 400))) for number in range(rng.choice((50, 250, 300)))
    ]


def _in_chunks(_: random.Random, draft: Draft) -> None:
    draft.is_chunked = True


def _compressed(rng: random.Random, draft: Draft) -> None:
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        coding, compress = rng.choice(_CODINGS)
        draft.body = compress(draft.body)
        draft.headers.append((b"Content-Encoding", coding))
    if rng.random() < 0.3:
        draft.body = rng.choice(BYTES)(rng, draft.body or b"x")


def _deflated(body: bytes) -> bytes:
    return zlib.compress(body)


_CODINGS: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
    (b"gzip", gzip.compress),
    (b"deflate", _deflated),
    (b"zstd", zstd.compress),
    (b"br", lambda body: brotli.compress(body, quality=1)),
    (b"gzip", lambda body: gzip.compress(body) + gzip.compress(b" ")),
    (b"gzip", lambda body: gzip.compress(b" " * 2_000_000 + body)),  # a bomb
    (b"identity", bytes),
)


def _a_body_of_bytes(rng: random.Random, draft: Draft) -> None:
    draft.body = rng.choice(BYTES)(rng, draft.body or b"{}")


def _no_body(rng: random.Random, draft: Draft) -> None:
    draft.body = rng.choice(_NO_BODIES)


def _an_odd_value(rng: random.Random, draft: Draft) -> None:
    try:
        told = json.loads(draft.body)
    except (ValueError, RecursionError):
        return _a_body_of_bytes(rng, draft)
    if isinstance(told, dict):
        names = (
            *told,
            "model",
            "stream",
            "n",
            "max_tokens",
            "store",
            "background",
            "temperature",
            "user",
            "input",
            "messages",
        )
        told[rng.choice(names)] = rng.choice(_ODD_VALUES)
        draft.body = json.dumps(told, ensure_ascii=rng.random() < 0.7).encode("utf-8", "surrogatepass")
    return None


def _a_key_twice(rng: random.Random, draft: Draft) -> None:
    key = rng.choice(_KEYS)
    draft.body = draft.body.replace(b"{", b"{" + key, 1)


def _a_large_body(rng: random.Random, draft: Draft) -> None:
    size = rng.choice((5_000, 70_000, 300_000))
    draft.body = draft.body.replace(b"{", b'{"metadata":{"x":"%b"},' % (b"a" * size), 1)


DRAFTS: tuple[DraftMutation, ...] = (
    _another_method, _another_target, _a_target_of_bytes, _another_version, _an_odd_header, _an_odd_header,
    _a_header_twice, _without_a_header, _a_header_of_bytes, _many_headers, _in_chunks, _compressed, _a_body_of_bytes,
    _no_body, _an_odd_value, _an_odd_value, _an_odd_value, _a_key_twice, _a_large_body,
)  # fmt: skip
