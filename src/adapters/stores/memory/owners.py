"""The owners of what is stored at the providers, for one process."""

from collections import OrderedDict
from collections.abc import Sequence

from adapters.stores.owner_ids import id_digest
from application.ports import Clock


class MemoryResponseOwners:
    """A `ResponseOwners`, bounded by number: the one that was not asked for or named for longest is forgotten first.
    `ttl_s` is in seconds. An entry takes about 400 bytes, however long its id is."""

    def __init__(self, clock: Clock, ttl_s: float, max_entries: int = 100_000) -> None:
        self._clock = clock
        self._ttl_s = ttl_s
        self._max_entries = max_entries
        self._owners: OrderedDict[str, tuple[str, float]] = OrderedDict()
        """Owner and end of each digest of an id; least recently used first."""

    async def find(self, ids: Sequence[str]) -> Sequence[str | None]:
        now = self._clock.now()
        return [self._find(id_digest(each), now) for each in ids]

    async def look_up(self, ids: Sequence[str]) -> Sequence[str | None]:
        return await self.find(ids)

    async def remember(self, ids: Sequence[str], owner: str) -> None:
        expires_at = self._clock.now() + self._ttl_s
        for each in ids:
            digest = id_digest(each)
            self._owners[digest] = (owner, expires_at)
            self._owners.move_to_end(digest)
        while len(self._owners) > self._max_entries:
            self._owners.popitem(last=False)

    def _find(self, digest: str, now: float) -> str | None:
        owner, expires_at = self._owners.get(digest, (None, now))
        if owner is None:
            return None
        if expires_at <= now:
            del self._owners[digest]
            return None
        self._owners.move_to_end(digest)
        return owner
