"""The stores in memory against the plainest that could be: what is found, and who makes room, to the last entry."""

from collections.abc import Awaitable
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from adapters.stores.memory.cache import MemoryResponseCache
from adapters.stores.memory.owners import MemoryResponseOwners
from application.store_ports import CachedAnswer
from domain.caching.cache_key import CacheKey
from tests.contracts.response_cache import answer_of
from tests.examples import examples
from tests.fakes import FakeClock

T = TypeVar("T")
MOST = 3
TTL_S = 10.0
KEYS = [CacheKey(f"name{number}", b"%d" % number * 32) for number in range(5)]
WHICH = st.integers(0, 4)
TTLS_S = st.sampled_from([-1.0, 0.0, 0.5, 5.0, 50.0])


def now(work: Awaitable[T]) -> T:
    """What never really waits."""
    try:
        next(work.__await__())
    except StopIteration as end:
        found: T = end.value
        return found
    raise AssertionError("it waits")


class AnyUse(RuleBasedStateMachine):
    """Each model is a dict in the order of use, least recent first."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.cache = MemoryResponseCache(1 << 20, self.clock, MOST)
        self.owners = MemoryResponseOwners(self.clock, TTL_S, MOST)
        self.answers: dict[str, tuple[bytes, CachedAnswer, float]] = {}
        self.accounts: dict[str, tuple[str, float]] = {}

    @rule(which=WHICH, seal=WHICH, size=st.sampled_from([1, 20_000]), ttl_s=TTLS_S)
    def an_answer_is_put(self, which: int, seal: int, size: int, ttl_s: float) -> None:
        key, answer = CacheKey(KEYS[which].name, KEYS[seal].seal), answer_of(b"%d" % which * size)
        now(self.cache.put(key, answer, ttl_s))

        self.answers.pop(key.name, None)
        if ttl_s > 0:
            self.answers = {name: slot for name, slot in self.answers.items() if slot[2] > self.clock.now()}
            if len(self.answers) == MOST:
                del self.answers[next(iter(self.answers))]
            self.answers[key.name] = key.seal, answer, self.clock.now() + ttl_s

    @rule(which=WHICH, seal=WHICH)
    def an_answer_is_asked_for(self, which: int, seal: int) -> None:
        key = CacheKey(KEYS[which].name, KEYS[seal].seal)
        found = now(self.cache.get(key))

        slot = self.answers.pop(key.name, None)
        if slot is None or slot[2] <= self.clock.now():
            assert found is None
            return
        self.answers[key.name] = slot
        assert found == (slot[1] if slot[0] == key.seal else None)

    @rule(ids=st.lists(WHICH, max_size=3), owner=st.sampled_from(["one", "two"]))
    def an_owner_is_remembered(self, ids: list[int], owner: str) -> None:
        now(self.owners.remember([f"id{each}" for each in ids], owner))

        for each in ids:
            self.accounts.pop(f"id{each}", None)
            self.accounts[f"id{each}"] = owner, self.clock.now() + TTL_S
        while len(self.accounts) > MOST:
            del self.accounts[next(iter(self.accounts))]

    @rule(ids=st.lists(WHICH, max_size=3))
    def owners_are_asked_for(self, ids: list[int]) -> None:
        found = list(now(self.owners.find([f"id{each}" for each in ids])))

        assert found == [self._account(f"id{each}") for each in ids]

    def _account(self, name: str) -> str | None:
        slot = self.accounts.pop(name, None)
        if slot is None or slot[1] <= self.clock.now():
            return None
        self.accounts[name] = slot
        return slot[0]

    @rule(seconds=st.sampled_from([0.0, 0.4, 0.6, 5.0, 9.9]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def who_makes_room_next_is_the_same(self) -> None:
        assert list(self.cache._slots) == list(self.answers)
        assert bool(self.cache.health().bytes) == bool(self.answers)
        assert [owner for owner, _ in self.owners._owners.values()] == [owner for owner, _ in self.accounts.values()]


TestAnyUse = AnyUse.TestCase
TestAnyUse.settings = settings(max_examples=examples(40), stateful_step_count=25, deadline=None)
