"""The stores in Redis keep their contracts, and take nothing they find there for what it is not."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from adapters.stores.entry_codec import MAX_ENTRY_BYTES
from adapters.stores.redis import state
from adapters.stores.redis.cache import RedisResponseCache
from adapters.stores.redis.gate import RedisGate
from adapters.stores.redis.owners import RedisResponseOwners
from adapters.stores.redis.state import RedisEndpointStateStore
from adapters.stores.report_codec import MAX_REPORT_BYTES, encode_report
from domain.replica_report import ReplicaReport
from tests.contracts.endpoint_states import EndpointStateStoreContract, by_replica, cooling
from tests.contracts.response_cache import LONG_S, PassTime, ResponseCacheContract, answer_of, new_key
from tests.contracts.response_owners import ResponseOwnersContract
from tests.integration.redis_calm_gate import calm_gate

KEEP_S = 120.0


@pytest.fixture
async def gate(redis_url: str) -> AsyncIterator[RedisGate]:
    async with calm_gate(redis_url) as gate:
        yield gate


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator["Redis"]:
    """What somebody else sees in the same Redis, and can put there."""
    async with Redis.from_url(redis_url, protocol=2) as client:
        yield client


@pytest.fixture
def namespace(redis_namespace: str) -> str:
    return redis_namespace


@pytest.fixture
def pass_time() -> PassTime:
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds + 0.05)  # Redis' clock is another one

    return sleep


class TestRedisResponseCache(ResponseCacheContract):
    short_s = 0.3

    @pytest.fixture
    def cache(self, gate: RedisGate, namespace: str) -> RedisResponseCache:
        return RedisResponseCache(gate, namespace)

    async def test_entry_has_a_key_in_the_namespace_and_the_time_it_was_given(
        self, cache: RedisResponseCache, redis: Redis, namespace: str
    ) -> None:
        key = new_key()

        await cache.put(key, answer_of(b"x"), 1000.5)

        assert await keys_of(redis, namespace) == [f"{namespace}:cache:{key.name}"]
        assert 900_000 < await redis.pttl(f"{namespace}:cache:{key.name}") <= 1_000_500

    async def test_shortest_time_to_live_is_no_error(self, cache: RedisResponseCache, pass_time: PassTime) -> None:
        key = new_key()

        await cache.put(key, answer_of(b"x"), 1e-9)

        await pass_time(0.01)
        assert await cache.get(key) is None

    async def test_value_of_another_type_is_a_miss_and_is_replaced(
        self, cache: RedisResponseCache, redis: Redis, namespace: str
    ) -> None:
        keys = [new_key() for _ in range(10)]
        for key in keys:
            await redis.rpush(f"{namespace}:cache:{key.name}", b"x")

        assert [await cache.get(key) for key in keys] == [None] * 10
        await cache.put(keys[0], answer_of(b"x"), LONG_S)
        assert await cache.get(keys[0]) == answer_of(b"x")

    async def test_what_somebody_else_wrote_is_a_miss(
        self, cache: RedisResponseCache, redis: Redis, namespace: str
    ) -> None:
        key, other = new_key(), new_key()
        await cache.put(other, answer_of(b"x"), LONG_S)
        copied = await redis.get(f"{namespace}:cache:{other.name}")
        for junk in (copied, copied[:-1], b"", b"x", bytes(MAX_ENTRY_BYTES + 1)):
            await redis.set(f"{namespace}:cache:{key.name}", junk)

            assert await cache.get(key) is None

    async def test_namespaces_do_not_see_each_other(self, gate: RedisGate, namespace: str) -> None:
        key = new_key()
        await RedisResponseCache(gate, namespace).put(key, answer_of(b"x"), LONG_S)

        assert await RedisResponseCache(gate, namespace + "2").get(key) is None

    async def test_replicas_share_what_is_kept(self, gate: RedisGate, redis_url: str, namespace: str) -> None:
        key = new_key()
        await RedisResponseCache(gate, namespace).put(key, answer_of(b"x"), LONG_S)

        async with calm_gate(redis_url) as other:
            assert await RedisResponseCache(other, namespace).get(key) == answer_of(b"x")


class TestRedisEndpointStateStore(EndpointStateStoreContract):
    some_s = 0.3

    @pytest.fixture
    def states(self, gate: RedisGate, namespace: str) -> RedisEndpointStateStore:
        return RedisEndpointStateStore(gate, namespace, KEEP_S)

    @pytest.fixture
    def key(self, namespace: str) -> str:
        return f"{namespace}:state"

    async def test_redis_stamps_what_is_put_down(self, states: RedisEndpointStateStore, redis: Redis, key: str) -> None:
        before_us = await now_us(redis)
        await states.put("me", cooling(1.0))
        after_us = await now_us(redis)

        value = (await redis.hgetall(key))[b"me"]
        stamp, _, packed = value.partition(b":")

        assert before_us <= int(stamp) <= after_us
        assert packed == encode_report(cooling(1.0))

    async def test_replicas_whose_clocks_are_far_apart_see_the_same_age(
        self, states: RedisEndpointStateStore, redis: Redis, key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 90)
        await states.put("fast", cooling(1.0))
        monkeypatch.setattr(time, "time", lambda: real() - 90)
        await states.put("slow", cooling(1.0))

        ages_s = [each.age_s for each in await states.others("me")]

        assert len(ages_s) == 2
        assert all(0 <= age_s < 60 for age_s in ages_s)

    async def test_age_is_counted_from_the_stamp_and_is_never_negative(
        self, states: RedisEndpointStateStore, redis: Redis, key: str
    ) -> None:
        for name, ago_s in (("old", 90), ("clock set back", -90), ("gone", KEEP_S + 10), ("far ahead", -KEEP_S - 10)):
            await plant(redis, key, name, cooling(1.0), ago_s)

        ages_s = {each.replica: each.age_s for each in await states.others("me")}

        assert set(ages_s) == {"old", "clock set back"}
        assert 90 <= ages_s["old"] < KEEP_S
        assert ages_s["clock set back"] == 0

    async def test_put_drops_what_is_too_old_or_was_never_stamped_and_keeps_the_rest(
        self, states: RedisEndpointStateStore, redis: Redis, key: str
    ) -> None:
        for name, ago_s in (("old", 90), ("gone", KEEP_S + 10), ("far ahead", -KEEP_S - 10)):
            await plant(redis, key, name, cooling(1.0), ago_s)
        for name, junk in (("empty", b""), ("no stamp", b"x"), ("digits", b"1" * 10_000), ("no number", b"1x:y")):
            await redis.hset(key, name, junk)

        await states.put("me", cooling(1.0))

        assert set(await redis.hgetall(key)) == {b"me", b"old"}

    async def test_all_disappears_when_nobody_puts_anything_down(
        self, states: RedisEndpointStateStore, redis: Redis, key: str
    ) -> None:
        await states.put("me", cooling(1.0))

        assert KEEP_S - 60 < await redis.ttl(key) <= KEEP_S

    async def test_report_of_a_replica_that_is_gone_disappears(
        self, gate: RedisGate, namespace: str, redis: Redis, key: str, pass_time: PassTime
    ) -> None:
        states = RedisEndpointStateStore(gate, namespace, keep_s=0.3)
        await states.put("gone", cooling(1.0))

        await pass_time(0.3)

        assert list(await states.others("me")) == []
        assert not await redis.exists(key)

    async def test_junk_hides_nobody_else(self, states: RedisEndpointStateStore, redis: Redis, key: str) -> None:
        await states.put("good", cooling(1.0))
        stamp = b"%d:" % await now_us(redis)
        for name, junk in (
            (b"empty", b""),
            (b"no stamp", b"junk"),
            (b"sign", b"-1:junk"),
            (b"only a stamp", stamp),
            (b"no report", stamp + b"junk"),
            (b"old version", stamp + b"\x00\x80"),
            (b"wrong types", stamp + b"\x01\x81\xa9endpoints\x81\xa1a\x81\xaaopen_until\xa4soon"),
            (b"too large", stamp + bytes(MAX_REPORT_BYTES + 1)),
            (b"\xff\xfe", stamp + (encode_report(cooling(1.0)) or b"")),
        ):
            await redis.hset(key, name, junk)

        assert by_replica(await states.others("me")) == {"good": cooling(1.0)}

    async def test_key_of_another_type_is_a_store_without_reports_and_is_replaced(
        self, states: RedisEndpointStateStore, redis: Redis, key: str
    ) -> None:
        await redis.set(key, b"x")

        assert list(await states.others("me")) == []
        await states.put("me", cooling(1.0))
        assert by_replica(await states.others("you")) == {"me": cooling(1.0)}

    async def test_scripts_that_redis_forgot_are_told_anew(self, states: RedisEndpointStateStore, redis: Redis) -> None:
        await states.put("me", cooling(1.0))
        await redis.script_flush()

        assert by_replica(await states.others("you")) == {"me": cooling(1.0)}
        await redis.script_flush()
        await states.put("me", cooling(2.0))
        assert by_replica(await states.others("you")) == {"me": cooling(2.0)}

    async def test_reading_changes_nothing(self, states: RedisEndpointStateStore, redis: Redis, key: str) -> None:
        await plant(redis, key, "gone", cooling(1.0), KEEP_S + 10)
        before = await redis.dump(key)

        await states.others("me")

        assert await redis.dump(key) == before
        assert await redis.ttl(key) == -1

    async def test_only_what_changed_is_decoded_again(
        self, states: RedisEndpointStateStore, monkeypatch: pytest.MonkeyPatch, pass_time: PassTime
    ) -> None:
        decoded = []
        decode = state.decode_report
        monkeypatch.setattr(state, "decode_report", lambda packed: decoded.append(packed) or decode(packed))
        await states.put("a", cooling(1.0))
        await states.put("b", cooling(1.0))
        first = await states.others("me")
        await pass_time(0.1)
        second = await states.others("me")

        assert len(decoded) == 2
        assert [each.report for each in first] == [each.report for each in second]
        assert all(old.age_s + 0.1 <= new.age_s for old, new in zip(first, second, strict=True))
        await states.put("b", cooling(2.0))
        assert by_replica(await states.others("me")) == {"a": cooling(1.0), "b": cooling(2.0)}
        assert len(decoded) == 3


class TestRedisResponseOwners(ResponseOwnersContract):
    ttl_s = 2.5

    @pytest.fixture
    def owners(self, gate: RedisGate, namespace: str) -> RedisResponseOwners:
        return RedisResponseOwners(gate, namespace, self.ttl_s)

    async def test_no_id_shows_in_redis_and_each_ends_by_itself(
        self, gate: RedisGate, redis: Redis, namespace: str
    ) -> None:
        owners = RedisResponseOwners(gate, namespace, 1000)
        await owners.remember(["resp_secret", "conv_secret"], "one")

        keys = await keys_of(redis, namespace)

        assert len(keys) == 2
        assert not [key for key in keys if "secret" in key or not key.startswith(f"{namespace}:owner:")]
        assert all([900 < await redis.ttl(key) <= 1000 for key in keys])

    async def test_what_is_no_owner_is_unknown_and_hides_no_other(
        self, gate: RedisGate, redis: Redis, namespace: str
    ) -> None:
        owners = RedisResponseOwners(gate, namespace, 1000)
        for junk in (b"\xff", b"x" * 5000):
            await owners.remember(["a"], "junk")
            (key,) = await keys_of(redis, namespace)
            await redis.set(key, junk)

            assert list(await owners.find(["a"])) == [None]
        await redis.delete(key)
        await redis.rpush(key, b"a list")
        await owners.remember(["b"], "one")

        assert list(await owners.find(["b", "a", "b"])) == ["one", None, "one"]
        await owners.remember(["a"], "two")
        assert list(await owners.find(["a"])) == ["two"]


async def keys_of(redis: Redis, namespace: str) -> list[str]:
    """The keys in Redis that begin with the namespace."""
    return [key.decode() async for key in redis.scan_iter(match=f"{namespace}:*", count=1000)]


async def now_us(redis: Redis) -> int:
    """Redis' own time."""
    seconds, microseconds = await redis.time()
    return int(seconds) * 1_000_000 + int(microseconds)


async def plant(redis: Redis, key: str, replica: str, report: ReplicaReport, ago_s: float) -> None:
    """A report that was put down so many seconds ago by Redis' clock; negative = its clock has been set back since."""
    packed: Any = encode_report(report)
    await redis.hset(key, replica, b"%d:%b" % (await now_us(redis) - int(ago_s * 1_000_000), packed))
