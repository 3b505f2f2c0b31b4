"""Virtual time: what is due first runs first, at its very time, and nobody waits for it."""

import asyncio
import selectors

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoints.virtual_time import START_S, Stuck, VirtualClock, VirtualLoop


def run(work: object) -> object:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)  # type: ignore[arg-type]


@given(st.lists(st.floats(0, 1e5), max_size=30))
def test_timers_ring_in_the_order_of_their_times_and_at_those(delays: list[float]) -> None:
    async def ring() -> list[tuple[float, float]]:
        loop, rung = asyncio.get_running_loop(), list[tuple[float, float]]()
        for delay in delays:
            when = START_S + delay
            loop.call_at(when, lambda when=when: rung.append((when, loop.time())))  # type: ignore[misc]
        await asyncio.sleep(2e5)
        return rung

    rung = run(ring())

    assert isinstance(rung, list)
    assert [when for when, _ in rung] == sorted(START_S + delay for delay in delays)
    # asyncio rings what is due within the resolution of the clock, a nanosecond, together.
    assert all(abs(at - when) <= 2e-9 for when, at in rung)


def test_a_million_seconds_of_ticks_do_not_drift() -> None:
    async def tick() -> float:
        clock = VirtualClock(asyncio.get_running_loop())
        for number in range(1, 20_001):
            await clock.sleep(START_S + number * 0.05 - clock.now())
        return clock.passed_s()

    assert run(tick()) == pytest.approx(1000.0, abs=1e-9)


def test_what_is_ready_runs_before_time_passes() -> None:
    async def story() -> list[str]:
        loop, told = asyncio.get_running_loop(), list[str]()
        loop.call_later(0.001, told.append, "a timer")
        for number in range(100):
            loop.call_soon(told.append, "ready")
            await asyncio.sleep(0)
            assert loop.time() == START_S, number
        await asyncio.sleep(1)
        return told

    assert run(story()) == ["ready"] * 100 + ["a timer"]


def test_a_cancelled_timer_does_not_ring_and_holds_nobody_up() -> None:
    async def story() -> tuple[list[str], float]:
        loop, told = asyncio.get_running_loop(), list[str]()
        loop.call_later(5, told.append, "cancelled").cancel()
        loop.call_later(7, told.append, "rings")
        await asyncio.sleep(8)
        return told, loop.time()

    assert run(story()) == (["rings"], START_S + 8)


def test_a_cancelled_sleeper_ends_at_once() -> None:
    async def story() -> float:
        task = asyncio.ensure_future(asyncio.sleep(1000))
        await asyncio.sleep(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return asyncio.get_running_loop().time()

    assert run(story()) == START_S + 3


def test_the_clocks_time_limit_ends_work_at_its_time() -> None:
    async def story() -> float:
        clock = VirtualClock(asyncio.get_running_loop())
        with pytest.raises(TimeoutError), clock.timeout_at(clock.now() + 12.5):
            await clock.sleep(100)
        return clock.passed_s()

    assert run(story()) == 12.5


def test_time_limits_end_in_the_order_of_their_times() -> None:
    async def late(clock: VirtualClock, when: float, ended: list[float]) -> None:
        try:
            with clock.timeout_at(when):
                await clock.sleep(100)
        except TimeoutError:
            ended.append(when)

    async def story() -> list[float]:
        clock, ended = VirtualClock(asyncio.get_running_loop()), list[float]()
        # All within the time after which the clock looks again: they end together.
        whens = [clock.now() + 10 + number * 1e-5 for number in reversed(range(50))]
        await asyncio.gather(*(late(clock, when, ended) for when in whens))
        return ended

    ended = run(story())

    assert isinstance(ended, list) and len(ended) == 50
    assert ended == sorted(ended)


def test_the_clock_calls_at_a_time_and_tells_unix_time_in_step() -> None:
    async def story() -> tuple[list[float], float]:
        clock, told = VirtualClock(asyncio.get_running_loop()), list[float]()
        began = clock.unix()
        clock.call_at(clock.now() + 4, lambda: told.append(clock.passed_s()))
        await clock.sleep(6)
        return told, clock.unix() - began

    assert run(story()) == ([4.0], 6.0)


def test_waiting_for_what_never_comes_is_an_error_and_no_hang() -> None:
    async def story() -> None:
        await asyncio.get_running_loop().create_future()

    loop = VirtualLoop()
    try:
        with pytest.raises(Stuck):
            loop.run_until_complete(story())
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
    finally:
        loop.close()


def test_no_file_is_looked_at() -> None:
    loop = VirtualLoop()
    try:
        selector = loop._selector  # type: ignore[attr-defined]
        assert isinstance(selector, selectors.SelectSelector)
        assert selector.select(0) == []
    finally:
        loop.close()
