"""A name has one lookup at most, in a thread of its own, and nobody waits long for it."""

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence

import pytest

from adapters.stores.redis.resolver import KEPT_S, RedisResolver, SlowName
from tests.fakes import FakeClock

LONG_S = 30.0
SHORT_S = 0.01


class Resolver:
    """Answers once it is let go; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.found: Sequence[str] = ["192.0.2.1"]
        self.error: Exception | None = None
        self.let_go = threading.Event()

    def __call__(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        assert self.let_go.wait(LONG_S)
        if self.error is not None:
            raise self.error
        return self.found


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    resolver = Resolver()
    yield resolver
    resolver.let_go.set()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def lookups() -> int:
    """How many threads resolve."""
    return sum(thread.name.startswith("resolve-") for thread in threading.enumerate())


async def until_landed(names: RedisResolver) -> None:
    async with asyncio.timeout(LONG_S):
        while names._lookups:
            await asyncio.sleep(0)


async def test_all_who_ask_for_a_name_wait_for_one_lookup(resolver: Resolver, clock: FakeClock) -> None:
    names = RedisResolver(clock, LONG_S, resolver)
    waiting = [asyncio.create_task(names.addresses("redis.test")) for _ in range(50)]
    await asyncio.sleep(0)
    assert lookups() == 1
    resolver.let_go.set()

    assert await asyncio.gather(*waiting) == [["192.0.2.1"]] * 50
    assert resolver.asked == ["redis.test"]


async def test_a_lookup_that_hangs_is_given_up_and_not_begun_again(resolver: Resolver, clock: FakeClock) -> None:
    names = RedisResolver(clock, SHORT_S, resolver)
    for _ in range(5):
        outcomes = await asyncio.gather(*(names.addresses("redis.test") for _ in range(10)), return_exceptions=True)
        clock.advance(SHORT_S)

        assert [type(outcome) for outcome in outcomes] == [SlowName] * 10
    assert lookups() == 1
    assert resolver.asked == ["redis.test"]


async def test_what_a_lookup_finds_later_is_there_for_who_asks_next(resolver: Resolver, clock: FakeClock) -> None:
    names = RedisResolver(clock, SHORT_S, resolver)
    with pytest.raises(SlowName):
        await names.addresses("redis.test")
    resolver.let_go.set()
    await until_landed(names)

    assert await names.addresses("redis.test") == ["192.0.2.1"]
    assert resolver.asked == ["redis.test"]


async def test_one_who_is_cancelled_leaves_the_others_their_lookup(resolver: Resolver, clock: FakeClock) -> None:
    names = RedisResolver(clock, LONG_S, resolver)
    first, second = (asyncio.create_task(names.addresses("redis.test")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    resolver.let_go.set()

    assert await second == ["192.0.2.1"]
    assert first.cancelled()


async def test_the_threads_of_the_loop_are_left_alone(resolver: Resolver, clock: FakeClock) -> None:
    resolver.let_go.set()
    await RedisResolver(clock, LONG_S, resolver).addresses("redis.test")

    assert asyncio.get_running_loop()._default_executor is None  # type: ignore[attr-defined]


async def test_a_name_that_hangs_keeps_no_other_from_being_resolved(clock: FakeClock) -> None:
    let_go = threading.Event()

    def resolve(name: str) -> list[str]:
        assert name == "good.test" or let_go.wait(LONG_S)
        return ["192.0.2.1"]

    names = RedisResolver(clock, LONG_S, resolve)
    stuck = asyncio.create_task(names.addresses("stuck.test"))
    await asyncio.sleep(0)

    assert await names.addresses("good.test") == ["192.0.2.1"]
    assert not stuck.done()
    let_go.set()
    await stuck


async def test_answers_hold_for_seconds_and_until_they_are_forgotten(resolver: Resolver, clock: FakeClock) -> None:
    resolver.let_go.set()
    names = RedisResolver(clock, LONG_S, resolver)
    await names.addresses("redis.test")
    resolver.found = ["192.0.2.2"]
    clock.advance(KEPT_S - 0.1)
    assert await names.addresses("redis.test") == ["192.0.2.1"]
    clock.advance(0.1)
    assert await names.addresses("redis.test") == ["192.0.2.2"]
    resolver.found = ["192.0.2.3"]

    names.forget()

    assert await names.addresses("redis.test") == ["192.0.2.3"]


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_AGAIN, "x"), UnicodeError("label too long"), None])
async def test_a_name_without_addresses_is_not_resolved_and_asked_for_again(
    resolver: Resolver, clock: FakeClock, error: Exception | None
) -> None:
    resolver.let_go.set()
    resolver.error, resolver.found = error, []
    names = RedisResolver(clock, LONG_S, resolver)
    with pytest.raises(socket.gaierror):
        await names.addresses("redis.test")
    resolver.error, resolver.found = None, ["192.0.2.1"]

    assert await names.addresses("redis.test") == ["192.0.2.1"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "2001:db8::1"])
async def test_an_address_is_its_own(resolver: Resolver, clock: FakeClock, address: str) -> None:
    assert await RedisResolver(clock, LONG_S, resolver).addresses(address) == (address,)
    assert resolver.asked == []


async def test_addresses_that_failed_come_last_the_latest_at_the_end(resolver: Resolver, clock: FakeClock) -> None:
    resolver.let_go.set()
    resolver.found = ["2001:db8::1", "192.0.2.1", "192.0.2.2"]
    names = RedisResolver(clock, LONG_S, resolver)
    names.failed("192.0.2.9")
    names.failed("2001:db8::1")
    assert await names.addresses("redis.test") == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
    assert names._failures.keys() == {"2001:db8::1"}, "what no name leads to is forgotten"
    names.failed("192.0.2.1")
    names.failed("192.0.2.2")
    assert await names.addresses("redis.test") == ["2001:db8::1", "192.0.2.1", "192.0.2.2"]

    names.met("192.0.2.2")

    assert await names.addresses("redis.test") == ["192.0.2.2", "2001:db8::1", "192.0.2.1"]


def test_a_lookup_that_outlives_the_loop_ends_in_silence(resolver: Resolver, clock: FakeClock) -> None:
    async def give_up() -> None:
        with pytest.raises(SlowName):
            await RedisResolver(clock, SHORT_S, resolver).addresses("redis.test")

    asyncio.run(give_up())
    thread = next(thread for thread in threading.enumerate() if thread.name == "resolve-redis.test")
    resolver.let_go.set()
    thread.join(LONG_S)

    assert not thread.is_alive()
    assert thread.daemon
