"""The owners of what is stored at the providers, for all replicas: one small key per id, that expires by itself."""

from collections.abc import Iterator, Sequence
from functools import partial

from redis.exceptions import ResponseError

from adapters.stores.owner_ids import id_digest
from adapters.stores.redis.cache import MAX_TTL_MS
from adapters.stores.redis.clients import RedisClient
from adapters.stores.redis.gate import RedisGate
from application.store_ports import StoreUnavailable

IDS_AT_ONCE = 256  # so many commands go to Redis together at most; more ids take more turns
_MAX_OWNER_BYTES = 1024  # what is longer is no endpoint's identity

_Command = tuple[str | int, ...]


class RedisResponseOwners:
    """Several ids are one pipeline, not MGET: a cluster keeps them in different places. `ttl_s` is in seconds."""

    def __init__(self, gate: RedisGate, namespace: str, ttl_s: float) -> None:
        self._gate = gate
        self._prefix = f"{namespace}:owner:"
        self._ttl_ms = int(min(max(1.0, ttl_s * 1000), MAX_TTL_MS))

    async def find(self, ids: Sequence[str]) -> Sequence[str | None]:
        try:
            return await self.look_up(ids)
        except StoreUnavailable:
            return [None] * len(ids)

    async def look_up(self, ids: Sequence[str]) -> Sequence[str | None]:
        owners: list[str | None] = []
        for commands in self._turns(ids, "GET"):
            owners += [_owner(reply) for reply in await self._gate.read(partial(_run, commands))]
        return owners

    async def remember(self, ids: Sequence[str], owner: str) -> None:
        for commands in self._turns(ids, "SET", owner, "PX", self._ttl_ms):
            try:
                await self._gate.write(partial(_run, commands))
            except StoreUnavailable:
                return

    def _turns(self, ids: Sequence[str], name: str, *arguments: str | int) -> Iterator[Sequence[_Command]]:
        """The command for the key of each id, as many in a turn as go to Redis together."""
        for start in range(0, len(ids), IDS_AT_ONCE):
            chunk = ids[start : start + IDS_AT_ONCE]
            yield [(name, self._prefix + id_digest(each), *arguments) for each in chunk]


async def _run(commands: Sequence[_Command], client: RedisClient) -> Sequence[object]:
    """Redis' replies to commands sent in one turn. Raises the first error that is about more than one key."""
    async with client.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        replies: Sequence[object] = await pipeline.execute(raise_on_error=False)
    for reply in replies:
        if isinstance(reply, Exception) and not _is_misfit(reply):
            raise reply
    return replies


def _is_misfit(reply: object) -> bool:
    """Does the key hold another type of value? It is not ours then, and says nothing about the others."""
    return isinstance(reply, ResponseError) and str(reply).startswith("WRONGTYPE")


def _owner(reply: object) -> str | None:
    if not isinstance(reply, bytes) or len(reply) > _MAX_OWNER_BYTES:
        return None
    try:
        return reply.decode()
    except UnicodeDecodeError:
        return None
