"""Cooling, half-open, probing, ramping."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import structs

from domain.health.cooldown import FRESH, NO_CHANCE_S, RAMP_END, CooldownPolicy, EndpointHealth, HealthState
from domain.health.cooldown_report import NO_COOLDOWN, CooldownReport
from domain.replica_moments import SKEW_S

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

    assert health.admits(60)
    probing = POLICY.after_start(health, 60)
    assert not probing.admits(61)
    assert probing.state(61) is HealthState.PROBING


def test_a_lost_probe_blocks_no_longer_than_its_lease() -> None:
    probing = POLICY.after_start(failed(POLICY, 3, now=0), 60)

    assert probing.admits(60 + POLICY.probe_lease_s)


def test_a_probe_whose_client_left_gives_its_lease_back() -> None:
    probing = POLICY.after_start(failed(POLICY, 3, now=0), 60)

    assert POLICY.after_abandon(probing, probing.probe_until).admits(61)
    assert not POLICY.after_abandon(probing, 59.0).admits(61), "another's lease is not for it to give back"


def test_a_probe_that_succeeds_closes_and_the_ramp_doubles_to_no_limit() -> None:
    health = POLICY.after_success(POLICY.after_start(failed(POLICY, 3, now=0), 60), 60)
    limits = []
    while health.ramp:
        limits.append(health.ramp)
        for _ in range(health.ramp):
            assert health.admits(61)
            health = POLICY.after_start(health, 61)
        assert not health.admits(61)
        for _ in range(health.on_trial):
            health = POLICY.after_trial(health)
        health = POLICY.after_success(health, 61)

    assert limits == [1, 2, 4, 8, 16, 32]
    assert health == EndpointHealth(closed_at=60)
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


def test_nothing_is_told_of_an_endpoint_that_never_cooled() -> None:
    assert POLICY.report(failed(POLICY, 2, now=10)) is NO_COOLDOWN


def test_a_cooldown_and_the_recovery_that_ends_it_are_told() -> None:
    cooling = failed(POLICY, 3, now=10)
    probing = POLICY.after_start(cooling, 70)
    closed = POLICY.after_success(probing, 70)
    cooling_again = failed(POLICY, 3, now=80, health=POLICY.after_success(closed, 75))

    assert POLICY.report(cooling) == POLICY.report(probing) == CooldownReport(10, 70, 60)
    assert POLICY.report(closed) == CooldownReport(closed_at=70)
    assert POLICY.report(cooling_again) == CooldownReport(80, 140, 60, closed_at=70)
    assert POLICY.report(POLICY.after_fault(closed, 90)) == CooldownReport(90, 390, 300, closed_at=70)


def test_when_it_recovered_is_remembered_whatever_comes_next() -> None:
    health = POLICY.after_success(failed(POLICY, 3, now=10), 15)
    for _ in range(8):
        health = POLICY.after_success(failed(POLICY, 1, now=20, health=health), 20)

    assert health == EndpointHealth(closed_at=15)


def test_another_replicas_cooldown_is_kept_as_if_it_were_ours() -> None:
    told = POLICY.report(failed(POLICY, 3, now=10))
    health = POLICY.after_report(FRESH, told, 10.1)

    assert health.state(69.9) is HealthState.COOLING
    assert health.admits(70)
    assert not POLICY.after_start(health, 70).admits(71)
    assert POLICY.after_failure(POLICY.after_start(health, 70), 70, 71, MIDDLE).cooldown_s == 120


def test_what_another_replica_told_is_not_told_on() -> None:
    heard = POLICY.after_report(FRESH, CooldownReport(10, 70, 60), 11)
    recovered = POLICY.after_report(heard, CooldownReport(closed_at=20), 21)

    assert POLICY.report(heard) is NO_COOLDOWN
    assert POLICY.report(recovered) is NO_COOLDOWN
    assert POLICY.report(POLICY.after_success(heard, 30)) == CooldownReport(closed_at=30)
    assert POLICY.report(POLICY.after_failure(heard, 70, 71, MIDDLE)).open_until == 71 + 120, "its own probe found that"


@pytest.mark.parametrize(
    "health",
    [
        FRESH,
        failed(POLICY, 3, now=10),
        POLICY.after_start(failed(POLICY, 3, now=10), 70),
        POLICY.after_success(failed(POLICY, 3, now=10), 15),
        POLICY.after_fault(POLICY.after_success(failed(POLICY, 3, now=10), 15), 50),
    ],
)
@pytest.mark.parametrize("late_s", [0.0, 0.2])
def test_an_echo_of_own_news_changes_nothing(health: EndpointHealth, late_s: float) -> None:
    assert POLICY.after_report(health, POLICY.report(health).shifted(late_s), 72) is health


def test_an_endpoint_that_recovered_elsewhere_is_closed_and_ramps() -> None:
    health = POLICY.after_report(failed(POLICY, 3, now=10), CooldownReport(closed_at=20), 21)

    assert health == EndpointHealth(ramp=1, closed_at=20, closed_elsewhere=True)


def test_a_recovery_from_before_the_cooldown_does_not_end_it() -> None:
    health = POLICY.after_report(failed(POLICY, 3, now=10), CooldownReport(closed_at=9), 21)

    assert health.state(21) is HealthState.COOLING


def test_old_news_does_not_reopen_what_was_closed_since() -> None:
    told = CooldownReport(10, 310, 300)
    closed_here = POLICY.after_success(failed(POLICY, 3, now=10), 20)
    closed_elsewhere = POLICY.after_report(FRESH, CooldownReport(closed_at=20), 21)

    assert POLICY.after_report(closed_here, told, 22) is closed_here
    assert POLICY.after_report(closed_elsewhere, told, 22) is closed_elsewhere
    assert POLICY.after_report(FRESH, told.merged(CooldownReport(closed_at=20)), 22).state(22) is HealthState.CLOSED
    assert POLICY.after_report(closed_here, told.shifted(10 + SKEW_S), 22) is closed_here, "though it came late"
    assert POLICY.after_report(closed_here, CooldownReport(21, 81, 60), 22).state(22) is HealthState.COOLING


def test_what_went_well_here_since_outweighs_what_failed_elsewhere_before() -> None:
    told = CooldownReport(10, 70, 60)

    assert POLICY.after_report(FRESH, told, 30, well_at=10) is FRESH
    assert POLICY.after_report(FRESH, told, 30, well_at=9.9).state(30) is HealthState.COOLING


def test_a_longer_cooldown_from_elsewhere_takes_the_lease_of_a_running_probe() -> None:
    probing = POLICY.after_start(failed(POLICY, 3, now=0), 60)
    health = POLICY.after_report(probing, CooldownReport(61, 181, 120), 61.1)

    assert health.state(62) is HealthState.COOLING
    assert POLICY.after_success(health, 60) is health, "the probe was sent before"
    assert health.admits(181)


def test_a_shorter_cooldown_from_elsewhere_changes_nothing() -> None:
    health = POLICY.after_fault(FRESH, 0)

    assert POLICY.after_report(health, CooldownReport(10, 70, 60), 11) is health


def test_a_cooldown_that_is_over_already_leaves_the_endpoint_to_be_probed() -> None:
    health = POLICY.after_report(FRESH, CooldownReport(-100, -40, 60), 5)

    assert health.state(5) is HealthState.HALF_OPEN


def test_a_cooldown_from_elsewhere_lasts_no_longer_than_one_of_ours_could() -> None:
    health = POLICY.after_report(FRESH, CooldownReport(10, 1e6, 1e6), 20)

    assert (health.open_until, health.cooldown_s) == (310, 300)
    assert POLICY.after_report(health, CooldownReport(10, 1e6, 1e6), 200) is health, "nor longer for being told again"
    assert POLICY.after_report(FRESH, CooldownReport(10.2, 1e6, 1e6), 10).open_until == 310, (
        "nor for clocks that differ"
    )


def test_a_recovery_ends_two_cooldowns_only_if_it_came_after_both_had_begun() -> None:
    both = POLICY.after_report(failed(POLICY, 3, now=200), CooldownReport(100, 400, 300), 201)

    assert both.open_until == 400
    assert POLICY.after_report(both, CooldownReport(closed_at=150), 201) == structs.replace(
        both, closed_at=150, closed_elsewhere=True
    )
    assert POLICY.after_report(both, CooldownReport(closed_at=200), 201).state(201) is HealthState.CLOSED


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    "report",
    [
        CooldownReport(NAN, 70, 60),
        CooldownReport(10, NAN, 60),
        CooldownReport(-INFINITY, INFINITY, 60),
        CooldownReport(None, 70, 60),
        CooldownReport(10, None, 60),
        CooldownReport(10, 5, 60),
        CooldownReport(20 + 2 * SKEW_S, 80, 60),
        CooldownReport(closed_at=NAN),
        CooldownReport(closed_at=INFINITY),
        CooldownReport(closed_at=1e6),
    ],
)
def test_a_report_that_cannot_be_true_changes_nothing(report: CooldownReport) -> None:
    cooling = failed(POLICY, 3, now=0)

    assert POLICY.after_report(FRESH, report, 20) is FRESH
    assert POLICY.after_report(cooling, report, 20).open_until <= 20 + 300
    assert POLICY.after_report(cooling, report, 20).closed_at == FRESH.closed_at


MOMENTS = st.one_of(st.none(), st.floats(-1000, 1000), st.sampled_from([NAN, INFINITY, -INFINITY]))
LENGTHS = st.one_of(st.floats(0, 1e6), st.sampled_from([NAN, INFINITY, -1.0]))
REPORTS = st.builds(CooldownReport, MOMENTS, MOMENTS, LENGTHS, MOMENTS)


@given(st.lists(REPORTS, max_size=4), REPORTS)
def test_a_report_that_comes_twice_changes_nothing_the_second_time(
    before: list[CooldownReport], report: CooldownReport
) -> None:
    health = FRESH
    for told in before:
        health = POLICY.after_report(health, told, 100)
    health = POLICY.after_report(health, report, 100)

    assert POLICY.after_report(health, report, 100) is health


class AnyHistory(RuleBasedStateMachine):
    """Requests start, end well, badly or not at all, in any order; time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = CooldownPolicy(allowed_fails=2, cooldown_s=10, probe_lease_s=20)
        self.health = FRESH
        self.now = 100.0
        self.running: list[tuple[float, float, bool]] = []

    @rule(seconds=st.floats(0, 400))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_request_starts_if_admitted(self) -> None:
        if self.health.admits(self.now):
            before = self.health
            self.health = health = self.policy.after_start(before, self.now)
            probe_until = health.probe_until if health.probe_until != before.probe_until else 0.0
            self.running.append((self.now, probe_until, health.on_trial > before.on_trial))

    @rule(report=REPORTS, well_ago_s=st.floats(0, 500))
    def another_replica_tells(self, report: CooldownReport, well_ago_s: float) -> None:
        self.health = self.policy.after_report(self.health, report.shifted(self.now), self.now, self.now - well_ago_s)

    @precondition(lambda self: self.running)
    @rule(
        which=st.integers(0, 50),
        outcome=st.sampled_from(["success", "failure", "fault", "left"]),
        draw=st.floats(0, 0.99),
    )
    def a_request_ends(self, which: int, outcome: str, draw: float) -> None:
        started, probe_until, is_on_trial = self.running.pop(which % len(self.running))
        if is_on_trial:
            self.health = self.policy.after_trial(self.health)
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
    def those_on_trial_are_counted_and_no_more_than_the_ramp_lets_in(self) -> None:
        assert self.health.on_trial == sum(is_on_trial for _, _, is_on_trial in self.running)
        if self.health.ramp and self.health.on_trial > self.health.ramp:
            assert not self.health.admits(self.now)

    @invariant()
    def it_always_comes_back(self) -> None:
        """As soon as those on trial are answered, where it ramps."""
        later = max(self.health.open_until, self.health.probe_until, self.now)

        assert self.health.admits(later) or self.health.on_trial >= self.health.ramp > 0
        assert self.health.opens_in_s(later) in (0.0, NO_CHANCE_S)

    @invariant()
    def what_is_settled_is_changed_by_nothing_that_goes_well(self) -> None:
        if self.health.is_settled:
            assert self.health.admits(self.now)
            assert self.policy.after_start(self.health, self.now) is self.health
            assert self.policy.after_success(self.health, self.now) is self.health

    @invariant()
    def while_it_cools_nothing_is_admitted(self) -> None:
        if self.now < self.health.open_until:
            assert not self.health.admits(self.now)


TestAnyHistory = AnyHistory.TestCase


@given(st.floats(0, 1e6), st.floats(0, 0.999))
def test_the_same_draw_gives_the_same_cooldown(now: float, draw: float) -> None:
    assert POLICY.after_failure(FRESH, now, now, draw) == POLICY.after_failure(FRESH, now, now, draw)


def test_a_cooldown_that_began_right_after_a_recovery_is_news_when_one_replica_tells_of_both() -> None:
    policy = CooldownPolicy(cooldown_s=60)
    recovered = policy.after_report(EndpointHealth(opened_at=80, open_until=140), CooldownReport(closed_at=100), 100.1)
    again = CooldownReport(opened_at=100.05, open_until=160.05, cooldown_s=60, closed_at=100.001)

    assert recovered.state(100.2) is HealthState.CLOSED
    assert policy.after_report(recovered, again, 100.2).state(100.2) is HealthState.COOLING
    # Of another replica's moment, so near to our own recovery, nobody can say which came first.
    own = EndpointHealth(closed_at=100)
    assert policy.after_report(own, again, 100.2) is own
