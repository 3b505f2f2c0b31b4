"""What tests of the gate to Redis share: words for what they do with it, and an alarm that remembers."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from adapters.clock import SystemClock
from adapters.stores.redis.clients import RedisClient
from adapters.stores.redis.gate import RedisGate
from application.store_ports import StoreUnavailable

BACK_S = 10.0  # that it comes back is asserted here; how soon is the breaker's, and tested there


class RecordingStoreAlarm:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.outages_s: list[float] = []

    def lost(self, store: str, reason: str) -> None:
        self.told.append(("lost", reason))

    def read_only(self, store: str, reason: str) -> None:
        self.told.append(("read_only", reason))

    def recovered(self, store: str, outage_s: float) -> None:
        self.told.append(("recovered", ""))
        self.outages_s.append(outage_s)

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.told]


class StoppedClock(SystemClock):
    """By this one nothing is ever late, however noisy the machine."""

    def now(self) -> float:
        return 0.0


class HurriedClock(SystemClock):
    """By this one everything is late: seconds pass between any two looks at it."""

    def __init__(self) -> None:
        self._now = time.monotonic()

    def now(self) -> float:
        self._now += 2.0
        return self._now


class NameServer:
    """Says what it is told to, and nothing while it hangs; remembers for how many lookups it was asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.lookups = 0
        self.answers = threading.Event()
        self.answers.set()

    def __call__(self, name: str) -> Sequence[str]:
        assert name.endswith(".test")
        self.lookups += 1
        assert self.answers.wait(10 * BACK_S)
        return self.addresses


OpenGate = Callable[..., Awaitable[tuple[RedisGate, RecordingStoreAlarm]]]


def getting(key: str = "t:key") -> Callable[[RedisClient], Awaitable[Any]]:
    return lambda client: client.get(key)


def setting(value: bytes = b"v", key: str = "t:key") -> Callable[[RedisClient], Awaitable[Any]]:
    return lambda client: client.set(key, value, px=60_000)


async def reason_of(outcome: Awaitable[Any]) -> str:
    """Why it was refused; empty = it was not."""
    try:
        await outcome
    except StoreUnavailable as refused:
        assert refused.__cause__ is None
        assert str(refused)
        return str(refused)
    return ""


async def refusal(outcome: Awaitable[Any]) -> str:
    """Why it was refused, as it has to be."""
    reason = await reason_of(outcome)
    if not reason:
        pytest.fail("it was not refused")
    return reason


async def fail_until_shut(gate: RedisGate) -> set[str]:
    """Reads until none is tried any more; why they failed until then."""
    reasons: set[str] = set()
    async with asyncio.timeout(3 * BACK_S):
        while gate.health().state != "unavailable":
            reasons.add(await reason_of(gate.read(getting())))
    return reasons - {""}


async def eventually(state: Callable[[], bool], within_s: float = BACK_S) -> float:
    """Waits until something holds; how long that took, in seconds."""
    began = time.monotonic()
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while not state():
                await asyncio.sleep(0.01)
            return time.monotonic() - began
    pytest.fail(f"that does not come about within {within_s} s")


def is_ok(gate: RedisGate) -> Callable[[], bool]:
    return lambda: gate.health().state == "ok"


async def probing() -> int:
    """How many tasks of gates run."""
    await asyncio.sleep(0)
    return sum("redis-" in task.get_name() for task in asyncio.all_tasks())
