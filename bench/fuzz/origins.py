"""Whether something that a provider received was sent by a client: each of its parts has to be found in what was."""

import json
import re
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import brotli

from simulator.calls import Request

try:
    from compression import zstd
except ImportError:
    from backports import zstd

_MOST_BYTES = 4 << 20
_LAYERS = 3
_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})[^\r\n]*\r\n")
_OF_THE_PROXY = frozenset({
    b"host", b"authorization", b"content-length", b"transfer-encoding", b"connection", b"accept-encoding",
})  # fmt: skip


def foreign_parts(request: Request, sent: bytes, own: dict[bytes, Sequence[bytes]]) -> list[str]:
    """What of it was never sent; none = all of it was. `own`: the values that the proxy's own headers may have."""
    path, _, query = request.target.encode("latin-1").partition(b"?")
    parts = {
        "method": request.method.encode() in sent,
        "path": path.removeprefix(b"/v1") in sent,
        "query": all(part in sent for part in query.split(b"&")),
        "body": _was_sent(request.body, sent),
    }
    lower = sent.lower()
    for name, value in request.headers:
        is_own = name in _OF_THE_PROXY and (name not in own or value in own[name])
        parts[f"header {name.decode('latin-1')}"] = is_own or (name in lower and value in sent)
    return [part for part, is_found in parts.items() if not is_found]


def _was_sent(body: bytes, sent: bytes) -> bool:
    if body in sent or any(body in view for view in _views(sent)):
        return True
    told = _without_model(body)  # into which the proxy writes the endpoint's name for it
    return told is not None and any(_without_model(view) == told for view in _views(sent))


def _without_model(body: bytes) -> object:
    """None = it is no JSON object."""
    try:
        told = json.loads(body) if body[:1] == b"{" else None
    except (ValueError, RecursionError):
        return None
    if isinstance(told, dict):
        told.pop("model", None)
    return told


def _views(sent: bytes) -> Iterator[bytes]:
    """What bodies in it may become: out of their chunks, and without their codings."""
    lengths = {int(length) for length in re.findall(rb"(?i)content-length: *([0-9]{1,9})", sent)}
    for found in re.finditer(rb"\r\n\r\n", sent):
        rest = sent[found.end() :]
        for plain in (*(rest[:length] for length in lengths), _joined(rest)):
            yield plain
            yield from _decoded(plain, _LAYERS)


def _joined(chunks: bytes) -> bytes:
    """The chunks that it begins with."""
    parts, at = [], 0
    while (found := _SIZE.match(chunks, at)) is not None:
        size = int(found[1], 16)
        parts.append(chunks[found.end() : found.end() + size])
        at = found.end() + size + 2
        if not size:
            break
    return b"".join(parts)


def _decoded(body: bytes, layers: int) -> Iterator[bytes]:
    if not layers:
        return
    for decode in (_inflated, _of_zstd, _of_brotli):
        plain = decode(body)
        if plain:
            yield plain
            yield from _decoded(plain, layers - 1)


def _inflated(body: bytes) -> bytes:
    parts, rest = [], body
    while rest:
        member = zlib.decompressobj(47 if not parts else 31)
        try:
            parts.append(member.decompress(rest, _MOST_BYTES))
        except zlib.error:
            break
        rest = member.unused_data
    return b"".join(parts)


def _of_zstd(body: bytes) -> bytes:
    return _tried(partial(zstd.ZstdDecompressor().decompress, max_length=_MOST_BYTES), body, zstd.ZstdError)


def _of_brotli(body: bytes) -> bytes:
    return _tried(brotli.Decompressor().process, body, brotli.error)


def _tried(decode: Any, body: bytes, wrong: type[Exception]) -> bytes:
    try:
        return bytes(decode(body))
    except (wrong, EOFError, ValueError):
        return b""
