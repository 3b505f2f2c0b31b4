"""Bodies of requests that are no JSON: multipart forms, and content codings on either side."""

import zlib
from collections.abc import Hashable
from email import policy
from email.parser import BytesParser
from itertools import chain
from typing import Any

import brotli  # type: ignore[import-untyped]

from adapters.http.bodies.decompressed import FREE_BYTES, MOST_EXPANSION, decompressed
from adapters.http.bodies.form_fields import form_fields
from adapters.http.bodies.multipart_model import find_model, is_name_broken
from adapters.upstreams.openai.inflated_reply import InflatedReply, beginning
from adapters.upstreams.stored_things.references import form_references
from application.errors import InvalidRequest
from application.held_bytes import HeldBytes, Holding
from application.ports import UpstreamFailed
from tests.fakes import FakeReply
from tests.parsers.target import Target, cut, finished, led

_BOUNDARY = b"xYz"
_MAX_BYTES = 4 << 20
_MAX_REPLY_BYTES = 256 * 1024
_LONG = "long enough"


def _forms(data: bytes) -> Hashable:
    field = find_model(data, _BOUNDARY)
    is_name_broken(data, _BOUNDARY)
    if field is not None:
        assert data[field.begin : field.end].decode() == field.name
        renamed = field.renamed(data, "other")
        again = find_model(renamed, _BOUNDARY)
        assert again is not None
        assert again.name == "other"
        assert renamed[: field.begin] == data[: field.begin]
        assert renamed.endswith(data[field.end :])
    for end in range(0, len(data), 1 + len(data) // 16):  # what a field is called does not change while more comes
        earlier = find_model(data[:end], _BOUNDARY)
        assert earlier is None or earlier == field, "a beginning of it says something else"
    try:
        fields = form_fields(data, _BOUNDARY)
    except InvalidRequest:
        return field is None, "refused"
    others = _by_email(data)
    assert all(other in others for other in fields), "email"
    try:
        return field is None, min(3, len(fields)), min(2, len(form_references(fields)))
    except (ValueError, RecursionError):
        return field is None, "no JSON"


def _by_email(data: bytes) -> list[tuple[str, str]]:
    """Names and texts as Python's own parser has them."""
    head = b"content-type: multipart/form-data; boundary=%b\r\n\r\n" % _BOUNDARY
    message = BytesParser(policy=policy.HTTP).parsebytes(head + data)
    found = []
    for part in message.iter_parts():
        content = part.get_payload(decode=True)
        name = part.get_param("name", header="content-disposition")
        if isinstance(content, bytes):
            found.append((str(name), content.decode("utf-8", "replace")))
    return found


_CODINGS = ("gzip", "deflate", "br", "zstd")


def _codings(data: bytes) -> Hashable:
    variant, data = led(data)
    coding = _CODINGS[variant % 4]
    codings = (coding,) if variant < 128 else (coding, _CODINGS[variant // 4 % 4])
    with Holding(HeldBytes()) as holding:
        try:
            plain = finished(decompressed(data, codings, _MAX_BYTES, holding))
        except InvalidRequest as refusal:
            return coding, refusal.code
        assert len(plain) <= max(FREE_BYTES + (1 << 16), MOST_EXPANSION * len(data))
        assert holding.held_bytes == len(plain) or not data
        if data and codings == ("br",):
            assert plain == brotli.decompress(data)
        if data and codings == ("gzip",):
            assert plain == b"".join(_members(data))
    return coding, bool(plain)


def _members(data: bytes) -> list[bytes]:
    found = []
    while data.strip(b"\0"):
        inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        found.append(inflater.decompress(data.lstrip(b"\0") if found else data) + inflater.flush())
        data = inflater.unused_data
    return found


def _inflated(data: bytes) -> Hashable:
    variant, data = led(data)
    coding = ("gzip", "deflate", "x-gzip")[variant % 3]
    headers = (("content-encoding", coding),)
    whole, pieces = _replied([data] if data else [], coding), _replied(cut(data), coding)
    assert whole == pieces or _LONG in (whole[1], pieces[1]), "cut"
    try:
        text, is_all = beginning(headers, data, 4096)
    except ValueError:
        return coding, whole[1], "unread"
    assert len(text) <= 4096
    assert not is_all or whole[1] != "" or text == whole[0], "the beginning is all of it"
    return coding, whole[1], is_all, bool(text)


def _replied(pieces: list[bytes], coding: str) -> tuple[bytes, str]:
    """What comes of it, and how it fails; what came before that is a matter of pieces."""
    reply: Any = InflatedReply(FakeReply(200, [piece for piece in pieces if piece]), coding)

    async def read() -> tuple[bytes, str]:
        found = bytearray()
        while piece := await reply.receive():
            found += piece
            if len(found) > _MAX_REPLY_BYTES:
                return b"", _LONG
        return bytes(found), ""

    try:
        return finished(read())
    except UpstreamFailed as failed:
        return b"", failed.failure.kind.value


def _zipped(text: bytes) -> tuple[bytes, ...]:
    raw = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    gzipped = zlib.compressobj(9, zlib.DEFLATED, 31)
    return (
        b"\x00" + gzipped.compress(text) + gzipped.flush(),
        b"\x01" + zlib.compress(text),
        b"\x01" + raw.compress(text) + raw.flush(),
        b"\x02" + brotli.compress(text),
        b"\x03(\xb5/\xfd \x05)\x00\x00hello",
    )


_DELIMITER = b"--xYz\r\n"
_FIELD = b'content-disposition: form-data; name="%b"\r\n\r\n'

TARGETS = (
    Target(
        "forms",
        _forms,
        (
            _DELIMITER, b"\r\n--xYz--\r\n", _FIELD % b"model" + b"gpt-4o\r\n", _FIELD % b"file_id" + b"file-1\r\n",
            b"--xYz--",
            b'content-disposition: form-data; name="file"; filename="a"\r\ncontent-type: text/plain\r\n\r\nx\r\n',
            b"\r\n--xYz",
            _DELIMITER + _FIELD % b"model" + b"w\r\n" + _DELIMITER + _FIELD % b"a[b]" + b'{"file_id":"f"}\r\n--xYz--',
            b"content-transfer-encoding: base64\r\n", b"Content-Type: application/json\r\n", b"\r\n\r\n",
            b"; name=model", b"; ",
        ),
    ),
    Target("codings", _codings, tuple(chain(_zipped(b"hello"), _zipped(b"a" * 3000), (b"\0" * 40, b"\x80", b"\x85")))),
    Target("inflated-replies", _inflated, tuple(chain(_zipped(b"hello")[:3], _zipped(b"a" * 9000)[:3], (b"\0" * 40,
    b"\x02")))),
)  # fmt: skip
