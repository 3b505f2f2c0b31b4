"""What is said of an endpoint is what the pick goes by."""

from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from application.endpoints.endpoint_state import Lease
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.health.cooldown import CooldownPolicy
from domain.rate_limit.limit_reading import Reading, Readings
from domain.rate_limit.token_estimate import Demand
from domain.routing.affinity import Affinity
from domain.routing.availability import PICKED, Availability
from domain.routing.route_query import RouteQuery
from tests.fakes import FakeClock
from tests.picture import Picture

DEMAND = Demand(text_bytes=400, max_output_tokens=0)
"""100 tokens."""
QUERY = RouteQuery(DEMAND)


def endpoint(number: int, weight: int = 1, **more: int) -> Endpoint:
    return Endpoint(f"e{number}", "m", "openai", weight, f"b{number}", f"a{number}", **more)


class AnyPicture(RuleBasedStateMachine):
    """Whatever happens to the endpoints: the pick takes one of those that are said to be the best there are, and none
    where there is none."""

    @initialize(
        weights=st.lists(st.integers(0, 3), min_size=1, max_size=4),
        affinity=st.sampled_from(Affinity),
        tpm=st.sampled_from([None, 150, 5000]),
    )
    def begin(self, weights: list[int], affinity: Affinity, tpm: int | None) -> None:
        self.clock = FakeClock()
        endpoints = tuple(endpoint(i, weight) for i, weight in enumerate(weights))
        limited = Endpoint("limited", "m", "azure", 1, "b0", "a0", tpm=tpm)
        self.group = ModelGroup("g", (*endpoints, limited), CooldownPolicy(allowed_fails=2), affinity=affinity)
        self.picture = Picture([self.group], self.clock)
        self.running: list[Lease] = []

    @rule(seconds=st.sampled_from([0.0, 0.3, 5.0, 61.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(
        tried=st.sets(st.integers(0, 4), max_size=2),
        size=st.sampled_from([0, 400, 40_000]),
        affinity=st.sampled_from(["", "k"]),
    )
    def a_request_comes(self, tried: set[int], size: int, affinity: str) -> None:
        passed_over = {e.id for i, e in enumerate(self.group.endpoints) if i in tried}
        query, now = RouteQuery(Demand(size, 0, 0), affinity=affinity), self.clock.now()
        said = self.picture.pool.availabilities(self.group, query, passed_over, now)
        again = self.picture.pool.availabilities(self.group, query, passed_over, now)
        lease = self.picture.pool.pick(self.group, query, passed_over, now)

        best = next((each for each in PICKED if each in said), None)
        taken = None if lease is None else said[self.group.endpoints.index(lease.endpoint)]
        assert said == again
        assert taken is best
        weights = self.group.weights()
        assert all(weights[i] for i, each in enumerate(said) if each is Availability.READY)
        assert not any(weights[i] for i, each in enumerate(said) if each is Availability.FALLBACK)
        if lease is not None:
            self.running.append(lease)

    @rule(which=st.integers(0, 4), withheld=st.booleans())
    def a_credential_goes_or_comes(self, which: int, withheld: bool) -> None:
        self.picture.pool.withhold((self.group.endpoints[which % len(self.group.endpoints)].id,), withheld)

    @precondition(lambda self: self.running)
    @rule(
        which=st.integers(0, 50),
        end=st.sampled_from(["answer", "failure", "limit", "left"]),
        remaining=st.sampled_from([0, 1, 2, 90, 150, 1000]),
    )
    def a_request_ends(self, which: int, end: str, remaining: int) -> None:
        lease = self.running.pop(which % len(self.running))
        if end in ("answer", "limit"):
            told = Reading(1000, remaining, (1000 - remaining) * 0.05)
            self.picture.replied(lease, Readings(Reading(20, min(20, remaining), 30.0), told))
        if end == "answer":
            self.picture.succeeded(lease)
        elif end == "limit":
            self.picture.failed(lease, Failure(FailureKind.RATE_LIMITED, retry_after_s=2.0))
        elif end == "failure":
            self.picture.failed(lease, Failure(FailureKind.RESET))
        self.picture.release(lease)


TestAnyPicture = AnyPicture.TestCase


class Scene:
    """A group of one endpoint, and of a fallback where one is asked for."""

    def __init__(self, *weights: int, **more: int) -> None:
        self.clock = FakeClock()
        self.group = ModelGroup("g", tuple(endpoint(i, weight, **more) for i, weight in enumerate(weights or (1,))))
        self.picture = Picture([self.group], self.clock)

    def said(self, *tried: str) -> list[Availability]:
        return self.picture.pool.availabilities(self.group, QUERY, tried, self.clock.now())

    def begin(self) -> Lease:
        lease = self.picture.pool.pick(self.group, QUERY, (), self.clock.now())
        assert lease is not None
        return lease

    def reply(self, requests: Reading, tokens: Reading) -> None:
        lease = self.begin()
        self.picture.replied(lease, Readings(requests, tokens))
        self.picture.succeeded(lease)
        self.picture.release(lease)

    def fail(self, failure: Failure) -> None:
        lease = self.begin()
        self.picture.failed(lease, failure)
        self.picture.release(lease)


def throttled(scene: Scene) -> None:
    scene.fail(Failure(FailureKind.RATE_LIMITED, retry_after_s=9.0))


def cooling(scene: Scene) -> None:
    scene.fail(Failure(FailureKind.RESET))


def probing(scene: Scene) -> None:
    cooling(scene)
    scene.clock.advance(100)
    scene.begin()


def ramping(scene: Scene) -> None:
    cooling(scene)
    scene.clock.advance(100)
    probe = scene.begin()
    scene.picture.succeeded(probe)
    scene.picture.release(probe)
    scene.begin()


def no_requests(scene: Scene) -> None:
    scene.reply(Reading(10, 0, 60.0), Reading(1000, 1000, 0.0))


def no_tokens(scene: Scene) -> None:
    scene.reply(Reading(10, 9, 6.0), Reading(1000, 0, 60.0))


def scarce(scene: Scene) -> None:
    scene.reply(Reading(10, 9, 6.0), Reading(1000, 110, 53.0))


def withheld(scene: Scene) -> None:
    scene.picture.pool.withhold(("e0",), True)


@pytest.mark.parametrize(
    ("happens", "expected"),
    [
        (throttled, Availability.THROTTLED),
        (cooling, Availability.COOLING),
        (probing, Availability.PROBING),
        (ramping, Availability.RAMPING),
        (no_requests, Availability.NO_REQUESTS),
        (no_tokens, Availability.NO_TOKENS),
        (scarce, Availability.SCARCE),
        (withheld, Availability.NO_CREDENTIAL),
    ],
)
def test_each_reason_is_told_by_its_name(happens: Callable[[Scene], None], expected: Availability) -> None:
    scene = Scene()
    happens(scene)

    assert scene.said() == [expected]


def test_what_is_well_is_ready_by_its_weight_and_what_was_tried_is_told_first() -> None:
    scene = Scene(1, 0, 2)
    cooling(scene)

    assert scene.said() == [Availability.READY, Availability.FALLBACK, Availability.COOLING]
    assert scene.said("e0", "e2") == [Availability.TRIED, Availability.FALLBACK, Availability.TRIED]


def test_where_all_weights_are_0_nobody_is_a_fallback() -> None:
    assert Scene(0, 0).said() == [Availability.READY, Availability.READY]


def test_a_cooldown_that_is_over_leaves_the_endpoint_ready_to_be_probed() -> None:
    scene = Scene()
    cooling(scene)
    scene.clock.advance(100)

    assert scene.said() == [Availability.READY]
