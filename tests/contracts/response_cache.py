"""What every `ResponseCache` does, wherever it keeps things: subclass `ResponseCacheContract`, provide the fixtures."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from adapters.stores.entry_codec import COMPRESS_ABOVE_BYTES, MAX_ENTRY_BYTES, MAX_UNPACKED_BYTES
from application.store_ports import CachedAnswer, ResponseCache, Shape
from domain.caching.cache_key import CacheKey

PassTime = Callable[[float], Awaitable[None]]
LONG_S = 600.0

EACH_EXAMPLE_IS_ITS_OWN = (HealthCheck.function_scoped_fixture, HealthCheck.differing_executors)
"""Examples share a store and never a key; a contract is run by several classes."""

ANSWERS = st.builds(
    CachedAnswer,
    shape=st.builds(Shape, stream=st.booleans(), options=st.text(max_size=20)),
    headers=st.lists(
        st.tuples(st.text(max_size=12), st.text(alphabet=st.characters(max_codepoint=255), max_size=20)), max_size=4
    ).map(tuple),
    chunks=st.lists(
        st.binary(max_size=60) | st.binary(min_size=1, max_size=8).map(lambda seed: seed * 3000), max_size=5
    ).map(tuple),
    stored_unix=st.floats(allow_nan=False),
)
"""Short and long, plain and compressed."""


def new_key() -> CacheKey:
    """One that was never used."""
    return CacheKey(uuid4().hex * 2, uuid4().bytes * 2)


def answer_of(*chunks: bytes) -> CachedAnswer:
    """An answer with this body."""
    return CachedAnswer(Shape(), (("content-type", "application/json"),), chunks, 1_764_000_000.25)


def random_bytes(length: int) -> bytes:
    """What no compression makes shorter."""
    return random.Random(length).randbytes(length)


class ResponseCacheContract:
    """The contract. Fixtures: `cache`, and `pass_time`, which lets so many seconds go by for it."""

    short_s = 30.0
    """A lifetime that `pass_time` can outlast."""

    @given(answer=ANSWERS)
    @settings(max_examples=100, deadline=None, suppress_health_check=EACH_EXAMPLE_IS_ITS_OWN)
    async def test_answer_comes_back_as_it_was_put(self, cache: ResponseCache, answer: CachedAnswer) -> None:
        key = new_key()

        await cache.put(key, answer, LONG_S)

        assert await cache.get(key) == answer
        assert await cache.get(key) == answer

    @pytest.mark.parametrize("length", [0, 1, COMPRESS_ABOVE_BYTES, COMPRESS_ABOVE_BYTES + 1, MAX_ENTRY_BYTES - 2000])
    async def test_body_of_any_length_that_fits_comes_back(self, cache: ResponseCache, length: int) -> None:
        key, answer = new_key(), answer_of(random_bytes(length))

        await cache.put(key, answer, LONG_S)

        assert await cache.get(key) == answer

    async def test_stream_longer_than_an_entry_comes_back_with_its_frames_where_it_packs_well(
        self, cache: ResponseCache
    ) -> None:
        frames = tuple(b'data: {"choices":[{"delta":{"content":"%d"}}]}\n\n' % number for number in range(60_000))
        key, answer = new_key(), answer_of(*frames)

        await cache.put(key, answer, LONG_S)

        assert answer.size > 2 * MAX_ENTRY_BYTES
        assert await cache.get(key) == answer

    async def test_nothing_is_under_a_key_that_was_not_used(self, cache: ResponseCache) -> None:
        await cache.put(new_key(), answer_of(b"x"), LONG_S)

        assert await cache.get(new_key()) is None

    async def test_later_answer_replaces_the_earlier(self, cache: ResponseCache) -> None:
        key = new_key()

        await cache.put(key, answer_of(b"first"), LONG_S)
        await cache.put(key, answer_of(b"second"), LONG_S)

        assert await cache.get(key) == answer_of(b"second")

    async def test_answer_ends_with_its_time_and_another_lives_on(
        self, cache: ResponseCache, pass_time: PassTime
    ) -> None:
        short, long = new_key(), new_key()
        await cache.put(short, answer_of(b"short"), self.short_s)
        await cache.put(long, answer_of(b"long"), LONG_S)

        await pass_time(self.short_s)

        assert await cache.get(short) is None
        assert await cache.get(long) == answer_of(b"long")

    async def test_replacement_has_a_time_of_its_own(self, cache: ResponseCache, pass_time: PassTime) -> None:
        key = new_key()
        await cache.put(key, answer_of(b"first"), self.short_s)
        await cache.put(key, answer_of(b"second"), LONG_S)

        await pass_time(self.short_s)

        assert await cache.get(key) == answer_of(b"second")

    @pytest.mark.parametrize("ttl_s", [0.0, -1.0, float("nan")])
    async def test_no_time_to_live_leaves_nothing(self, cache: ResponseCache, ttl_s: float) -> None:
        key = new_key()
        await cache.put(key, answer_of(b"first"), LONG_S)

        await cache.put(key, answer_of(b"second"), ttl_s)

        assert await cache.get(key) is None

    async def test_endless_time_to_live_is_no_error(self, cache: ResponseCache) -> None:
        key = new_key()

        await cache.put(key, answer_of(b"x"), float("inf"))

        assert await cache.get(key) == answer_of(b"x")

    @pytest.mark.parametrize(
        "too_much",
        [
            answer_of(random_bytes(MAX_ENTRY_BYTES)),
            answer_of(bytes(MAX_UNPACKED_BYTES + 1)),
            answer_of(*[b""] * (MAX_UNPACKED_BYTES // 2 + 1)),
            structs.replace(answer_of(b"x"), headers=(("x", "y" * MAX_ENTRY_BYTES),)),
            structs.replace(answer_of(b"x"), headers=(("x", "\ud800"),)),
        ],
        ids=["packed", "unpacked", "chunks", "headers", "not-unicode"],
    )
    async def test_answer_that_cannot_be_kept_leaves_nothing_under_its_key(
        self, cache: ResponseCache, too_much: CachedAnswer
    ) -> None:
        key, other = new_key(), new_key()
        await cache.put(key, answer_of(b"before"), LONG_S)
        await cache.put(other, answer_of(b"other"), LONG_S)

        await cache.put(key, too_much, LONG_S)

        assert await cache.get(key) is None
        assert await cache.get(other) == answer_of(b"other")

    async def test_entry_under_the_right_name_with_another_seal_is_a_miss(self, cache: ResponseCache) -> None:
        key = new_key()
        await cache.put(key, answer_of(b"x"), LONG_S)

        assert await cache.get(structs.replace(key, seal=new_key().seal)) is None
        assert await cache.get(key) == answer_of(b"x")

    async def test_many_at_once_get_nothing_that_was_put_under_another_key(self, cache: ResponseCache) -> None:
        keys = [new_key() for _ in range(5)]

        async def use(number: int) -> None:
            mine = number % len(keys)
            await cache.put(keys[mine], answer_of(b"%d" % mine, random_bytes(number * 2000)), LONG_S)
            found = await cache.get(keys[mine])
            assert found is not None
            assert found.chunks[0] == b"%d" % mine

        await asyncio.gather(*(use(number) for number in range(60)))

        for mine, key in enumerate(keys):
            kept = await cache.get(key)
            assert kept is not None
            assert kept.chunks[0] == b"%d" % mine
