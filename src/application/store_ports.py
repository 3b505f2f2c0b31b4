"""The stores, as the use cases see them. What they lose can be learned again; none of them may fail a request."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from application.messages import Api, Headers
from domain.caching.cache_key import CacheKey
from domain.replica_report import ReplicaReport


class StoreUnavailable(Exception):
    """The store did not answer in time, refused, or is known to be away; `str(error)` says which, without secrets."""


class Shape(Struct, frozen=True):
    """How a client wants an answer delivered."""

    stream: bool = False
    options: str = ""  # the `stream_options` as canonical JSON; empty = none


class CachedAnswer(Struct, frozen=True):
    """A good answer that was kept."""

    shape: Shape
    headers: Headers  # only those that still mean something later
    chunks: tuple[bytes, ...]  # the body: of a stream the whole events, grouped as they passed; else in one piece
    stored_unix: float  # when it was kept, in unix seconds
    origin: str = ""  # the id of the endpoint that gave it; empty = nobody asks
    cost: int | None = None  # what that charged for it, in picos, see `domain.cost`; None = not known

    @property
    def size(self) -> int:
        return sum(map(len, self.chunks))


class ResponseCache(Protocol):
    """Keeps answers for a time. Never raises: a store that is away, full or holds junk is a cache without entries."""

    def at_hand(self, key: CacheKey) -> CachedAnswer | None:
        """As `get`, where nothing has to be waited for; None = `get` has to be asked."""

    async def get(self, key: CacheKey) -> CachedAnswer | None:
        """The answer that was put under this very key; None = there is none, or none that can be trusted."""

    async def put(self, key: CacheKey, answer: CachedAnswer, ttl_s: float) -> None:
        """Keep it for `ttl_s` seconds, or less without room, in place of what is there; too large = nothing is kept."""


class AnswerFormats(Protocol):
    """What is in an answer, as far as the cache must know, and the same answer in another shape."""

    def ended_well(self, api: Api, answer: CachedAnswer) -> bool:
        """Is it whole, and did every choice end because the model was done: not at a length, not by a filter?"""

    def reshaped(self, api: Api, answer: CachedAnswer, shape: Shape) -> CachedAnswer | None:
        """The answer as a client wants it that asked for `shape`; None = something it would expect is not there."""


class HeardReport(Struct, frozen=True):
    """What another replica put down."""

    replica: str
    age_s: float  # how long ago, by the store's own clock
    report: ReplicaReport  # times in it are seconds from the moment it was put down; negative = before it


class EndpointStateStore(Protocol):
    """Where replicas put down what they know of endpoints, and read what the others do. Both raise `StoreUnavailable`.
    What a replica that is gone put down disappears after a while by itself."""

    async def put(self, replica: str, report: ReplicaReport) -> None:
        """Replaces what this replica put down before. Times in it are seconds from now."""

    async def others(self, replica: str) -> Sequence[HeardReport]:
        """The newest report of each other replica. What cannot be read is left out."""


class ResponseOwners(Protocol):
    """Remembers which endpoint holds what was stored on the provider's side: responses, conversations, files. Never
    raises, but where that is said: a store that is away knows nothing and learns nothing."""

    async def find(self, ids: Sequence[str]) -> Sequence[str | None]:
        """What was remembered of each id, in their order; None = unknown."""

    async def look_up(self, ids: Sequence[str]) -> Sequence[str | None]:
        """The same; raises `StoreUnavailable` where the store is away and nothing can be said."""

    async def remember(self, ids: Sequence[str], owner: str) -> None:
        """From now on `owner` (the use case's own word) holds these, for the store's time to live, also known ones."""


class StoreAlarm(Protocol):
    """Where trouble with a store is told: once when it begins and once when it is over."""

    def lost(self, store: str, reason: str) -> None:
        """The store named `store` is not used from now on."""

    def read_only(self, store: str, reason: str) -> None:
        """It answers reads, but takes no writes."""

    def recovered(self, store: str, outage_s: float) -> None:
        """It is used again, after so many seconds."""


class StoreReport(Struct, frozen=True):
    """How a store is doing, for people."""

    kind: str  # `memory` or `redis`
    state: str  # `ok`, `read-only` or `unavailable`
    reason: str = ""  # why it is not ok
    entries: int | None = None  # how many it holds; None = not known here
    bytes: int | None = None  # their size; None = not known here


class StoreHealth(Protocol):
    """Anything that can be asked how it is doing."""

    def health(self) -> StoreReport:
        """Now, from memory: nothing is asked."""
