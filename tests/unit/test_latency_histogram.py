"""Histograms of durations: quantiles are near the truth, nothing is lost, differences undo sums."""

from math import sqrt

from hypothesis import given
from hypothesis import strategies as st

from application.observing.latencies import BOUNDS_MS, Histogram

DURATIONS = st.lists(st.floats(0.0, 2e6), min_size=1, max_size=200)


def histogram(values: list[float]) -> Histogram:
    made = Histogram()
    made.add(values)
    return made


@given(st.lists(st.floats(BOUNDS_MS[0], BOUNDS_MS[-1]), min_size=1, max_size=300))
def test_quantiles_are_within_a_bucket_of_the_truth(values: list[float]) -> None:
    found = histogram(values).quantiles()
    ordered = sorted(values)

    assert found is not None
    for told, rank in ((found.p50, 0.5), (found.p99, 0.99)):
        truth = ordered[max(0, -int(-rank * len(values) // 1) - 1)]
        assert truth / sqrt(2.0) - 0.001 <= told <= truth * sqrt(2.0) + 0.001
    assert found.p50 <= found.p99


@given(DURATIONS)
def test_each_value_is_in_the_bucket_whose_bounds_hold_it(values: list[float]) -> None:
    made = histogram(values)

    for bucket, count in enumerate(made.counts):
        lower = BOUNDS_MS[bucket - 1] if bucket else -1.0
        upper = BOUNDS_MS[bucket] if bucket < len(BOUNDS_MS) else float("inf")
        assert count == sum(lower < value <= upper for value in values)
    assert abs(made.sum_ms - sum(values)) < 1e-3


@given(DURATIONS, DURATIONS)
def test_what_came_since_a_copy_is_what_was_added(first: list[float], later: list[float]) -> None:
    made = histogram(first)
    copy = made.copy()
    made.add(later)

    since = made - copy
    assert since.counts == histogram(later).counts
    assert (copy + since).counts == made.counts
    assert sum(since.counts) == len(later)


def test_an_empty_one_has_no_quantiles_and_one_that_is_beyond_all_bounds_has() -> None:
    assert Histogram().quantiles() is None
    beyond = histogram([1e9]).quantiles()
    assert beyond is not None and beyond.p99 <= BOUNDS_MS[-1]


def test_every_other_bound_is_ten_milliseconds_doubled_or_halved() -> None:
    assert [round(bound, 9) for bound in BOUNDS_MS[::2]] == [round(10 * 2.0**n, 9) for n in range(-10, 18)]
