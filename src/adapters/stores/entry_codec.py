"""A kept answer as bytes, and back: what every response cache writes, whatever it writes it to.

    version (1 byte) | signature (16) | packing (1) | the entry in msgpack, compressed if that is worth it

The store is not trusted. An entry that was changed, cut, copied from another key, written by another version or made up
is no entry: the signature is a BLAKE2b keyed by `CacheKey.seal`, which only somebody who knows the request can work
out, over everything but itself. Nothing is unpacked before it was found to be right, and unpacking is bounded all the
same. There is no pickle: what is read can only ever be an answer.
"""

import asyncio
import hashlib
import hmac
import zlib

import msgspec
from msgspec import Struct

from application.messages import Headers
from application.store_ports import CachedAnswer, Shape
from domain.caching.cache_key import CacheKey

VERSION = 3  # raised when the layout or its meaning changes; entries of other versions are misses
MAX_ENTRY_BYTES = 1 << 20  # the longest entry that is kept, and that is looked at when it is read
MAX_UNPACKED_BYTES = 8 << 20  # of one entry: a recorded stream packs to about a twentieth, prose to half
COMPRESS_ABOVE_BYTES = 8 << 10  # shorter bodies are kept as they are: compressing would cost more than moving them
_COMPRESSION = 1
"""zlib's fastest level. On recorded streams and prose level 6 takes twice the time for 5 % less; no other packages
are needed for it, and it lets other threads run."""
_ASIDE_ABOVE_BYTES = 64 << 10  # longer ones are packed in a thread: milliseconds would hold up all requests

_PLAIN, _ZLIB = 0, 1
_SIGNATURE_BYTES = 16
_PERSON = b"llmproxy-entry"
_SIGNED_FROM = 1 + _SIGNATURE_BYTES
_HEAD_BYTES = _SIGNED_FROM + 1


class _Entry(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What is written. Its fields are the layout: any change is a new `VERSION`."""

    stream: bool
    options: str
    headers: Headers
    chunks: tuple[bytes, ...]
    stored_unix: float
    origin: str
    cost: int | None


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Entry)


def encode_entry(key: CacheKey, answer: CachedAnswer) -> bytes | None:
    """The answer as bytes that are good under this key only; None = it is too large, or cannot be written."""
    if answer.size > MAX_UNPACKED_BYTES:
        return None
    shape = answer.shape
    try:
        packed = _ENCODER.encode(
            _Entry(
                shape.stream,
                shape.options,
                answer.headers,
                answer.chunks,
                answer.stored_unix,
                answer.origin,
                answer.cost,
            )
        )
    except (ValueError, OverflowError):  # text that is not Unicode; a cost of more than 64 bits
        return None
    if len(packed) > MAX_UNPACKED_BYTES:
        return None
    packing = _PLAIN
    if answer.size > COMPRESS_ABOVE_BYTES:
        squeezed = zlib.compress(packed, _COMPRESSION)
        if len(squeezed) < len(packed):
            packing, packed = _ZLIB, squeezed
    if _HEAD_BYTES + len(packed) > MAX_ENTRY_BYTES:
        return None
    signed = b"%c%b" % (packing, packed)
    return b"%c%b%b" % (VERSION, _signature(key, signed), signed)


def decode_entry(key: CacheKey, entry: bytes) -> CachedAnswer | None:
    """The answer that was written under this very key; None = this is not one. Never raises."""
    if not _HEAD_BYTES < len(entry) <= MAX_ENTRY_BYTES or entry[0] != VERSION:
        return None
    signed = memoryview(entry)[_SIGNED_FROM:]
    if not hmac.compare_digest(_signature(key, signed), entry[1:_SIGNED_FROM]):
        return None
    try:
        found = _DECODER.decode(_unpacked(signed[0], signed[1:]))
    except (ValueError, zlib.error):
        return None
    shape = Shape(found.stream, found.options)
    return CachedAnswer(shape, found.headers, found.chunks, found.stored_unix, found.origin, found.cost)


async def write_entry(key: CacheKey, answer: CachedAnswer) -> bytes | None:
    """`encode_entry`, out of the way of other requests where it takes long."""
    if answer.size > _ASIDE_ABOVE_BYTES:
        return await asyncio.to_thread(encode_entry, key, answer)
    return encode_entry(key, answer)


async def read_entry(key: CacheKey, entry: bytes) -> CachedAnswer | None:
    """`decode_entry`, out of the way of other requests where it takes long."""
    if _ASIDE_ABOVE_BYTES < len(entry) <= MAX_ENTRY_BYTES:
        return await asyncio.to_thread(decode_entry, key, entry)
    return decode_entry(key, entry)


def _signature(key: CacheKey, signed: bytes | memoryview) -> bytes:
    digest = hashlib.blake2b(b"%c" % VERSION, digest_size=_SIGNATURE_BYTES, key=key.seal, person=_PERSON)
    digest.update(signed)
    return digest.digest()


def _unpacked(packing: int, packed: memoryview) -> bytes | memoryview:
    """The msgpack in it. Raises `ValueError` or `zlib.error` where there is none, or too much."""
    if packing == _PLAIN:
        return packed
    if packing != _ZLIB:
        raise ValueError("unknown packing")
    inflater = zlib.decompressobj()
    unpacked = inflater.decompress(packed, MAX_UNPACKED_BYTES + 1)
    if not inflater.eof or inflater.unused_data or len(unpacked) > MAX_UNPACKED_BYTES:
        raise ValueError("cut, followed by something, or too long")
    return unpacked
