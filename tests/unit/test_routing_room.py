"""Whoever is picked has room while anybody has, and no limit is overdrawn by those who wait."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from application.endpoints.endpoint_state import Lease
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.rate_limit.limit_reading import Reading, Readings
from domain.rate_limit.room import Room
from domain.rate_limit.token_estimate import Demand
from domain.routing.route_query import RouteQuery
from tests.fakes import FakeClock
from tests.picture import Picture

DEMAND = Demand(text_bytes=40, max_output_tokens=0)
WEIGHTS = st.lists(st.integers(0, 3), min_size=2, max_size=4)


def scene(weights: list[int]) -> tuple[Picture, ModelGroup, FakeClock]:
    clock = FakeClock()
    endpoints = tuple(
        Endpoint(id=f"e{i}", model="m", provider="openai", weight=weight, bucket=f"b{i}", account=f"a{i}")
        for i, weight in enumerate(weights)
    )
    group = ModelGroup("g", endpoints)
    return Picture([group], clock), group, clock


class AnyTraffic(RuleBasedStateMachine):
    """Requests come, are answered with any reading, fail, are limited or left; time passes."""

    @initialize(weights=WEIGHTS)
    def begin(self, weights: list[int]) -> None:
        self.picture, self.group, self.clock = scene(weights)
        self.weights = self.group.weights()
        self.running: list[Lease] = []

    def rooms(self) -> list[Room]:
        now = self.clock.now()
        return [self.picture.room(e, DEMAND, now) for e in self.group.endpoints]

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def a_request_comes(self) -> None:
        rooms = self.rooms()
        well = [self.picture.state(e).value == "closed" for e in self.group.endpoints]
        lease = self.picture.pick(self.group, "", DEMAND, ())
        if lease is None:
            return
        index = self.group.endpoints.index(lease.endpoint)
        ample = [i for i, room in enumerate(rooms) if room is Room.AMPLE and well[i]]

        assert rooms[index] is not Room.NONE
        if rooms[index] is Room.SCARCE:
            assert not [i for i in ample if not self.picture.states[f"e{i}"].health.ramp]
        elif not self.weights[index]:
            assert not [i for i in ample if self.weights[i] and not self.picture.states[f"e{i}"].health.ramp]
        self.running.append(lease)

    @precondition(lambda self: self.running)
    @rule(
        which=st.integers(0, 50),
        end=st.sampled_from(["answer", "failure", "limit", "left", "refused"]),
        remaining=st.integers(0, 20),
    )
    def a_request_ends(self, which: int, end: str, remaining: int) -> None:
        lease = self.running.pop(which % len(self.running))
        if end in ("answer", "limit"):
            self.picture.replied(lease, Readings(Reading(20, remaining, (20 - remaining) * 3.0)))
        if end == "answer":
            self.picture.succeeded(lease)
        elif end == "limit":
            self.picture.failed(lease, Failure(FailureKind.RATE_LIMITED, retry_after_s=2.0))
        elif end != "left":
            kind = FailureKind.RESET if end == "failure" else FailureKind.CONNECT
            self.picture.failed(lease, Failure(kind))
        self.picture.release(lease)
        self.picture.release(lease)

    @invariant()
    def what_is_reserved_is_what_runs(self) -> None:
        for endpoint in self.group.endpoints:
            running = sum(lease.endpoint is endpoint for lease in self.running)
            bucket = self.picture.known(endpoint)
            assert self.picture.states[endpoint.id].in_flight == running
            assert (bucket.reserved_requests if bucket else 0) == running


TestAnyTraffic = AnyTraffic.TestCase


@given(WEIGHTS, st.integers(1, 5))
def test_weights_hold_exactly_among_those_with_room(weights: list[int], rounds: int) -> None:
    picture, group, _ = scene(weights)
    full = picture.pick(group, "", DEMAND, ())
    assert full is not None
    picture.failed(full, Failure(FailureKind.RATE_LIMITED, retry_after_s=300.0))
    picture.release(full)
    effective = group.weights()
    left = [i for i, e in enumerate(group.endpoints) if e is not full.endpoint]
    tier = [i for i in left if effective[i]] or left
    total = sum(effective[i] or 1 for i in tier)
    taken = [0] * len(weights)
    for _ in range(rounds * total):
        lease = picture.pick(group, "", DEMAND, ())
        assert lease is not None
        taken[group.endpoints.index(lease.endpoint)] += 1
        picture.succeeded(lease)
        picture.release(lease)

    assert all(abs(taken[i] - rounds * (effective[i] or 1)) <= len(weights) for i in tier)
    assert sum(taken[i] for i in tier) == rounds * total


def test_a_client_that_brings_its_key_has_a_bucket_only_where_it_was_sent() -> None:
    clock = FakeClock()
    endpoints = tuple(
        Endpoint(id=f"e{i}", model="m", provider="openai", bucket=f"b{i}", owns_credential=False, rpm=2) for i in (1, 2)
    )
    group = ModelGroup("g", endpoints)
    picture = Picture([group], clock)
    for client in ("x", "y", "y"):
        lease = picture.pick(group, client, DEMAND, ("e2",))
        assert lease is not None
        picture.release(lease)

    assert picture.pool.limited_s(group, RouteQuery(DEMAND, "z"), ()) is None
    assert picture.pool.limited_s(group, RouteQuery(DEMAND, "y"), ()) is not None
    assert picture.ledger.seen(endpoints[0], "y") is picture.ledger.charged(endpoints[0], "y")
    assert picture.ledger.seen(endpoints[1], "x") is picture.ledger.seen(endpoints[1], "y"), "nothing was charged there"
