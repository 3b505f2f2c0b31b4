"""Tiers: a later one takes only what those before it cannot, and within each the weights hold exactly."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from application.endpoints.endpoint_state import Lease
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.rate_limit.limit_reading import Reading, Readings
from domain.rate_limit.room import Room
from domain.rate_limit.token_estimate import Demand
from domain.routing.selector import Selector
from tests.fakes import FakeClock
from tests.picture import Picture

DEMAND = Demand(text_bytes=40, max_output_tokens=0)
MEMBERS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6)
"""The weight and the priority of each."""


def group_of(members: Sequence[tuple[int, int]]) -> ModelGroup:
    return ModelGroup(
        "g",
        tuple(
            Endpoint(f"e{i}", "m", "openai", weight, f"b{i}", f"a{i}", priority=priority)
            for i, (weight, priority) in enumerate(members)
        ),
    )


class Scene:
    """A group, and short words for what its endpoints say."""

    def __init__(self, *members: tuple[int, int]) -> None:
        self.clock = FakeClock()
        self.group = group_of(members)
        self.picture = Picture([self.group], self.clock)

    def pick(self, *passed_over: str) -> Lease | None:
        return self.picture.pick(self.group, "", DEMAND, passed_over)

    def turn(self, *passed_over: str) -> int:
        """One request that goes well; the index of its endpoint."""
        lease = self.pick(*passed_over)
        assert lease is not None
        self.picture.succeeded(lease)
        self.picture.release(lease)
        return self.group.endpoints.index(lease.endpoint)

    def tell(self, index: int, remaining: int, limit: int = 1000, reset_s: float = 60.0) -> None:
        """The endpoint answers, and says how many requests it has left."""
        lease = self.pick(*(e.id for i, e in enumerate(self.group.endpoints) if i != index))
        assert lease is not None
        self.picture.replied(lease, Readings(Reading(limit, remaining, reset_s)))
        self.picture.succeeded(lease)
        self.picture.release(lease)

    def limit(self, index: int, seconds: float) -> None:
        lease = self.pick(*(e.id for i, e in enumerate(self.group.endpoints) if i != index))
        assert lease is not None
        self.picture.failed(lease, Failure(FailureKind.RATE_LIMITED, retry_after_s=seconds))
        self.picture.release(lease)

    def room(self, index: int) -> Room:
        return self.picture.room(self.group.endpoints[index], DEMAND)


class AnyTraffic(RuleBasedStateMachine):
    """Whatever happens: nobody is asked while an endpoint of an earlier tier can take the request."""

    @initialize(members=MEMBERS)
    def begin(self, members: list[tuple[int, int]]) -> None:
        self.scene = Scene(*members)
        self.running: list[Lease] = []

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds: float) -> None:
        self.scene.clock.advance(seconds)

    @rule(tried=st.sets(st.integers(0, 5), max_size=2))
    def a_request_comes(self, tried: set[int]) -> None:
        scene, endpoints = self.scene, self.scene.group.endpoints
        states, now = scene.picture.states, scene.clock.now()
        ids = {f"e{i}" for i in tried}
        rooms = [
            scene.room(i) if e.id not in ids and states[e.id].admits(now) else Room.NONE
            for i, e in enumerate(endpoints)
        ]
        tiers = scene.group.tiers()
        lease = scene.pick(*ids)

        if lease is None:
            assert set(rooms) == {Room.NONE}
            return
        taken = endpoints.index(lease.endpoint)
        ample = [tiers[i] for i, room in enumerate(rooms) if room is Room.AMPLE]
        if ample:
            assert rooms[taken] is Room.AMPLE
            assert tiers[taken] == min(ample)
        else:
            assert rooms[taken] is Room.SCARCE
            if any(tier and weight for tier, weight in zip(tiers, scene.group.weights(), strict=True)):
                assert tiers[taken] == min(tiers[i] for i, room in enumerate(rooms) if room is Room.SCARCE)
        self.running.append(lease)

    @precondition(lambda self: self.running)
    @rule(
        which=st.integers(0, 50),
        end=st.sampled_from(["answer", "failure", "limit", "left"]),
        remaining=st.integers(0, 20),
    )
    def a_request_ends(self, which: int, end: str, remaining: int) -> None:
        picture, lease = self.scene.picture, self.running.pop(which % len(self.running))
        if end in ("answer", "limit"):
            picture.replied(lease, Readings(Reading(20, remaining, (20 - remaining) * 3.0)))
        if end == "answer":
            picture.succeeded(lease)
        elif end == "limit":
            picture.failed(lease, Failure(FailureKind.RATE_LIMITED, retry_after_s=2.0))
        elif end == "failure":
            picture.failed(lease, Failure(FailureKind.RESET))
        picture.release(lease)


TestAnyTraffic = AnyTraffic.TestCase


@given(MEMBERS, st.lists(st.integers(0, 5), min_size=1, max_size=80))
def test_shares_within_a_tier_are_exact_whatever_spills_from_it_and_into_it(
    members: list[tuple[int, int]], spills: list[int]
) -> None:
    scene = Scene(*members)
    tiers, weights = scene.group.tiers(), scene.group.weights()
    taken: dict[int, Counter[int]] = {tier: Counter() for tier in tiers}
    for spill in spills:
        # All that is before this tier is out of room for as long as one request takes.
        tier = spill % (max(tiers) + 1)
        taken[tier][scene.turn(*(f"e{i}" for i, its in enumerate(tiers) if its < tier))] += 1

    for tier, counts in taken.items():
        ours = [i for i, its in enumerate(tiers) if its == tier]
        rounds, rest = divmod(counts.total(), sum(weights[i] or 1 for i in ours))
        for i in ours:
            fair = rounds * (weights[i] or 1)
            assert fair <= counts[i] <= fair + min(rest, weights[i] or 1), "whole rounds are divided exactly"


@given(MEMBERS.filter(lambda members: len(set(group_of(members).tiers())) > 1), st.integers(1, 40))
def test_a_full_tier_is_left_for_as_long_as_it_is_full_and_used_again_at_the_refill(
    members: list[tuple[int, int]], count: int
) -> None:
    scene = Scene(*members)
    tiers = scene.group.tiers()
    assert tiers[scene.turn()] == 0
    for index, tier in enumerate(tiers):
        if not tier:
            scene.limit(index, 30.0)

    assert all(tiers[scene.turn()] == 1 for _ in range(count))
    scene.clock.advance(31.0)
    assert all(tiers[scene.turn()] == 0 for _ in range(count))


class Today:
    """Who was picked before there were priorities, word for word."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.weights = scene.group.weights()
        self.selector = Selector.fresh(len(self.weights))

    def pick(self) -> int | None:
        scene, now = self.scene, self.scene.clock.now()
        admitted = [i for i, e in enumerate(scene.group.endpoints) if scene.picture.states[e.id].admits(now)]
        ample = [i for i in admitted if scene.room(i) is Room.AMPLE]
        candidates = [i for i in ample if self.weights[i]] or ample
        if candidates:
            chosen, self.selector = self.selector.choose(self.weights, candidates)
            return chosen
        left = {}
        for i in admitted:
            if scene.room(i) is Room.SCARCE:
                bucket = scene.picture.ledger.seen(scene.group.endpoints[i], "")
                left[i] = bucket.share_left(bucket.need(DEMAND), now)
        return max(left, key=left.__getitem__) if left else None


class WithoutPriorities(RuleBasedStateMachine):
    """With weights alone, 0 or not, the same endpoints are picked as ever."""

    @initialize(weights=st.lists(st.integers(0, 3), min_size=1, max_size=5), priority=st.integers(0, 2))
    def begin(self, weights: list[int], priority: int) -> None:
        self.scene = Scene(*((weight, priority) for weight in weights))
        self.today = Today(self.scene)
        self.running: list[Lease] = []

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds: float) -> None:
        self.scene.clock.advance(seconds)

    @rule()
    def a_request_comes(self) -> None:
        expected = self.today.pick()
        lease = self.scene.pick()

        assert (None if lease is None else self.scene.group.endpoints.index(lease.endpoint)) == expected
        if lease is not None:
            self.running.append(lease)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 50), end=st.sampled_from(["answer", "failure", "limit"]), left=st.integers(0, 1000))
    def a_request_ends(self, which: int, end: str, left: int) -> None:
        picture, lease = self.scene.picture, self.running.pop(which % len(self.running))
        picture.replied(lease, Readings(Reading(1000, left, (1000 - left) * 0.06)))
        if end == "answer":
            picture.succeeded(lease)
        else:
            kind = FailureKind.RESET if end == "failure" else FailureKind.RATE_LIMITED
            picture.failed(lease, Failure(kind, retry_after_s=2.0 if end == "limit" else None))
        picture.release(lease)


TestWithoutPriorities = WithoutPriorities.TestCase


def test_priorities_need_not_follow_each_other_and_weight_0_comes_last_whatever_its_priority() -> None:
    group = group_of([(2, 7), (1, 3), (0, 0), (1, 7), (3, 1)])

    assert group.tiers() == (2, 1, 3, 2, 0)
    assert group.tier_names() == ("priority 7", "priority 3", "fallback", "priority 7", "first")
    assert group.tier_shares() == pytest.approx((2 / 3, 1.0, 1.0, 1 / 3, 1.0))
    assert group.shares() == (0.0, 0.0, 0.0, 0.0, 1.0)


def test_where_all_weights_are_0_the_priorities_still_decide() -> None:
    assert group_of([(0, 1), (0, 0)]).tiers() == (1, 0)


def test_what_is_scarce_in_the_first_tier_is_kept_while_the_next_has_room() -> None:
    scene = Scene((1, 0), (1, 1))
    scene.tell(0, remaining=10)

    assert scene.room(0) is Room.SCARCE
    assert scene.turn() == 1


def test_where_all_are_scarce_the_first_tier_is_asked_and_there_the_one_with_the_most_room() -> None:
    scene = Scene((1, 0), (1, 0), (1, 1))
    for index, remaining in ((0, 5), (1, 9), (2, 15)):
        scene.tell(index, remaining)

    assert [scene.room(i) for i in range(3)] == [Room.SCARCE] * 3
    assert scene.turn() == 1


def test_without_priorities_the_most_room_decides_where_all_are_scarce_and_weight_0_takes_part() -> None:
    scene = Scene((1, 0), (0, 0))
    for index, remaining in ((0, 5), (1, 15)):
        scene.tell(index, remaining)

    assert [scene.room(i) for i in range(2)] == [Room.SCARCE] * 2
    assert scene.turn() == 1
