"""A Redis that is not there, takes no writes or is full: the stores fail nobody, and give what can still be had."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from adapters.clock import SystemClock
from adapters.stores.entry_codec import MAX_ENTRY_BYTES
from adapters.stores.redis.cache import RedisResponseCache
from adapters.stores.redis.gate import RedisGate
from adapters.stores.redis.owners import RedisResponseOwners
from adapters.stores.redis.settings import RedisSettings
from adapters.stores.redis.state import RedisEndpointStateStore
from application.store_ports import StoreUnavailable
from domain.secret import Secret
from tests.contracts.endpoint_states import by_replica, cooling
from tests.contracts.response_cache import LONG_S, answer_of, new_key, random_bytes
from tests.integration.redis_fixtures import StartRedis
from tests.integration.redis_gate_harness import OpenGate, RecordingStoreAlarm

KEEP_S = 120.0
TROUBLES = {
    "a replica": ("REPLICAOF", "127.0.0.1", "1"),  # nobody listens there: it serves what it has
    "full": ("CONFIG", "SET", "maxmemory", "1"),
}


class TestWithoutRedis:
    """Nothing listens there; first nobody knows that yet, then everybody does."""

    @pytest.fixture(params=[True, False], ids=["started", "not-started"])
    async def gate(self, request: pytest.FixtureRequest, unused_tcp_port: int) -> AsyncIterator[RedisGate]:
        url = Secret(f"redis://127.0.0.1:{unused_tcp_port}/0")
        gate = RedisGate(RedisSettings.of_url(url), RecordingStoreAlarm(), clock=SystemClock())
        if request.param:
            await gate.start()
        try:
            yield gate
        finally:
            await gate.close()

    async def test_cache_is_one_without_entries(self, gate: RedisGate) -> None:
        cache = RedisResponseCache(gate, "test")
        for _ in range(10):
            key = new_key()
            await cache.put(key, answer_of(b"x"), LONG_S)
            await cache.put(key, answer_of(random_bytes(MAX_ENTRY_BYTES)), LONG_S)

            assert await cache.get(key) is None

    async def test_states_are_unavailable(self, gate: RedisGate) -> None:
        states = RedisEndpointStateStore(gate, "test", KEEP_S)
        for _ in range(10):
            with pytest.raises(StoreUnavailable):
                await states.put("me", cooling(1.0))
            with pytest.raises(StoreUnavailable):
                await states.others("me")

    async def test_owners_are_unknown(self, gate: RedisGate) -> None:
        owners = RedisResponseOwners(gate, "test", 1000)
        for _ in range(10):
            await owners.remember(["a"], "one")

            assert list(await owners.find(["a", "b"] * 300)) == [None] * 600
            with pytest.raises(StoreUnavailable):
                await owners.look_up(["a"])


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_what_was_kept_is_still_read_where_redis_takes_no_writes(
    trouble: str, start_redis: StartRedis, open_gate: OpenGate
) -> None:
    server = start_redis("maxmemory-policy noeviction")
    key, other = new_key(), new_key()
    gate, _ = await open_gate(server.url, op_timeout_s=5.0)
    cache = RedisResponseCache(gate, "test")
    states = RedisEndpointStateStore(gate, "test", KEEP_S)
    owners = RedisResponseOwners(gate, "test", LONG_S)
    await cache.put(key, answer_of(b"x"), LONG_S)
    await states.put("me", cooling(1.0))
    await owners.remember(["a"], "one")
    server.command("SCRIPT", "FLUSH")
    server.command(*TROUBLES[trouble])

    for _ in range(10):
        await cache.put(key, answer_of(b"y"), LONG_S)
        await cache.put(other, answer_of(b"y"), LONG_S)
        await owners.remember(["a", "b"], "two")
        with pytest.raises(StoreUnavailable):
            await states.put("me", cooling(2.0))

        assert await cache.get(key) == answer_of(b"x")
        assert await cache.get(other) is None
        assert by_replica(await states.others("you")) == {"me": cooling(1.0)}
        assert list(await owners.find(["a", "b"])) == ["one", None]
    assert gate.health().state == "read-only"


async def test_what_was_kept_is_there_again_after_redis_was_away(start_redis: StartRedis, open_gate: OpenGate) -> None:
    server = start_redis()
    key = new_key()
    gate, _ = await open_gate(server.url, op_timeout_s=0.2)
    cache = RedisResponseCache(gate, "test")
    states = RedisEndpointStateStore(gate, "test", KEEP_S)
    await cache.put(key, answer_of(b"x"), LONG_S)
    await states.put("me", cooling(1.0))
    server.freeze()

    assert await cache.get(key) is None
    with pytest.raises(StoreUnavailable):
        await states.others("you")
    server.thaw()
    async with asyncio.timeout(30):
        while await cache.get(key) is None:
            await asyncio.sleep(0.05)

    assert by_replica(await states.others("you")) == {"me": cooling(1.0)}
