"""What one request may still try: standings only rise, but by a backoff or when other accounts are let in."""

from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.failure import MEANINGS, Effect, Failure, FailureKind, most_telling
from domain.retry import GRACE_S, RECALL_AFTER_S, RetryBudget, RetryPolicy, first_sign_by, time_limit
from domain.retry_state import MAX_UNKNOWN, RetryState, Standing

START = RetryState(60.0, inf, 30.0)
IDS = st.sampled_from(["e1", "e2", "e3", "e4"])
KINDS = st.sampled_from(FailureKind)
FAILURES = st.builds(Failure, KINDS, disowns=st.booleans())
SECONDS = st.floats(0, 1e6)

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("fail"), IDS, FAILURES),
        st.tuples(st.just("deny"), st.sets(IDS), st.none()),
        st.tuples(st.just("back off"), st.none(), st.none()),
        st.tuples(st.just("let in"), st.none(), st.none()),
    ),
    max_size=12,
)


def after(state: RetryState, step: tuple[str, object, object]) -> RetryState:
    match step:
        case ("fail", str(endpoint), Failure() as failure):
            return state.after_failure(endpoint, failure)
        case ("deny", set(siblings), _):
            return state.after_denial(siblings)
        case ("back off", _, _):
            return state.after_backoff()
        case _:
            return state.let_in()


@given(out=st.sets(IDS), steps=STEPS)
def test_whatever_comes_who_is_barred_is_passed_over_and_who_is_passed_over_was_tried(
    out: set[str], steps: list[tuple[str, object, object]]
) -> None:
    state = START.without(out)
    for step in steps:
        state = after(state, step)

        assert set(state.out) <= set(state.barred) <= set(state.passed_over) <= set(state.tried)


@given(out=st.sets(IDS), steps=STEPS)
def test_no_standing_sinks_but_by_a_backoff_or_when_others_are_let_in(
    out: set[str], steps: list[tuple[str, object, object]]
) -> None:
    states = [START.without(out)]
    for step in steps:
        states.append(after(states[-1], step))

    for (before, then), (what, _, _) in zip(pairwise(states), steps, strict=True):
        sunk = {name for name, its in before.standings.items() if then.standings.get(name, 0) < its}
        if what == "back off":
            assert sunk == set(before.passed_over) - set(before.barred)
        elif what == "let in":
            assert sunk == set(before.out)
        else:
            assert not sunk


@given(kind=KINDS)
def test_after_a_failure_an_endpoint_stands_as_the_table_of_failures_says(kind: FailureKind) -> None:
    state = START.after_failure("e1", Failure(kind))
    meaning = MEANINGS[kind]

    assert ("e1" in state.tried) == (meaning.effect is not Effect.CLOCK)
    assert ("e1" in state.barred) == (not meaning.same_endpoint)
    assert state.failures == (Failure(kind),)


def test_a_backoff_opens_what_failed_and_not_what_cannot_do_better() -> None:
    state = START.after_failure("e1", Failure(FailureKind.RESET)).after_failure("e2", Failure(FailureKind.AUTH))
    assert set(state.passed_over) == {"e1", "e2"}

    waited = state.after_backoff()

    assert (set(waited.passed_over), set(waited.tried), waited.backoffs) == ({"e2"}, {"e1", "e2"}, 1)
    assert waited.may_back_off(RetryPolicy(num_retries=2))
    assert not waited.may_back_off(RetryPolicy(num_retries=1))
    assert not START.after_failure("e2", Failure(FailureKind.AUTH)).may_back_off(RetryPolicy())


def test_what_an_account_denies_costs_no_attempt_and_lets_others_in() -> None:
    state = START.without({"e1"}).after_failure("e2", Failure(FailureKind.STATE)).let_in().after_denial({"e2", "e3"})

    assert (set(state.tried), state.is_search) == ({"e2", "e3"}, True)
    assert state.may_go_on(RetryPolicy(num_retries=0))


@given(unknown=st.integers(0, 4), others=st.integers(0, 4), retries=st.integers(0, 6))
def test_attempts_are_bounded_and_those_of_unknown_cause_more_so(unknown: int, others: int, retries: int) -> None:
    state = START
    for kind in [FailureKind.UNKNOWN] * unknown + [FailureKind.RESET] * others:
        state = state.after_failure("e1", Failure(kind))

    assert state.may_go_on(RetryPolicy(num_retries=retries)) == (unknown + others <= retries and unknown < MAX_UNKNOWN)
    assert state.is_unexplained == (unknown > 0 and others == 0)


@given(now=st.floats(0, 70), patience_ends=st.floats(0, 70))
def test_its_keeper_is_asked_again_twice_and_only_where_the_answer_may_still_be_of_use(
    now: float, patience_ends: float
) -> None:
    state, delays = RetryState(60.0, patience_ends, 30.0), []
    while (delay_s := state.recall_after_s(now)) is not None:
        delays.append(delay_s)
        state = state.after_recall()

    assert delays == [d for d in RECALL_AFTER_S if now + d < min(60.0, patience_ends)][: len(delays)]
    assert (len(delays) == len(RECALL_AFTER_S)) == (now + max(RECALL_AFTER_S) < min(60.0, patience_ends))


@given(tokens=st.floats(-10, 10), is_allowed=st.booleans())
def test_a_retry_on_credit_is_one_that_is_allowed_though_nothing_is_saved_up(tokens: float, is_allowed: bool) -> None:
    state = START.after_asking(RetryBudget(tokens), is_allowed=is_allowed)

    assert (state.is_retrying, state.is_refused) == (is_allowed, not is_allowed)
    assert state.on_credit == (is_allowed and tokens < 1)
    assert not state.after_failure("e1", Failure(FailureKind.RESET)).is_retrying


@given(now=SECONDS, left=st.floats(0.001, 1e4))
def test_half_of_the_time_is_left_to_another_endpoint(now: float, left: float) -> None:
    by = first_sign_by(now, now + left)

    assert now < by < now + left
    assert by - now == pytest.approx(now + left - by, abs=1e-6)
    assert first_sign_by(now, now - left) == inf


@given(now=SECONDS, deadline=SECONDS, sign_by=SECONDS | st.just(inf), first_byte_s=st.floats(0.01, 1e4))
def test_the_first_of_three_limits_ends_an_attempt_and_gives_its_name(
    now: float, deadline: float, sign_by: float, first_byte_s: float
) -> None:
    until, late = time_limit(now, deadline, sign_by, first_byte_s)
    limits = {
        FailureKind.DEADLINE: deadline,
        FailureKind.SLOW: sign_by,
        FailureKind.FIRST_BYTE_TIMEOUT: now + first_byte_s + GRACE_S,
    }

    assert until == min(limits.values()) == limits[late]


@given(failures=st.lists(FAILURES, min_size=1, max_size=6))
def test_of_several_failures_the_most_telling_is_told(failures: list[Failure]) -> None:
    told = failures[most_telling(failures)]
    last = failures[-1]
    asked = [failure for failure in failures if not failure.disowns]

    if asked and {failure.kind for failure in asked} == {FailureKind.STATE}:
        assert told is asked[-1]
    elif last.kind is FailureKind.CLIENT:
        assert told is last
    elif FailureKind.UNKNOWN in {failure.kind for failure in failures}:
        assert told.kind is FailureKind.UNKNOWN
    elif told is not last:
        assert not told.meaning.relayed
    if told.meaning.relayed and told.kind not in (FailureKind.UNKNOWN, FailureKind.CLIENT, FailureKind.STATE):
        assert all(f.meaning.relayed for f in failures) or not last.meaning.next_endpoint


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        (("connection_reset", "model_not_found"), 0),
        (("model_not_found", "connection_reset"), 1),
        (("model_not_found", "quota_exhausted"), 1),
        (("unknown_error", "connection_reset"), 0),
        (("connection_reset", "client_error"), 1),
        (("connection_reset", "deadline_exceeded"), 1),
        (("state_elsewhere", "state_elsewhere"), 1),
    ],
)
def test_one_endpoints_own_refusal_speaks_for_all_only_when_all_refuse(kinds: tuple[str, ...], told: int) -> None:
    assert most_telling([Failure(FailureKind(kind)) for kind in kinds]) == told


def test_standings_are_in_the_order_of_their_finality() -> None:
    assert sorted(Standing) == [Standing.FAILED, Standing.PASSED_OVER, Standing.BARRED, Standing.OUT]
