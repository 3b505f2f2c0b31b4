"""The statistics of `make soak`: what they call a leak, and above all what they do not."""

import math
import random
from collections.abc import Sequence

import pytest

from bench.soak.samples import Block, Samples
from bench.soak.slopes import rejected_by_holm, trend
from bench.soak.verdict import DAY_REQUESTS, Finding, Rest, State, compare, conclude, judge

REQUESTS_A_BLOCK = 900


def noise(count: int, size: float, seed: int = 1) -> list[float]:
    dice = random.Random(seed)
    return [dice.gauss(0, size) for _ in range(count)]


def wandering(count: int, size: float, seed: int) -> list[float]:
    """Each value close to the one before, as memory is, and no trend."""
    value, values = 0.0, []
    for step in noise(count, size, seed):
        value = 0.9 * value + step
        values.append(value)
    return values


def blocks(**columns: Sequence[float]) -> list[Block]:
    length = len(next(iter(columns.values())))
    return [
        Block(
            number * 6.0,
            number * REQUESTS_A_BLOCK,
            {name.replace("__", " "): (y[number], y[number], y[number]) for name, y in columns.items()},
        )
        for number in range(length)
    ]


def states(measured: list[Block]) -> dict[str, State]:
    return {finding.metric: finding.state for finding in judge(measured)}


def leaking(bytes_per_request: float, count: int = 100) -> list[float]:
    return [150e6 + i * REQUESTS_A_BLOCK * bytes_per_request for i in range(count)]


def plus(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [a + b for a, b in zip(one, other, strict=True)]


def test_a_straight_line_has_its_slope_and_no_doubt() -> None:
    found = trend(range(50), [3.0 * x + 7 for x in range(50)])

    assert found.slope == found.low == found.high == 3.0
    assert found.p_rising < 1e-6


def test_a_constant_rises_by_nothing() -> None:
    found = trend(range(50), [41.0] * 50)

    assert (found.slope, found.low, found.high, found.p_rising) == (0, 0, 0, 1)


def test_one_wild_value_in_ten_changes_next_to_nothing() -> None:
    values = plus([2.0 * x for x in range(100)], noise(100, 1))
    values[::10] = [1e6] * 10

    assert trend(range(100), values).slope == pytest.approx(2, rel=0.1)


def test_the_interval_holds_the_true_slope_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(100):
        found = trend(range(60), plus([0.5 * x for x in range(60)], noise(60, 5, seed)))
        held += found.low <= 0.5 <= found.high

    assert held >= 88


def test_a_wander_without_a_trend_is_seldom_taken_for_one() -> None:
    rising = sum(trend(range(100), wandering(100, 1, seed)).p_rising < 0.01 for seed in range(100))
    believed = sum(_naive_p(wandering(100, 1, seed)) < 0.01 for seed in range(100))

    assert rising <= 5
    assert believed > 15, "without the correction it would be: the case is a hard one"


def _naive_p(values: Sequence[float]) -> float:
    """As if the values were independent."""
    n = len(values)
    score = sum((b > a) - (b < a) for i, a in enumerate(values) for b in values[i + 1 :])
    variance = n * (n - 1) * (2 * n + 5) / 18
    return math.erfc((score - 1) / math.sqrt(variance) / math.sqrt(2)) / 2


def test_too_few_values_say_nothing() -> None:
    found = trend(range(5), [1, 2, 3, 4, 5])

    assert (found.low, found.high, found.p_rising) == (-math.inf, math.inf, 1)


def test_of_many_tests_one_with_an_ordinary_p_does_not_stand() -> None:
    assert rejected_by_holm([0.009, *[0.5] * 49], 0.01) == [False] * 50
    assert rejected_by_holm([0.5, 0.0001, 0.5], 0.01) == [False, True, False]


def test_a_hundred_bytes_a_request_are_a_leak_in_spite_of_noise() -> None:
    measured = blocks(rss=plus(leaking(100), wandering(100, 50_000, 3)), live_blocks=leaking(1))

    assert states(measured) == {"rss": State.LEAK, "live_blocks": State.LEAK}


def test_memory_that_only_wanders_is_flat_when_there_is_enough_of_it_to_see() -> None:
    assert states(blocks(rss=plus(leaking(0), wandering(100, 50_000, 3)))) == {"rss": State.FLAT}


def test_memory_that_wanders_widely_is_neither_flat_nor_a_leak() -> None:
    assert states(blocks(rss=plus(leaking(0), wandering(100, 5_000_000, 3)))) == {"rss": State.NOT_SHOWN}


def test_a_rise_within_the_limit_is_flat() -> None:
    assert states(blocks(rss=leaking(10), fds=[40 + i / 100 for i in range(100)])) == {
        "rss": State.FLAT,
        "fds": State.FLAT,
    }


@pytest.mark.parametrize("metric", ["fds", "tasks", "threads", "upstream_connections", "pool_lent"])
def test_one_more_for_every_two_hundred_requests_is_a_leak(metric: str) -> None:
    rising = [20 + i * REQUESTS_A_BLOCK // 200 for i in range(100)]

    assert states(blocks(**{metric: plus(rising, noise(100, 6))})) == {metric: State.LEAK}


def test_in_a_short_run_pools_that_still_fill_are_no_leak_but_tasks_are() -> None:
    rising = [20 + i * REQUESTS_A_BLOCK // 200 for i in range(40)]

    assert states(blocks(fds=rising, pool_idle=rising, tasks=rising)) == {
        "fds": State.NOT_SHOWN,
        "tasks": State.LEAK,
        "pool_idle": State.NOT_SHOWN,
    }


def test_resident_memory_that_levels_off_while_the_heap_is_flat_is_fragmentation() -> None:
    levelling = [150e6 + 40e6 * (1 - math.exp(-i / 30)) for i in range(100)]
    heap = plus([400_000.0] * 100, noise(100, 50))

    assert states(blocks(rss=levelling, live_blocks=heap))["rss"] is State.FRAGMENTATION
    assert states(blocks(rss=levelling, live_blocks=leaking(1)))["rss"] is not State.FRAGMENTATION


def test_types_of_objects_are_judged_too() -> None:
    found = states(blocks(objects=[9e4] * 100, type__application__Flight=[i * 30.0 for i in range(100)]))

    assert found["type application Flight"] is State.LEAK


def test_samples_become_medians_of_blocks() -> None:
    samples = Samples(block_s=10)
    for second in range(25):
        samples.add(second, second * 100, {"rss": 5.0 if second != 3 else 900.0, **({"objects": 7} if second else {})})
    samples.close()

    assert [block.at_s for block in samples.blocks] == [4.5, 14.5, 22]
    assert samples.blocks[0].values["rss"] == (5, 5, 900)
    assert samples.blocks[0].values["objects"] == (7, 7, 7)


CALM = {
    "tasks": 4,
    "fds": 40,
    "client_connections": 1,
    "upstream_connections": 0,
    "pool_lent": 0,
    "in_flight": 0,
    "sockets": 0,
    "held_bytes": 0,
    "live_blocks": 400_000,
    "live_malloc": 21e6,
}


def test_a_hundred_bytes_a_request_are_seen_between_two_rests_of_a_short_run() -> None:
    before = Rest(CALM, {})

    assert compare(before, Rest({**CALM, "live_blocks": 413_000}, {}), 13_000)
    assert not compare(before, Rest({**CALM, "live_blocks": 404_000}, {}), 13_000)


def test_one_more_task_at_rest_is_growth_and_two_more_files_are_not() -> None:
    before = Rest(CALM, {"objects": 100_000})

    assert not compare(before, Rest({**CALM, "fds": 42}, {"objects": 100_050}), 10_000)
    assert compare(before, Rest({**CALM, "tasks": 5}, {"objects": 100_000}), 10_000) == ["tasks: 4 before, 5 after"]
    assert compare(before, Rest(CALM, {"objects": 105_000}), 10_000)


def found(state: State, slope: float = 1.0) -> Finding:
    steep = trend([i * 1000 for i in range(50)], [i * 1000 * slope for i in range(50)])
    return Finding("rss", steep, 20e6, state, (slope, slope))


def test_a_leak_growth_or_an_unexplained_outcome_fails_and_each_is_named() -> None:
    leak = conclude([found(State.LEAK, 100)], [], 0, 90_000, 600, 150e6)
    growth = conclude([found(State.FLAT)], ["tasks: 4 before, 5 after"], 0, 90_000, 600, 150e6)
    outcome = conclude([found(State.FLAT)], [], 1, 90_000, 600, 150e6)

    assert not (leak.passed or growth.passed or outcome.passed)
    assert "LEAK: rss rises by 100 a request" in leak.sentences[1]
    assert "tasks: 4 before, 5 after" in growth.sentences[1]
    assert "1 outcomes" in outcome.sentences[1]


def test_a_run_too_short_to_tell_passes_and_says_that_nothing_is_shown() -> None:
    verdict = conclude([found(State.NOT_SHOWN)], [], 0, 9_000, 60, 150e6)

    assert verdict.passed
    assert "not shown: the run was too short" in " ".join(verdict.sentences)


def test_only_a_real_day_is_called_one() -> None:
    minutes = " ".join(conclude([found(State.FLAT)], [], 0, 90_000, 600, 150e6).sentences)
    day = " ".join(conclude([found(State.FLAT)], [], 0, DAY_REQUESTS * 15, 86_400, 150e6).sentences)

    assert "accelerated, extrapolated" in minutes
    assert "only a real run of 24 h may be called a 24 h result" in minutes
    assert "extrapolated" not in day
