"""Reports of replicas: merging is a join, and moments move together."""

from functools import reduce
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from domain.health.cooldown_report import COOLDOWN_TOLD_S, NO_COOLDOWN, RECOVERY_TOLD_S, CooldownReport
from domain.rate_limit.limit_reading import Reading
from domain.rate_limit.limit_report import NO_LIMIT, READING_TOLD_S, BucketReport, ReadingReport
from domain.replica_report import ReplicaReport

# Whole numbers, so that moving there and back is exact.
TIMES = st.one_of(st.none(), st.integers(-1000, 1000).map(float))
COUNTS = st.one_of(st.none(), st.integers(0, 50).map(float))
READINGS = st.builds(ReadingReport, st.builds(Reading, COUNTS, COUNTS, COUNTS), TIMES)
COOLDOWNS = st.builds(CooldownReport, TIMES, TIMES, st.integers(0, 300).map(float), TIMES)
BUCKETS = st.builds(BucketReport, TIMES, st.integers(0, 9), READINGS, READINGS)
REPORTS = st.builds(
    ReplicaReport,
    st.dictionaries(st.sampled_from("ABC"), COOLDOWNS, max_size=3),
    st.dictionaries(st.sampled_from("xyz"), BUCKETS, max_size=3),
)


@given(st.lists(REPORTS, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_order_and_repetition_of_reports_do_not_matter(reports: list[ReplicaReport], dice: Random) -> None:
    once = reduce(ReplicaReport.merged, reports)
    again = reports * 2
    dice.shuffle(again)

    assert reduce(ReplicaReport.merged, again) == once
    assert once.merged(once) == once


@given(REPORTS, REPORTS, REPORTS)
def test_grouping_of_reports_does_not_matter(one: ReplicaReport, two: ReplicaReport, three: ReplicaReport) -> None:
    assert one.merged(two).merged(three) == one.merged(two.merged(three))


@given(REPORTS, REPORTS)
def test_nothing_is_lost_by_merging(one: ReplicaReport, two: ReplicaReport) -> None:
    merged = one.merged(two)

    assert merged.endpoints.keys() == one.endpoints.keys() | two.endpoints.keys()
    assert merged.buckets.keys() == one.buckets.keys() | two.buckets.keys()
    assert one.merged(merged) == merged == two.merged(merged)


@given(REPORTS, REPORTS, st.integers(-500, 500).map(float))
def test_reports_may_be_moved_before_they_are_merged_or_after(
    one: ReplicaReport, two: ReplicaReport, by_s: float
) -> None:
    assert one.shifted(by_s).merged(two.shifted(by_s)) == one.merged(two).shifted(by_s)
    assert one.shifted(by_s).shifted(-by_s) == one


def test_two_cooldowns_reach_from_the_later_beginning_to_the_later_end() -> None:
    fault, failures = CooldownReport(100, 400, 300), CooldownReport(200, 260, 60, closed_at=150)

    assert fault.merged(failures) == CooldownReport(200, 400, 300, closed_at=150)


def test_of_two_clocks_the_later_end_counts_with_its_own_unexplained() -> None:
    assert BucketReport(100, 5).merged(BucketReport(101, 1)) == BucketReport(101, 1)
    assert BucketReport(100, 5).merged(BucketReport(100, 1)) == BucketReport(100, 5)


def test_of_two_readings_the_newer_counts() -> None:
    old, new = ReadingReport(Reading(100, 90), 5.0), ReadingReport(Reading(100, 3), 6.0)

    assert BucketReport(requests=old).merged(BucketReport(requests=new)) == BucketReport(requests=new)


def test_what_is_not_told_has_no_time_to_move() -> None:
    assert NO_COOLDOWN.shifted(5.0) == NO_COOLDOWN
    assert NO_LIMIT.shifted(5.0) == NO_LIMIT


LONGEST_S = 300.0


def test_a_cooldown_is_told_until_a_minute_after_its_end_and_a_recovery_for_ten() -> None:
    report = CooldownReport(100, 160, 60, closed_at=90)

    assert report.of_interest(160 + COOLDOWN_TOLD_S - 1, LONGEST_S) is report
    assert report.of_interest(160 + COOLDOWN_TOLD_S, LONGEST_S) == CooldownReport(closed_at=90)
    assert report.of_interest(90 + LONGEST_S + RECOVERY_TOLD_S, LONGEST_S) == NO_COOLDOWN
    assert CooldownReport(100, 5000, 4900, 90).of_interest(
        90 + LONGEST_S + RECOVERY_TOLD_S, LONGEST_S
    ) == CooldownReport(100, 5000, 4900)


def test_a_clock_is_told_while_it_runs_and_a_reading_for_a_minute() -> None:
    tokens = ReadingReport(Reading(100, 3), 70.0)
    report = BucketReport(130, 2, ReadingReport(Reading(9, 1), 60.0), tokens)

    assert report.of_interest(119) == report
    assert report.of_interest(60 + READING_TOLD_S) == BucketReport(130, 2, tokens=tokens)
    assert report.of_interest(70 + READING_TOLD_S) == NO_LIMIT


@given(REPORTS)
def test_an_empty_report_changes_no_other(report: ReplicaReport) -> None:
    assert report.merged(ReplicaReport()) == report == ReplicaReport().merged(report)
    assert ReplicaReport().is_empty
