"""Time that jumps: in order, without drift, and never for ever."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from entrypoints.explain.virtual_time import VirtualClock, VirtualTimeLoop


@pytest.fixture
def loop() -> Iterator[VirtualTimeLoop]:
    loop = VirtualTimeLoop()
    yield loop
    loop.close()


def run(loop: VirtualTimeLoop, work: Coroutine[Any, Any, Any]) -> Any:
    return loop.run_until_complete(work)


def test_sleepers_wake_in_order_and_at_their_time(loop: VirtualTimeLoop) -> None:
    clock, woken = VirtualClock(loop), []
    began = clock.now()

    async def one(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, round(clock.now() - began, 6)))

    async def all_of_them() -> None:
        await asyncio.gather(one(3600.0), one(0.1), one(60.0), one(0.0))

    run(loop, all_of_them())

    assert woken == [(0.0, 0.0), (0.1, 0.1), (60.0, 60.0), (3600.0, 3600.0)]


def test_a_time_limit_ends_what_takes_longer(loop: VirtualTimeLoop) -> None:
    clock = VirtualClock(loop)

    async def work() -> float:
        try:
            with clock.timeout_at(clock.now() + 7.0):
                await clock.sleep(100.0)
        except TimeoutError:
            return clock.now()
        return 0.0

    began = clock.now()

    assert run(loop, work()) == pytest.approx(began + 7.0)


def test_what_is_called_off_is_not_called(loop: VirtualTimeLoop) -> None:
    clock, called = VirtualClock(loop), []

    async def work() -> None:
        clock.call_at(clock.now() + 1.0, lambda: called.append("kept"))
        clock.call_at(clock.now() + 2.0, lambda: called.append("cancelled")).cancel()
        await clock.sleep(5.0)

    run(loop, work())

    assert called == ["kept"]


def test_what_nothing_would_end_is_told_and_not_waited_for(loop: VirtualTimeLoop) -> None:
    with pytest.raises(RuntimeError, match="everything waits"):
        run(loop, asyncio.Event().wait())
