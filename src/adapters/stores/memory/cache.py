"""The response cache of one process: bounded by bytes and by number, the least recently used makes room."""

import heapq
import sys
from collections import OrderedDict
from itertools import chain

from msgspec import Struct

from adapters.stores.entry_codec import read_entry, write_entry
from application.messages import Headers
from application.ports import Clock
from application.store_ports import CachedAnswer, StoreReport
from domain.caching.cache_key import CacheKey

ENTRY_OVERHEAD_BYTES = 384
"""What keeping one entry takes beside its name and its bytes: the slot, its numbers, its places in the index and in
the heap, the unused room in both. A test holds it against what tracemalloc sees."""
AS_IT_IS_BYTES = 8 << 10  # answers up to this size are kept and given out as they are; others are packed
_SWEEP_AT_ONCE = 64  # so many expired entries are dropped by one `put` at most, so that none takes long


class _Slot(Struct, frozen=True):
    seal: bytes
    entry: CachedAnswer | bytes  # an answer as it is, or packed
    expires_at: float
    size: int


class MemoryResponseCache:
    """A `ResponseCache`. Small answers are kept as they are, for nothing of them can be changed; large ones packed, as
    in any other store. An entry is given only for the seal of its key.

    `max_bytes` counts names, entries and what it takes to keep them.
    """

    def __init__(self, max_bytes: int, clock: Clock, max_entries: int = 100_000) -> None:
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._clock = clock
        self._slots: OrderedDict[str, _Slot] = OrderedDict()  # least recently used first
        self._ends: list[tuple[float, str]] = []  # a heap of when entries end, also of those replaced since
        self._bytes = 0

    def at_hand(self, key: CacheKey) -> CachedAnswer | None:
        entry = self._find(key)
        return None if isinstance(entry, bytes) else entry

    async def get(self, key: CacheKey) -> CachedAnswer | None:
        entry = self._find(key)
        return await read_entry(key, entry) if isinstance(entry, bytes) else entry

    def _find(self, key: CacheKey) -> CachedAnswer | bytes | None:
        name = key.name
        slot = self._slots.get(name)
        if slot is None:
            return None
        if slot.expires_at <= self._clock.now():
            self._drop(name)
            return None
        self._slots.move_to_end(name)
        return slot.entry if slot.seal == key.seal else None

    async def put(self, key: CacheKey, answer: CachedAnswer, ttl_s: float) -> None:
        """Keep it, and let go of what ended and then of what was not used for longest, if there is no room."""
        entry: CachedAnswer | bytes | None = answer if _is_text(answer.headers) else None
        size = _size_of(answer)
        if size > AS_IT_IS_BYTES:
            entry = await write_entry(key, answer)
            size = sys.getsizeof(entry)
        self._drop(key.name)
        if entry is None or not ttl_s > 0:
            return
        size += sys.getsizeof(key.name) + sys.getsizeof(key.seal) + ENTRY_OVERHEAD_BYTES
        if size > self._max_bytes:
            return
        now = self._clock.now()
        self._sweep(now)
        while self._slots and (self._bytes + size > self._max_bytes or len(self._slots) >= self._max_entries):
            self._drop(next(iter(self._slots)))
        self._slots[key.name] = _Slot(key.seal, entry, now + ttl_s, size)
        self._bytes += size
        self._remember_end(now + ttl_s, key.name)

    def health(self) -> StoreReport:
        return StoreReport(kind="memory", state="ok", entries=len(self._slots), bytes=self._bytes)

    def _drop(self, name: str) -> None:
        slot = self._slots.pop(name, None)
        if slot is not None:
            self._bytes -= slot.size

    def _sweep(self, now: float) -> None:
        for _ in range(_SWEEP_AT_ONCE):
            if not self._ends or self._ends[0][0] > now:
                return
            _, name = heapq.heappop(self._ends)
            slot = self._slots.get(name)
            if slot is not None and slot.expires_at <= now:
                self._drop(name)

    def _remember_end(self, expires_at: float, name: str) -> None:
        if len(self._ends) > 2 * len(self._slots):
            self._ends = [(slot.expires_at, held) for held, slot in self._slots.items()]
            heapq.heapify(self._ends)
            return
        heapq.heappush(self._ends, (expires_at, name))


def _is_text(headers: Headers) -> bool:
    """Half a letter is none, and could not be sent."""
    try:
        "".join(chain.from_iterable(headers)).encode()
    except UnicodeEncodeError:
        return False
    return True


def _size_of(answer: CachedAnswer) -> int:
    """What it takes in memory, with all that belongs to it."""
    parts = sys.getsizeof(answer) + sys.getsizeof(answer.shape) + len(answer.shape.options)
    parts += 0 if answer.cost is None else sys.getsizeof(answer.cost)
    parts += sys.getsizeof(answer.chunks) + sum(map(sys.getsizeof, answer.chunks)) + sys.getsizeof(answer.headers)
    return parts + sum([sys.getsizeof(pair) + sum(map(sys.getsizeof, pair)) for pair in answer.headers])
