"""The breaker opens by its two rules and no other, and only a good probe closes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.circuit_breaker import Access, BreakerPolicy, BreakerState

POLICY = BreakerPolicy()
CLOSED = POLICY.after_probe(BreakerState(), 0.0, Access.ALL, "")

steps = st.tuples(
    st.sampled_from(["success", "failure", "failure", "busy", "opened", "no writes", "all", "reads", "none"]),
    st.floats(0, 3),
)


def taken(state: BreakerState, step: str, now: float) -> BreakerState:
    match step:
        case "success":
            return POLICY.after_success(state, now)
        case "failure":
            return POLICY.after_failure(state, now, "failed")
        case "busy":
            return POLICY.after_busy(state, now, "busy")
        case "opened":
            return POLICY.opened(state, now, "gone")
        case "no writes":
            return POLICY.without_writes(state, now, "full")
    return POLICY.after_probe(state, now, {"all": Access.ALL, "reads": Access.READS, "none": Access.NONE}[step], "bad")


@given(st.lists(steps, max_size=60))
def test_while_it_is_open_nothing_but_a_probe_lets_anything_in(sequence: list[tuple[str, float]]) -> None:
    state, now = BreakerState(), 0.0
    for step, seconds in sequence:
        now += seconds
        before, state = state, taken(state, step, now)

        if step not in ("all", "reads"):
            assert state.admits(write=True) <= before.admits(write=True)
            assert state.admits(write=False) <= before.admits(write=False)


@given(st.lists(steps, max_size=60))
def test_eras_change_when_what_may_be_asked_changes_and_only_then(sequence: list[tuple[str, float]]) -> None:
    state, now = BreakerState(), 0.0
    for step, seconds in sequence:
        now += seconds
        before, state = state, taken(state, step, now)

        assert (state.era != before.era) == (state.access is not before.access)
        assert (state.reason == "") == (state.access is Access.ALL)
        assert state.impaired_at <= now


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.01, 0.3, 1.0, 2.5, 7.0])), max_size=120))
def test_it_opens_exactly_by_five_in_a_row_or_half_of_twenty_in_five_seconds(ends: list[tuple[bool, float]]) -> None:
    state, now, history = CLOSED, 1000.0, list[tuple[int, bool]]()
    for failed, seconds in ends:
        now += seconds
        history.append((int(now), failed))
        state = taken(state, "failure" if failed else "success", now)

        recent = [bad for second, bad in history if second > int(now) - 5]
        in_a_row = len(history) >= 5 and all(bad for _, bad in history[-5:])
        half = failed and len(recent) >= 20 and sum(recent) >= 0.5 * len(recent)
        assert (state.access is Access.NONE) == (in_a_row or half)
        if state.access is Access.NONE:
            return


def test_half_the_operations_failing_opens_it_once_there_are_twenty() -> None:
    state = CLOSED
    for number in range(20):
        assert state.access is Access.ALL
        state = taken(state, "success" if number % 2 == 0 else "failure", 1.0 + number / 100)

    assert state.access is Access.NONE


def test_old_failures_are_forgotten() -> None:
    state = CLOSED
    for number in range(200):
        state = taken(state, "success" if number % 2 else "failure", float(number))

    assert state.access is Access.ALL
    assert len(state.seconds) == 5


def test_refused_writes_leave_reads_alone_and_are_no_failures() -> None:
    state = CLOSED
    for number in range(100):
        state = taken(state, "no writes", float(number))

    assert (state.access, state.reason) == (Access.READS, "full")
    assert state.admits(write=False)
    assert not state.admits(write=True)


def test_refused_writes_do_not_open_what_is_shut() -> None:
    assert taken(taken(CLOSED, "opened", 1.0), "no writes", 2.0).access is Access.NONE


def test_reads_alone_still_shut_by_failures() -> None:
    state = taken(CLOSED, "no writes", 1.0)
    for _ in range(5):
        state = taken(state, "failure", 2.0)

    assert (state.access, state.reason) == (Access.NONE, "failed")
    assert state.impaired_at == 1.0


def test_busy_counts_only_when_it_lasts_and_nothing_succeeds() -> None:
    state = CLOSED
    for number in range(100):
        state = taken(state, "busy", 10 + number / 100)
    assert state.access is Access.ALL
    state = taken(taken(state, "success", 11.0), "busy", 11.5)
    for number in range(99):
        state = taken(state, "busy", 11.5 + number / 100)
    assert state.access is Access.ALL

    for _ in range(5):
        state = taken(state, "busy", 12.5)

    assert state.access is Access.NONE


@given(st.integers(0, 1000), st.floats(0, 1, exclude_max=True))
def test_a_store_that_is_back_is_asked_within_two_seconds_after_any_outage(probes: int, dice: float) -> None:
    state = taken(CLOSED, "opened", 100.0)
    for _ in range(probes):
        state = taken(state, "none", 100.0)

    pause_s = POLICY.pause_s(state, lambda: dice)
    assert 0.2 <= pause_s <= 1.5


@pytest.mark.parametrize(("probes", "pause_s"), [(0, 0.25), (1, 0.5), (2, 1.0), (3, 1.25), (30, 1.25)])
def test_pauses_double_up_to_their_longest(probes: int, pause_s: float) -> None:
    state = taken(CLOSED, "opened", 100.0)
    for _ in range(probes):
        state = taken(state, "none", 100.0)

    assert POLICY.pause_s(state, lambda: 0.5) == pause_s


def test_one_that_fails_again_soon_is_not_asked_faster_than_before() -> None:
    state = taken(CLOSED, "opened", 100.0)
    for _ in range(3):
        state = taken(state, "none", 100.0)
    state = taken(state, "all", 101.0)

    assert POLICY.pause_s(taken(state, "opened", 102.0), lambda: 0.5) == 1.25
    assert POLICY.pause_s(taken(state, "opened", 112.0), lambda: 0.5) == 0.25


def test_one_that_refuses_writes_again_soon_is_left_alone_for_longer() -> None:
    state = taken(CLOSED, "no writes", 100.0)
    assert POLICY.pause_s(state, lambda: 0.5) == 0.25
    state = taken(state, "all", 101.0)

    assert POLICY.pause_s(taken(state, "no writes", 102.0), lambda: 0.5) == 10.0
    assert POLICY.pause_s(taken(state, "no writes", 112.0), lambda: 0.5) == 0.25


def test_a_rest_holds_until_the_next_probe_and_no_longer() -> None:
    state = POLICY.opened(CLOSED, 100.0, "may not", rest_s=30.0)
    assert POLICY.pause_s(state, lambda: 0.5) == 30.0

    state = taken(state, "none", 130.0)

    assert POLICY.pause_s(state, lambda: 0.5) == 0.5


def test_an_outage_lasts_from_the_first_refusal_to_the_probe_that_writes() -> None:
    state = taken(CLOSED, "no writes", 10.0)
    state = taken(state, "opened", 12.0)
    state = taken(state, "reads", 15.0)

    assert (state.access, state.impaired_at) == (Access.READS, 10.0)
    state = taken(state, "all", 20.0)
    assert (state.access, state.recovered_at, state.reason) == (Access.ALL, 20.0, "")
