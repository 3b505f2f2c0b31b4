"""Backoff, the retry budget and the 429 clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.failure import MEANINGS, Effect, Failure, FailureKind
from domain.rate_limit.throttle import MAX_DELAY_S, MIN_DELAY_S, UNLIMITED
from domain.retry import RetryPolicy

POLICY = RetryPolicy()


@given(st.integers(0, 10_000), st.floats(0, 0.999999))
def test_backoff_has_full_jitter_below_an_exponential_cap(backoffs: int, draw: float) -> None:
    assert 0 <= POLICY.backoff_s(backoffs, draw) < min(8.0, 0.5 * 2 ** min(backoffs, 32))


def test_backoff_doubles_from_half_a_second_to_eight() -> None:
    assert [POLICY.backoff_s(n, 1.0) for n in range(6)] == [0.5, 1, 2, 4, 8, 8]


@given(st.integers(0, 500), st.integers(3, 50))
def test_in_an_outage_retries_are_a_fifth_of_the_requests_and_what_was_saved_up(requests: int, retrying: int) -> None:
    budget, retries = POLICY.full_budget, 0
    for _ in range(requests):
        budget = budget.after_request(POLICY)
        while budget.allows(POLICY, retrying):
            budget, retries = budget.after_retry(POLICY), retries + 1

    assert retries <= 0.2 * requests + POLICY.budget_burst


def test_a_tenth_of_requests_failing_once_is_always_within_the_budget() -> None:
    budget = POLICY.full_budget
    for number in range(1000):
        budget = budget.after_request(POLICY)
        if number % 10 == 0:
            assert budget.allows(POLICY, retrying=100)
            budget = budget.after_retry(POLICY)


def test_three_requests_may_retry_at_a_time_however_bad_the_times() -> None:
    budget = POLICY.full_budget
    for _ in range(100):
        budget = budget.after_retry(POLICY)

    assert budget.allows(POLICY, retrying=2)
    assert not budget.allows(POLICY, retrying=3)


def test_the_debt_of_an_outage_is_paid_back_within_a_hundred_and_ten_requests() -> None:
    budget = POLICY.full_budget
    for _ in range(10_000):
        budget = budget.after_retry(POLICY)
    for _ in range(110):
        budget = budget.after_request(POLICY)

    assert budget.allows(POLICY, retrying=100)


def test_num_retries_counts_the_attempts_after_the_first() -> None:
    assert RetryPolicy(num_retries=0).max_attempts == 1
    assert RetryPolicy(num_retries=3).max_attempts == 4


@given(st.one_of(st.none(), st.floats(-1e9, 1e9)), st.floats(0, 1e6))
def test_a_clock_never_runs_longer_than_five_minutes_nor_shorter_than_a_quarter_second(
    delay_s: float | None, now: float
) -> None:
    wait_s = UNLIMITED.after_limit(delay_s, now, now).wait_s(now)

    assert MIN_DELAY_S * 0.999 <= wait_s <= MAX_DELAY_S * 1.001


def test_limits_without_a_delay_double_from_one_second_to_sixty() -> None:
    clock, now, waits = UNLIMITED, 0.0, []
    for _ in range(8):
        clock = clock.after_limit(None, now, now)
        waits.append(clock.wait_s(now))
        now = clock.until

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_replies_to_requests_in_flight_together_double_once() -> None:
    clock = UNLIMITED
    for _ in range(20):
        clock = clock.after_limit(None, started=0.0, now=5.0)

    assert clock.wait_s(5.0) == 1


def test_a_success_forgets_the_doubling_but_not_the_running_clock() -> None:
    clock = UNLIMITED.after_limit(None, 0, 0).after_limit(None, 1, 1).after_success(1)

    assert clock.wait_s(1) == 2
    assert clock.after_limit(None, 3, 3).wait_s(3) == 1


def test_a_shorter_delay_does_not_shorten_a_running_clock() -> None:
    assert UNLIMITED.after_limit(30, 0, 0).after_limit(1, 0, 0).wait_s(0) == 30


def test_every_kind_of_failure_has_a_meaning() -> None:
    assert set(MEANINGS) == set(FailureKind)


def test_a_rate_limit_is_never_held_against_the_health() -> None:
    assert Failure(FailureKind.RATE_LIMITED).meaning.effect is Effect.CLOCK


@pytest.mark.parametrize("kind", [FailureKind.CLIENT, FailureKind.DEADLINE])
def test_what_the_client_caused_has_no_effect_and_is_tried_nowhere_else(kind: FailureKind) -> None:
    meaning = Failure(kind).meaning

    assert meaning.effect is Effect.NONE
    assert not meaning.next_endpoint
