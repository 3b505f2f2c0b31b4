"""The stores keep their contracts in a Redis Cluster too, where keys of one call lie on different nodes."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest

from adapters.stores.redis.cache import RedisResponseCache
from adapters.stores.redis.gate import RedisGate
from adapters.stores.redis.owners import RedisResponseOwners
from adapters.stores.redis.state import RedisEndpointStateStore
from tests.contracts.endpoint_states import EndpointStateStoreContract
from tests.contracts.response_cache import PassTime, ResponseCacheContract
from tests.contracts.response_owners import ResponseOwnersContract
from tests.integration.redis_calm_gate import calm_gate
from tests.redis_server import NoRedis, RedisServer, private_redis

SLOTS = 16_384
NODES = 3
HIGHEST_PORT = 55_535
"""Nodes talk to each other 10,000 ports above the one for clients."""


@pytest.fixture(scope="module")
def cluster_url() -> Iterator[str]:
    """A cluster of three masters. Made of single commands, as Redis 6 has no others."""
    with ExitStack() as stack:
        nodes = [_started(stack) for _ in range(NODES)]
        for number, node in enumerate(nodes):
            node.command("CLUSTER", "ADDSLOTS", *range(SLOTS * number // NODES, SLOTS * (number + 1) // NODES))
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        deadline = time.monotonic() + 30
        while not all(_knows_all(node) for node in nodes):
            assert time.monotonic() < deadline, "the nodes did not become a cluster"
            time.sleep(0.05)
        yield "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)


def _started(stack: ExitStack) -> RedisServer:
    while True:
        try:
            node = private_redis("cluster-enabled yes", "cluster-node-timeout 5000")
        except NoRedis as reason:
            pytest.fail(str(reason), pytrace=False)
        stack.callback(node.close)
        if node.port <= HIGHEST_PORT:
            node.start()
            return node


def _knows_all(node: RedisServer) -> bool:
    # A plain client reads this reply as a dict.
    info = node.command("CLUSTER INFO")
    return str(info["cluster_state"]) == "ok" and str(info["cluster_known_nodes"]) == str(NODES)


@pytest.fixture
async def gate(cluster_url: str) -> AsyncIterator[RedisGate]:
    async with calm_gate(cluster_url) as gate:
        yield gate


@pytest.fixture
def pass_time() -> PassTime:
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds + 0.05)  # Redis' clock is another one

    return sleep


class TestRedisResponseCacheInCluster(ResponseCacheContract):
    short_s = 0.3

    @pytest.fixture
    def cache(self, gate: RedisGate, redis_namespace: str) -> RedisResponseCache:
        return RedisResponseCache(gate, redis_namespace)


class TestRedisEndpointStateStoreInCluster(EndpointStateStoreContract):
    some_s = 0.3

    @pytest.fixture
    def states(self, gate: RedisGate, redis_namespace: str) -> RedisEndpointStateStore:
        return RedisEndpointStateStore(gate, redis_namespace, 120.0)


class TestRedisResponseOwnersInCluster(ResponseOwnersContract):
    ttl_s = 2.5

    @pytest.fixture
    def owners(self, gate: RedisGate, redis_namespace: str) -> RedisResponseOwners:
        return RedisResponseOwners(gate, redis_namespace, self.ttl_s)
