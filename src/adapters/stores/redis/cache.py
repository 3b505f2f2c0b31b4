"""The response cache that replicas share: one Redis command for each get and put, and no error ever."""

from adapters.stores.entry_codec import read_entry, write_entry
from adapters.stores.redis.clients import RedisClient
from adapters.stores.redis.gate import RedisGate
from application.store_ports import CachedAnswer, StoreUnavailable
from domain.caching.cache_key import CacheKey

MAX_TTL_MS = 3650 * 86_400_000  # Ten years. Redis refuses a lifetime that its clock cannot count.


class RedisResponseCache:
    """A `ResponseCache`. Redis itself lets entries end, and makes room as it is configured to (`maxmemory-policy`)."""

    def __init__(self, gate: RedisGate, namespace: str) -> None:
        self._gate = gate
        self._prefix = f"{namespace}:cache:"

    def at_hand(self, key: CacheKey) -> CachedAnswer | None:  # noqa: ARG002 - as the port has it
        return None

    async def get(self, key: CacheKey) -> CachedAnswer | None:
        try:
            entry: object = await self._gate.read(lambda client: client.get(self._prefix + key.name))
        except StoreUnavailable:
            return None
        return await read_entry(key, entry) if isinstance(entry, bytes) else None

    async def put(self, key: CacheKey, answer: CachedAnswer, ttl_s: float) -> None:
        name = self._prefix + key.name
        entry = await write_entry(key, answer)

        async def tell(client: RedisClient) -> None:
            if entry is None or not ttl_s > 0:
                await client.unlink(name)
            else:
                await client.set(name, entry, px=int(min(max(1.0, ttl_s * 1000), MAX_TTL_MS)))

        try:
            await self._gate.write(tell)
        except StoreUnavailable:
            return
