"""A kept answer in bytes: whatever happened to the bytes, they are the answer that was kept under this key, or none."""

import zlib

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from adapters.stores import entry_codec
from adapters.stores.entry_codec import (
    COMPRESS_ABOVE_BYTES,
    MAX_ENTRY_BYTES,
    MAX_UNPACKED_BYTES,
    decode_entry,
    encode_entry,
    read_entry,
    write_entry,
)
from application.store_ports import CachedAnswer
from domain.caching.cache_key import CacheKey
from tests.contracts.response_cache import ANSWERS, answer_of, new_key, random_bytes
from tests.examples import examples

KEY = CacheKey("name", bytes(range(32)))
SHORT = answer_of(b'{"choices":[]}')
LONG = answer_of(b"data: {}\n\n" * 2000, b"data: [DONE]\n\n")


def encoded(answer: CachedAnswer, key: CacheKey = KEY) -> bytes:
    entry = encode_entry(key, answer)

    assert entry is not None
    return entry


def signed(packing: int, packed: bytes) -> bytes:
    """An entry as somebody could make it who knows the seal."""
    rest = bytes([packing]) + packed
    return bytes([entry_codec.VERSION]) + entry_codec._signature(KEY, rest) + rest


@given(answer=ANSWERS)
@settings(max_examples=examples(80), deadline=None)
def test_any_answer_comes_back_byte_for_byte(answer: CachedAnswer) -> None:
    assert decode_entry(KEY, encoded(answer)) == answer


def test_cost_comes_back_and_an_answer_with_one_beyond_all_measure_is_not_kept() -> None:
    for cost in (None, 0, 2**63):
        priced = structs.replace(SHORT, origin="gpt/1", cost=cost)
        assert decode_entry(KEY, encoded(priced)) == priced
    assert encode_entry(KEY, structs.replace(SHORT, cost=10**27)) is None


@pytest.mark.parametrize("answer", [SHORT, LONG])
@given(data=st.data())
@settings(max_examples=examples(120), deadline=None)
def test_entry_with_any_byte_changed_is_a_miss(answer: CachedAnswer, data: st.DataObject) -> None:
    entry = bytearray(encoded(answer))
    place = data.draw(st.integers(0, len(entry) - 1))
    entry[place] ^= data.draw(st.integers(1, 255))

    assert decode_entry(KEY, bytes(entry)) is None


def test_short_entry_with_any_one_bit_flipped_is_a_miss() -> None:
    entry = encoded(SHORT)
    for place in range(len(entry)):
        for bit in range(8):
            flipped = bytearray(entry)
            flipped[place] ^= 1 << bit

            assert decode_entry(KEY, bytes(flipped)) is None


@pytest.mark.parametrize("answer", [SHORT, LONG])
def test_entry_cut_anywhere_or_followed_by_anything_is_a_miss(answer: CachedAnswer) -> None:
    entry = encoded(answer)

    assert not [length for length in range(len(entry)) if decode_entry(KEY, entry[:length]) is not None]
    assert decode_entry(KEY, entry + b"\x00") is None
    assert decode_entry(KEY, entry + entry) is None


@given(junk=st.binary(max_size=300))
@example(junk=b"")
@settings(max_examples=examples(200), deadline=None)
def test_junk_is_a_miss(junk: bytes) -> None:
    assert decode_entry(KEY, junk) is None
    assert decode_entry(KEY, bytes([entry_codec.VERSION]) + junk) is None


@given(junk=st.binary(max_size=300), packing=st.integers(0, 255))
@settings(max_examples=examples(200), deadline=None)
def test_junk_that_is_rightly_signed_is_a_miss(junk: bytes, packing: int) -> None:
    assert decode_entry(KEY, signed(packing, junk)) is None


@given(value=st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=12,
))  # fmt: skip
@settings(max_examples=examples(120), deadline=None)
def test_msgpack_of_another_form_is_a_miss_or_exactly_what_it_says(value: object) -> None:
    found = decode_entry(KEY, signed(0, msgspec.msgpack.encode(value)))

    if found is not None:
        assert isinstance(value, list)
        assert value[:2] == [found.shape.stream, found.shape.options]


def test_entry_of_another_key_is_a_miss_also_under_the_same_name() -> None:
    other = CacheKey(KEY.name, bytes(32))

    assert decode_entry(other, encoded(SHORT)) is None
    assert decode_entry(KEY, encoded(SHORT, other)) is None


@given(version=st.integers(0, 255))
def test_entry_of_another_version_is_a_miss_even_where_the_rest_is_right(version: int) -> None:
    assume(version != entry_codec.VERSION)

    assert decode_entry(KEY, bytes([version]) + encoded(SHORT)[1:]) is None


def test_what_unpacks_to_more_than_is_allowed_is_a_miss_and_is_not_unpacked() -> None:
    import tracemalloc

    bomb = signed(1, zlib.compress(bytes(400 << 20), 9))
    tracemalloc.start()
    try:
        found = decode_entry(KEY, bomb)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found is None
    assert len(bomb) < MAX_ENTRY_BYTES
    assert peak_bytes < 3 * MAX_UNPACKED_BYTES


def test_compressed_entry_that_is_cut_or_followed_by_something_is_a_miss() -> None:
    packed = zlib.compress(encoded(SHORT)[18:])

    assert decode_entry(KEY, signed(1, packed)) == SHORT
    assert decode_entry(KEY, signed(1, packed[:-1])) is None
    assert decode_entry(KEY, signed(1, packed + b"\x00")) is None


def test_long_answer_that_packs_badly_is_kept_as_it_is() -> None:
    answer = answer_of(random_bytes(COMPRESS_ABOVE_BYTES * 4))

    assert encoded(answer)[entry_codec._SIGNED_FROM] == entry_codec._PLAIN
    assert decode_entry(KEY, encoded(answer)) == answer


def test_long_stream_takes_a_fraction_of_its_size() -> None:
    assert len(encoded(LONG)) < LONG.size / 10


def test_longest_entry_that_is_written_is_also_read() -> None:
    body = random_bytes(MAX_ENTRY_BYTES)
    length = MAX_ENTRY_BYTES - len(encoded(answer_of(b"")))
    while (entry := encode_entry(KEY, answer_of(body[:length]))) is None:
        length -= 1

    assert len(entry) == MAX_ENTRY_BYTES
    assert decode_entry(KEY, entry) is not None


def test_entry_that_is_longer_than_any_that_is_written_is_not_looked_at() -> None:
    assert decode_entry(KEY, encoded(SHORT) + bytes(MAX_ENTRY_BYTES)) is None
    assert decode_entry(KEY, signed(0, bytes(MAX_ENTRY_BYTES))) is None


def test_what_is_asked_and_answered_does_not_show_in_the_name_of_an_entry() -> None:
    assert encoded(SHORT, new_key()) != encoded(SHORT, new_key())


@pytest.mark.parametrize("length", [10, 300_000])
async def test_written_and_read_in_the_background_or_not_it_is_the_same(length: int) -> None:
    answer = answer_of(random_bytes(length))
    entry = await write_entry(KEY, answer)

    assert entry == encoded(answer)
    assert await read_entry(KEY, entry) == answer
    assert await read_entry(KEY, entry[:-1]) is None
