"""Reports of replicas: merging is a join, and moments move together."""

from functools import reduce
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from domain.limit_terms import Reading
from domain.news import (
    COOLDOWN_TOLD_S,
    NO_COOLDOWN,
    NO_LIMIT,
    READING_TOLD_S,
    RECOVERY_TOLD_S,
    BucketNews,
    CooldownNews,
    ReadingNews,
    StateReport,
)

# Whole numbers, so that moving there and back is exact.
TIMES = st.one_of(st.none(), st.integers(-1000, 1000).map(float))
COUNTS = st.one_of(st.none(), st.integers(0, 50).map(float))
READINGS = st.builds(ReadingNews, st.builds(Reading, COUNTS, COUNTS, COUNTS), TIMES)
COOLDOWNS = st.builds(CooldownNews, TIMES, TIMES, st.integers(0, 300).map(float), TIMES)
BUCKETS = st.builds(BucketNews, TIMES, st.integers(0, 9), READINGS, READINGS)
REPORTS = st.builds(
    StateReport,
    st.dictionaries(st.sampled_from("ABC"), COOLDOWNS, max_size=3),
    st.dictionaries(st.sampled_from("xyz"), BUCKETS, max_size=3),
)


@given(st.lists(REPORTS, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_order_and_repetition_of_reports_do_not_matter(reports: list[StateReport], dice: Random) -> None:
    once = reduce(StateReport.merged, reports)
    again = reports * 2
    dice.shuffle(again)

    assert reduce(StateReport.merged, again) == once
    assert once.merged(once) == once


@given(REPORTS, REPORTS, REPORTS)
def test_grouping_of_reports_does_not_matter(one: StateReport, two: StateReport, three: StateReport) -> None:
    assert one.merged(two).merged(three) == one.merged(two.merged(three))


@given(REPORTS, REPORTS)
def test_nothing_is_lost_by_merging(one: StateReport, two: StateReport) -> None:
    merged = one.merged(two)

    assert merged.endpoints.keys() == one.endpoints.keys() | two.endpoints.keys()
    assert merged.buckets.keys() == one.buckets.keys() | two.buckets.keys()
    assert one.merged(merged) == merged == two.merged(merged)


@given(REPORTS, REPORTS, st.integers(-500, 500).map(float))
def test_reports_may_be_moved_before_they_are_merged_or_after(one: StateReport, two: StateReport, by_s: float) -> None:
    assert one.shifted(by_s).merged(two.shifted(by_s)) == one.merged(two).shifted(by_s)
    assert one.shifted(by_s).shifted(-by_s) == one


def test_two_cooldowns_reach_from_the_later_beginning_to_the_later_end() -> None:
    fault, failures = CooldownNews(100, 400, 300), CooldownNews(200, 260, 60, closed_at=150)

    assert fault.merged(failures) == CooldownNews(200, 400, 300, closed_at=150)


def test_of_two_clocks_the_later_end_counts_with_its_own_unexplained() -> None:
    assert BucketNews(100, 5).merged(BucketNews(101, 1)) == BucketNews(101, 1)
    assert BucketNews(100, 5).merged(BucketNews(100, 1)) == BucketNews(100, 5)


def test_of_two_readings_the_newer_counts() -> None:
    old, new = ReadingNews(Reading(100, 90), 5.0), ReadingNews(Reading(100, 3), 6.0)

    assert BucketNews(requests=old).merged(BucketNews(requests=new)) == BucketNews(requests=new)


def test_what_is_not_told_has_no_time_to_move() -> None:
    assert NO_COOLDOWN.shifted(5.0) == NO_COOLDOWN
    assert NO_LIMIT.shifted(5.0) == NO_LIMIT


LONGEST_S = 300.0


def test_a_cooldown_is_told_until_a_minute_after_its_end_and_a_recovery_for_ten() -> None:
    news = CooldownNews(100, 160, 60, closed_at=90)

    assert news.of_interest(160 + COOLDOWN_TOLD_S - 1, LONGEST_S) is news
    assert news.of_interest(160 + COOLDOWN_TOLD_S, LONGEST_S) == CooldownNews(closed_at=90)
    assert news.of_interest(90 + LONGEST_S + RECOVERY_TOLD_S, LONGEST_S) == NO_COOLDOWN
    assert CooldownNews(100, 5000, 4900, 90).of_interest(90 + LONGEST_S + RECOVERY_TOLD_S, LONGEST_S) == CooldownNews(
        100, 5000, 4900
    )


def test_a_clock_is_told_while_it_runs_and_a_reading_for_a_minute() -> None:
    tokens = ReadingNews(Reading(100, 3), 70.0)
    news = BucketNews(130, 2, ReadingNews(Reading(9, 1), 60.0), tokens)

    assert news.of_interest(119) == news
    assert news.of_interest(60 + READING_TOLD_S) == BucketNews(130, 2, tokens=tokens)
    assert news.of_interest(70 + READING_TOLD_S) == NO_LIMIT


@given(REPORTS)
def test_an_empty_report_changes_no_other(report: StateReport) -> None:
    assert report.merged(StateReport()) == report == StateReport().merged(report)
    assert StateReport().is_empty
