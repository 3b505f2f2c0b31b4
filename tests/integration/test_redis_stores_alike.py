"""Whatever is done to a store in Redis and to one in memory, both give the same."""

from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from adapters.stores.entry_codec import MAX_ENTRY_BYTES
from adapters.stores.memory.cache import MemoryResponseCache
from adapters.stores.memory.owners import MemoryResponseOwners
from adapters.stores.memory.state import MemoryEndpointStateStore
from adapters.stores.owner_ids import id_digest
from adapters.stores.redis.cache import RedisResponseCache
from adapters.stores.redis.clients import RedisClient
from adapters.stores.redis.gate import RedisGate
from adapters.stores.redis.owners import RedisResponseOwners
from adapters.stores.redis.state import RedisEndpointStateStore
from domain.replica_report import ReplicaReport
from tests.contracts.endpoint_states import REPORTS, by_replica
from tests.contracts.response_cache import EACH_EXAMPLE_IS_ITS_OWN, LONG_S, answer_of, new_key, random_bytes
from tests.contracts.response_owners import new_id
from tests.examples import examples
from tests.fakes import FakeClock
from tests.integration.redis_calm_gate import calm_gate


@pytest.fixture
async def gate(redis_url: str) -> AsyncIterator[RedisGate]:
    async with calm_gate(redis_url) as gate:
        yield gate


_FEW = st.integers(0, 5)
_CACHE_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put shortly", "put too large", "put for no time", "get", "get unsealed", "wait"]),
        _FEW,
        _FEW,
    ),
    max_size=30,
)
_STATE_STEPS = st.lists(st.tuples(st.sampled_from(["put", "others"]), _FEW, REPORTS), max_size=15)
_OWNER_STEPS = st.lists(
    st.tuples(st.sampled_from(["remember", "find", "wait"]), st.lists(_FEW, max_size=5), _FEW), max_size=30
)
_SHORT_S, _WAITED_S = 30.0, 20.0
"""Of waits no number makes the short time, so that milliseconds of Redis' own clock decide nothing."""


async def _wait(gate: RedisGate, clock: FakeClock, names: Sequence[str]) -> None:
    """Let time go by, for these keys of Redis and for the clock."""

    async def age(client: RedisClient) -> None:
        for name in names:
            left_ms = await client.pttl(name)
            if left_ms > 0:
                await client.pexpire(name, int(left_ms - 1000 * _WAITED_S))  # none of it left = it is gone

    await gate.write(age)
    clock.advance(_WAITED_S)


@given(steps=_CACHE_STEPS)
@settings(max_examples=examples(20), deadline=None, suppress_health_check=EACH_EXAMPLE_IS_ITS_OWN)
async def test_caches_give_the_same(gate: RedisGate, steps: list[tuple[str, int, int]]) -> None:
    namespace, clock = f"test-{uuid4().hex}", FakeClock()
    caches = (RedisResponseCache(gate, namespace), MemoryResponseCache(64 << 20, clock))
    keys = [new_key() for _ in range(6)]
    for step, number, other in [*steps, ("wait", 0, 0), ("wait", 0, 0)]:
        key, answer, ttl_s = keys[number], answer_of(b"%d" % other * 5000), LONG_S
        if step.startswith("put"):
            if step == "put too large":
                answer = answer_of(random_bytes(MAX_ENTRY_BYTES))
            if step in ("put for no time", "put shortly"):
                ttl_s = 0.0 if step == "put for no time" else _SHORT_S
            for cache in caches:
                await cache.put(key, answer, ttl_s)
        elif step == "wait":
            await _wait(gate, clock, [f"{namespace}:cache:{each.name}" for each in keys])
        else:
            seal = keys[other].seal if step == "get unsealed" else key.seal
            found = [await cache.get(structs.replace(key, seal=seal)) for cache in caches]

            assert found[0] == found[1]
    for key in keys:
        assert await caches[0].get(key) == await caches[1].get(key)


@given(steps=_STATE_STEPS)
@settings(max_examples=examples(20), deadline=None, suppress_health_check=EACH_EXAMPLE_IS_ITS_OWN)
async def test_states_give_the_same(gate: RedisGate, steps: list[tuple[str, int, ReplicaReport]]) -> None:
    both = (
        RedisEndpointStateStore(gate, f"test-{uuid4().hex}", LONG_S),
        MemoryEndpointStateStore(FakeClock(), LONG_S),
    )
    for step, number, report in [*steps, *(("others", number, ReplicaReport()) for number in range(7))]:
        replica = f"replica-{number}"
        if step == "put":
            for states in both:
                await states.put(replica, report)
        else:
            heard = [by_replica(await states.others(replica)) for states in both]

            assert heard[0] == heard[1]


@given(steps=_OWNER_STEPS)
@settings(max_examples=examples(20), deadline=None, suppress_health_check=EACH_EXAMPLE_IS_ITS_OWN)
async def test_owners_give_the_same(gate: RedisGate, steps: list[tuple[str, list[int], int]]) -> None:
    namespace, clock = f"test-{uuid4().hex}", FakeClock()
    both = (RedisResponseOwners(gate, namespace, _SHORT_S), MemoryResponseOwners(clock, _SHORT_S))
    known = [new_id() for _ in range(6)]
    for step, numbers, owner in [*steps, *[("wait", [], 0), ("find", list(range(6)), 0)] * 2]:
        ids = [known[number] for number in numbers]
        if step == "find":
            found = [list(await owners.find(ids)) for owners in both]

            assert found[0] == found[1]
        if step == "wait":
            await _wait(gate, clock, [f"{namespace}:owner:{id_digest(each)}" for each in known])
        for owners in both:
            if step == "remember":
                await owners.remember(ids, f"endpoint-{owner}")
