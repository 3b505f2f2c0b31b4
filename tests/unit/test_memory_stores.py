"""The stores in memory keep their contracts, and their bounds."""

import gc
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.stores.entry_codec import MAX_ENTRY_BYTES
from adapters.stores.memory.cache import MemoryResponseCache
from adapters.stores.memory.owners import MemoryResponseOwners
from adapters.stores.memory.state import MemoryEndpointStateStore
from application.store_ports import StoreReport
from domain.caching.cache_key import CacheKey
from tests.contracts.endpoint_states import EndpointStateStoreContract, by_replica, cooling
from tests.contracts.response_cache import LONG_S, PassTime, ResponseCacheContract, answer_of, new_key, random_bytes
from tests.contracts.response_owners import ResponseOwnersContract
from tests.examples import examples
from tests.fakes import FakeClock

PLENTY_BYTES = 64 << 20


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def pass_time(clock: FakeClock) -> PassTime:
    return clock.sleep


class TestMemoryResponseCache(ResponseCacheContract):
    @pytest.fixture
    def cache(self, clock: FakeClock) -> MemoryResponseCache:
        return MemoryResponseCache(PLENTY_BYTES, clock)

    async def test_answer_is_there_until_the_very_end_of_its_time(
        self, cache: MemoryResponseCache, clock: FakeClock
    ) -> None:
        key = new_key()
        await cache.put(key, answer_of(b"x"), 10.0)

        clock.advance(9.999)
        assert await cache.get(key) is not None
        clock.advance(0.001)
        assert await cache.get(key) is None

    async def test_least_recently_used_makes_room(self, clock: FakeClock) -> None:
        cache = MemoryResponseCache(PLENTY_BYTES, clock, max_entries=3)
        a, b, c, d = (new_key() for _ in range(4))
        for key in (a, b, c):
            await cache.put(key, answer_of(b"x"), LONG_S)
        await cache.get(a)

        await cache.put(d, answer_of(b"x"), LONG_S)

        assert [await cache.get(key) is not None for key in (a, b, c, d)] == [True, False, True, True]

    async def test_replacing_makes_nobody_else_go(self, clock: FakeClock) -> None:
        cache = MemoryResponseCache(PLENTY_BYTES, clock, max_entries=2)
        a, b = new_key(), new_key()
        await cache.put(a, answer_of(b"x"), LONG_S)
        await cache.put(b, answer_of(b"x"), LONG_S)

        await cache.put(b, answer_of(b"y"), LONG_S)

        assert await cache.get(a) is not None

    async def test_what_has_ended_makes_room_before_what_was_not_used_for_longest(self, clock: FakeClock) -> None:
        cache = MemoryResponseCache(PLENTY_BYTES, clock, max_entries=2)
        old, ended, new = (new_key() for _ in range(3))
        await cache.put(old, answer_of(b"x"), LONG_S)
        await cache.put(ended, answer_of(b"x"), 1.0)
        clock.advance(2.0)

        await cache.put(new, answer_of(b"x"), LONG_S)

        assert [await cache.get(key) is not None for key in (old, ended, new)] == [True, False, True]

    async def test_entry_larger_than_the_cache_leaves_the_others_alone(self, clock: FakeClock) -> None:
        cache = MemoryResponseCache(10_000, clock)
        small, large = new_key(), new_key()
        await cache.put(small, answer_of(b"x"), LONG_S)

        await cache.put(large, answer_of(random_bytes(10_000)), LONG_S)

        assert await cache.get(small) is not None
        assert await cache.get(large) is None

    async def test_it_tells_how_much_it_holds(self, cache: MemoryResponseCache) -> None:
        key = new_key()
        empty = cache.health()
        await cache.put(key, answer_of(random_bytes(5000)), LONG_S)
        full = cache.health()
        await cache.put(key, answer_of(b"x"), 0)

        assert empty == cache.health() == StoreReport("memory", "ok", entries=0, bytes=0)
        assert full.entries == 1
        assert full.bytes is not None
        assert 5000 < full.bytes < 6100

    @pytest.mark.parametrize(("length", "count"), [(10, 5000), (1000, 3000), (100_000, 100)])
    async def test_bytes_it_counts_are_at_least_those_it_takes(self, clock: FakeClock, length: int, count: int) -> None:
        body = random_bytes(length)
        cache = MemoryResponseCache(1 << 30, clock)
        await cache.put(new_key(), answer_of(body), LONG_S)  # what is made once is not its entries'
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            counted = cache.health().bytes or 0
            for number in range(count):
                # Twice, as the heap of ends keeps what was replaced for a while.
                key = CacheKey(f"{number:064}", number.to_bytes(32))
                await cache.put(key, answer_of(b"%b%d" % (body, number)), LONG_S)
                await cache.put(key, answer_of(b"%b%d" % (body, -number)), LONG_S)
            gc.collect()  # what earlier tests left behind is freed, and made, at any moment
            taken = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        counted = (cache.health().bytes or 0) - counted

        assert 0.9 * taken <= counted <= 1.6 * taken  # what else the process does meanwhile shows as well

    @given(
        steps=st.lists(
            st.tuples(st.integers(0, 12), st.integers(0, 3000), st.floats(-1, 50), st.floats(0, 20)), max_size=60
        ),
        max_bytes=st.integers(0, 12_000),
        max_entries=st.integers(1, 8),
    )
    @settings(max_examples=examples(100), deadline=None)
    async def test_bounds_hold_and_what_is_found_is_what_was_put_last_and_has_not_ended(
        self, steps: list[tuple[int, int, float, float]], max_bytes: int, max_entries: int
    ) -> None:
        clock = FakeClock()
        cache = MemoryResponseCache(max_bytes, clock, max_entries)
        keys = [new_key() for _ in range(13)]
        put_last: dict[int, tuple[bytes, float]] = {}
        for number, length, ttl_s, passed_s in steps:
            body = random_bytes(length)
            await cache.put(keys[number], answer_of(body), ttl_s)
            put_last[number] = (body, clock.now() + ttl_s)
            clock.advance(passed_s)
            health = cache.health()

            assert (health.bytes or 0) <= max_bytes
            assert (health.entries or 0) <= max_entries
            for each, (last, ends_at) in put_last.items():
                found = await cache.get(keys[each])
                assert found is None or (found.chunks == (last,) and clock.now() < ends_at)

        clock.advance(100)
        for key in keys:
            assert await cache.get(key) is None
        assert cache.health() == StoreReport("memory", "ok", entries=0, bytes=0)

    async def test_endless_replacing_does_not_grow_it(self, clock: FakeClock) -> None:
        cache = MemoryResponseCache(PLENTY_BYTES, clock)
        keys = [new_key() for _ in range(10)]
        for turn in range(2000):
            await cache.put(keys[turn % 10], answer_of(b"x"), LONG_S)

        assert cache.health().entries == 10
        assert len(cache._ends) <= 21

    async def test_thousands_that_ended_at_once_do_not_keep_new_ones_out(self, clock: FakeClock) -> None:
        cache = MemoryResponseCache(PLENTY_BYTES, clock, max_entries=1000)
        for _ in range(1000):
            await cache.put(new_key(), answer_of(b"x"), 1.0)
        clock.advance(2.0)
        key = new_key()

        await cache.put(key, answer_of(b"x"), LONG_S)

        assert await cache.get(key) is not None
        assert (cache.health().entries or 0) < 1000

    async def test_what_is_held_is_packed(self, cache: MemoryResponseCache) -> None:
        await cache.put(new_key(), answer_of(b"data: {}\n\n" * MAX_ENTRY_BYTES), LONG_S)
        await cache.put(new_key(), answer_of(b"data: {}\n\n" * 80_000), LONG_S)

        assert cache.health().entries == 1
        assert (cache.health().bytes or 0) < 20_000


class TestMemoryEndpointStateStore(EndpointStateStoreContract):
    @pytest.fixture
    def states(self, clock: FakeClock) -> MemoryEndpointStateStore:
        return MemoryEndpointStateStore(clock, keep_s=120.0)

    async def test_report_of_a_replica_that_is_gone_disappears(
        self, states: MemoryEndpointStateStore, clock: FakeClock
    ) -> None:
        await states.put("gone", cooling(1.0))
        clock.advance(100)
        await states.put("alive", cooling(2.0))

        assert set(by_replica(await states.others("me"))) == {"gone", "alive"}
        clock.advance(20.1)
        assert set(by_replica(await states.others("me"))) == {"alive"}
        await states.put("alive", cooling(2.0))
        assert set(states._reports) == {"alive"}

    async def test_report_is_what_it_was_when_it_was_put_down(self, states: MemoryEndpointStateStore) -> None:
        report = cooling(1.0)
        await states.put("me", report)

        report.endpoints.clear()

        assert by_replica(await states.others("you")) == {"me": cooling(1.0)}


class TestMemoryResponseOwners(ResponseOwnersContract):
    @pytest.fixture
    def owners(self, clock: FakeClock) -> MemoryResponseOwners:
        return MemoryResponseOwners(clock, self.ttl_s)

    async def test_least_recently_named_or_asked_for_is_forgotten_first(self, clock: FakeClock) -> None:
        owners = MemoryResponseOwners(clock, self.ttl_s, max_entries=3)
        await owners.remember(["a", "b", "c"], "one")
        await owners.find(["a"])
        await owners.remember(["b"], "two")

        await owners.remember(["d"], "one")

        assert list(await owners.find(["a", "b", "c", "d"])) == ["one", "two", None, "one"]

    async def test_no_more_are_held_than_may_be_however_long_their_ids(self, clock: FakeClock) -> None:
        owners = MemoryResponseOwners(clock, self.ttl_s, max_entries=10)

        await owners.remember([f"{number}" + "x" * 100_000 for number in range(50)], "one")

        assert len(owners._owners) == 10
        assert max(map(len, owners._owners)) == 32
