"""Cooling, half-open, probing, ramping."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from domain.cooldown import FRESH, RAMP_END, CooldownPolicy, EndpointHealth, HealthState

POLICY = CooldownPolicy(allowed_fails=3, cooldown_s=60)
MIDDLE = 0.5
"""A draw that makes the jitter 0."""


def failed(policy: CooldownPolicy, times: int, now: float, health: EndpointHealth = FRESH) -> EndpointHealth:
    for _ in range(times):
        health = policy.after_failure(health, now, now, MIDDLE)
    return health


def test_the_third_failure_in_a_row_cools_for_cooldown_time() -> None:
    two = failed(POLICY, 2, now=10)
    three = failed(POLICY, 3, now=10)

    assert two.state(10) is HealthState.CLOSED
    assert three.state(69.9) is HealthState.COOLING
    assert three.state(70) is HealthState.HALF_OPEN


def test_a_success_between_failures_starts_the_count_again() -> None:
    health = POLICY.after_success(failed(POLICY, 2, now=10), 10)

    assert failed(POLICY, 2, now=11, health=health).state(11) is HealthState.CLOSED


def test_one_allowed_failure_means_that_the_first_cools() -> None:
    assert failed(CooldownPolicy(allowed_fails=1), 1, now=0).state(1) is HealthState.COOLING


@pytest.mark.parametrize(("draw", "until"), [(0.0, 54.0), (0.5, 60.0), (0.999999, 66.0)])
def test_jitter_is_ten_percent_either_way(draw: float, until: float) -> None:
    health = CooldownPolicy(cooldown_s=60).after_failure(FRESH, 0, 0, draw)

    assert health.open_until == pytest.approx(until, abs=0.001)


def test_after_the_cooldown_one_probe_goes_and_no_second() -> None:
    health = failed(POLICY, 3, now=0)

    assert health.admits(60, 0)
    probing = POLICY.after_start(health, 60)
    assert not probing.admits(61, 1)
    assert probing.state(61) is HealthState.PROBING


def test_a_lost_probe_blocks_no_longer_than_its_lease() -> None:
    probing = POLICY.after_start(failed(POLICY, 3, now=0), 60)

    assert probing.admits(60 + POLICY.probe_lease_s, 0)


def test_a_probe_whose_client_left_gives_its_lease_back() -> None:
    probing = POLICY.after_start(failed(POLICY, 3, now=0), 60)

    assert POLICY.after_abandon(probing, probing.probe_until).admits(61, 0)
    assert not POLICY.after_abandon(probing, 59.0).admits(61, 0), "another's lease is not for it to give back"


def test_a_probe_that_succeeds_closes_and_the_ramp_doubles_to_no_limit() -> None:
    health = POLICY.after_success(POLICY.after_start(failed(POLICY, 3, now=0), 60), 60)
    limits = []
    while health.ramp:
        limits.append(health.ramp)
        assert health.admits(61, health.ramp - 1)
        assert not health.admits(61, health.ramp)
        health = POLICY.after_success(health, 61)

    assert limits == [1, 2, 4, 8, 16, 32]
    assert health == FRESH
    assert limits[-1] * 2 == RAMP_END


def test_each_probe_that_fails_doubles_the_cooldown_up_to_five_minutes() -> None:
    health, now, lengths = failed(POLICY, 3, now=0), 0.0, []
    for _ in range(5):
        lengths.append(health.open_until - now)
        now = health.open_until
        health = POLICY.after_failure(POLICY.after_start(health, now), now, now, MIDDLE)

    assert lengths == [60, 120, 240, 300, 300]


def test_failures_of_what_was_in_flight_do_not_lengthen_a_cooldown() -> None:
    health = failed(POLICY, 3, now=10)

    assert POLICY.after_failure(health, 5, 12, MIDDLE) == health
    assert POLICY.after_failure(health, 11, 12, MIDDLE) == health, "nor do last resorts during it"


def test_a_late_success_from_before_the_cooldown_does_not_end_it() -> None:
    health = failed(POLICY, 3, now=10)

    assert POLICY.after_success(health, 9) == health
    assert POLICY.after_success(health, 11).state(12) is HealthState.CLOSED


def test_a_fault_cools_at_once_for_five_minutes() -> None:
    assert POLICY.after_fault(FRESH, 0).state(299) is HealthState.COOLING


def test_a_cooldown_longer_than_five_minutes_may_be_configured() -> None:
    health = CooldownPolicy(cooldown_s=900).after_failure(FRESH, 0, 0, MIDDLE)

    assert health.open_until == 900


@pytest.mark.parametrize("wrong", [{"allowed_fails": 0}, {"cooldown_s": 0}])
def test_senseless_policies_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="allowed_fails"):
        CooldownPolicy(**wrong)


class AnyHistory(RuleBasedStateMachine):
    """Requests start, end well, badly or not at all, in any order; time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = CooldownPolicy(allowed_fails=2, cooldown_s=10, probe_lease_s=20)
        self.health = FRESH
        self.now = 100.0
        self.running: list[tuple[float, float]] = []

    @rule(seconds=st.floats(0, 400))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_request_starts_if_admitted(self) -> None:
        if self.health.admits(self.now, len(self.running)):
            before = self.health
            self.health = self.policy.after_start(self.health, self.now)
            self.running.append((self.now, self.health.probe_until if self.health is not before else 0.0))

    @precondition(lambda self: self.running)
    @rule(
        which=st.integers(0, 50),
        outcome=st.sampled_from(["success", "failure", "fault", "left"]),
        draw=st.floats(0, 0.99),
    )
    def a_request_ends(self, which: int, outcome: str, draw: float) -> None:
        started, probe_until = self.running.pop(which % len(self.running))
        if outcome == "success":
            self.health = self.policy.after_success(self.health, started)
        elif outcome == "failure":
            self.health = self.policy.after_failure(self.health, started, self.now, draw)
        elif outcome == "fault":
            self.health = self.policy.after_fault(self.health, self.now)
        elif probe_until:
            self.health = self.policy.after_abandon(self.health, probe_until)

    @invariant()
    def no_cooldown_is_longer_than_five_minutes(self) -> None:
        assert self.health.open_until <= self.now + 300

    @invariant()
    def it_always_comes_back(self) -> None:
        later = max(self.health.open_until, self.health.probe_until, self.now)

        assert self.health.admits(later, 0)

    @invariant()
    def while_it_cools_nothing_is_admitted(self) -> None:
        if self.now < self.health.open_until:
            assert not self.health.admits(self.now, 0)


TestAnyHistory = AnyHistory.TestCase


@given(st.floats(0, 1e6), st.floats(0, 0.999))
def test_the_same_draw_gives_the_same_cooldown(now: float, draw: float) -> None:
    assert POLICY.after_failure(FRESH, now, now, draw) == POLICY.after_failure(FRESH, now, now, draw)
