"""A provisioned deployment's bucket, learned from its refusals: used to the brim, and seldom refused."""

import random
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.rate_limit.leaky_bucket import LeakyBucket
from domain.rate_limit.limit_state import LimitState
from domain.rate_limit.room import Room, room_for
from domain.rate_limit.throttle import UNLIMITED
from simulator.provisioned import ProvisionedLimiter

AMOUNTS = st.floats(1.0, 1e6)
MINUTE_S = 60.0
NO_LIMIT = LimitState(None, 0.0, 0.0, 0.0, LeakyBucket.of(None, 0.0).limit_state().terms)


class Deployment:
    """A provisioned deployment in its own time, and a proxy that sends it what it has room for."""

    def __init__(self, per_second: float, holds_s: float, seed: int, told: float | None = None) -> None:
        self.per_minute = per_second * 1000 * MINUTE_S
        self.truth = ProvisionedLimiter(int(self.per_minute), holds_s)
        self.bucket = LeakyBucket.of(None if told is None else told * self.per_minute, 0.0)
        self.dice = random.Random(seed)
        self.until = 0.0
        self.let_in: list[tuple[float, float]] = []
        self.sent: list[float] = []
        self.refused: list[float] = []

    def run(self, length_s: float, load: Callable[[float], float]) -> None:
        """Requests of 300 to 2100 tokens, whose size is guessed within a fifth; each answer takes 2 to 6 s."""
        dice, order, events = self.dice, count(), list[tuple[float, int, Callable[[float], None]]]()

        def arrives(now: float) -> None:
            if now < length_s:
                pause_s = dice.expovariate(load(now) * self.per_minute / 1000 / MINUTE_S)
                heappush(events, (now + pause_s, next(order), arrives))
            tokens = dice.choice((300, 600, 1000, 2100))
            guess = tokens * dice.uniform(0.8, 1.2)
            room = room_for(NO_LIMIT, self.bucket.limit_state(), UNLIMITED, guess, now)
            if now >= self.until and room is Room.AMPLE:
                self.bucket = self.bucket.charge(guess, now)
                self.sent.append(now)
                mark, at = self.bucket.sent, now + dice.uniform(0.005, 0.015)
                heappush(events, (at, next(order), lambda at: comes(at, tokens, guess, mark, now)))

        def comes(now: float, tokens: int, guess: float, mark: float, sent: float) -> None:
            verdict = self.truth.admit(tokens, now)
            if verdict.refused_by is None:
                self.let_in.append((now, tokens))
                heappush(events, (now + dice.uniform(2.0, 6.0), next(order), lambda at: ends(at, guess - tokens)))
            else:
                wait_s = verdict.wait_s
                heappush(events, (now + 0.01, next(order), lambda at: is_refused(at, wait_s, guess, mark, sent)))

        def is_refused(now: float, wait_s: float, guess: float, mark: float, sent: float) -> None:
            self.refused.append(now)
            self.until = max(self.until, now + max(0.25, wait_s))
            self.bucket = self.bucket.after_refusal(wait_s, guess, mark, sent, now).correct(guess, now)

        def ends(now: float, less: float) -> None:
            self.bucket = self.bucket.correct(less, now)

        heappush(events, (0.0, next(order), arrives))
        while events:
            now, _, happens = heappop(events)
            happens(now)

    def used(self, from_s: float, to_s: float) -> float:
        """The part of the capacity that was let in."""
        return sum(n for at, n in self.let_in if from_s <= at < to_s) / (self.per_minute / MINUTE_S * (to_s - from_s))

    def part_refused(self, from_s: float, to_s: float) -> float:
        """The part of what was sent that was refused."""
        sent = sum(from_s <= at < to_s for at in self.sent)
        return sum(from_s <= at < to_s for at in self.refused) / max(1, sent)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("per_second", "holds_s"), [(2.0, 10.0), (5.0, 5.0), (5.0, 60.0), (40.0, 10.0)])
def test_at_130_percent_it_is_used_to_the_brim_and_one_in_a_hundred_is_refused_at_most(
    per_second: float, holds_s: float, seed: int
) -> None:
    deployment = Deployment(per_second, holds_s, seed)

    deployment.run(600.0, lambda _: 1.3)

    assert deployment.used(60.0, 600.0) >= 0.97
    assert deployment.part_refused(60.0, 600.0) <= 0.01


@settings(max_examples=15, deadline=None)
@given(st.floats(1.2, 4.0), st.floats(2.0, 30.0), st.floats(8.0, 60.0), st.integers(0, 2**32))
def test_any_overload_of_any_deployment_is_learned(load: float, per_second: float, holds_s: float, seed: int) -> None:
    deployment = Deployment(per_second, holds_s, seed)

    deployment.run(600.0, lambda _: load)

    # What was let in takes effect at once, and its capacity bit by bit: what the bucket holds lies between the two.
    assert deployment.used(120.0, 600.0) >= 0.97 - holds_s / 480
    assert deployment.part_refused(120.0, 600.0) <= 0.03


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("told", [0.5, 2.0])
def test_a_wrong_configured_rate_is_mended(told: float, seed: int) -> None:
    deployment = Deployment(5.0, 10.0, seed, told)

    deployment.run(900.0, lambda _: 1.3)

    assert deployment.used(600.0, 900.0) >= 0.97
    assert deployment.part_refused(600.0, 900.0) <= 0.02


def test_a_load_below_the_capacity_is_never_held_back_for_long() -> None:
    deployment = Deployment(5.0, 10.0, seed=1)

    deployment.run(1200.0, lambda at: 1.3 if at < 300 else 0.6)

    assert deployment.used(400.0, 1200.0) >= 0.57
    assert deployment.part_refused(400.0, 1200.0) <= 0.01


def test_of_a_bucket_that_never_refused_nothing_is_known_and_everything_has_room() -> None:
    bucket = LeakyBucket.of(None, 0.0)
    for moment in range(1000):
        bucket = bucket.charge(1e6, float(moment))

    assert bucket.limit_state().room(1000.0) is None
    assert room_for(NO_LIMIT, bucket.limit_state(), UNLIMITED, 1e6, 1000.0) is Room.AMPLE


def test_a_request_of_any_size_fits_while_there_is_room_and_none_when_it_is_full() -> None:
    bucket = LeakyBucket.of(60_000.0, 0.0)

    def room(now: float) -> Room:
        return room_for(NO_LIMIT, bucket.limit_state(), UNLIMITED, 1e8, now)

    assert room(0.0) is Room.AMPLE
    bucket = bucket.charge(70_000.0, 0.0)
    assert room(0.0) is Room.NONE
    # Ten thousand too many at a thousand a second, a little faster than was said, so that an error is found out.
    assert 9.0 < bucket.limit_state().fits_in_s(1e8, 0.0) <= 10.0
    assert room(11.0) is not Room.NONE


@given(st.lists(st.tuples(AMOUNTS, st.floats(0.0, 10.0)), max_size=30), st.floats(60.0, 1e9))
def test_what_is_given_back_leaves_no_trace_and_room_never_exceeds_what_it_holds(
    requests: list[tuple[float, float]], per_minute: float
) -> None:
    bucket, now = LeakyBucket.of(per_minute, 0.0), 0.0
    for amount, pause_s in requests:
        now += pause_s
        bucket = bucket.charge(amount, now).correct(amount, now)
        state = bucket.limit_state()
        room, limit = state.room(now), state.terms.limit
        assert room is not None and limit is not None
        assert abs(bucket.charged) <= 1e-6 * (1.0 + bucket.sent)
        assert room <= limit * (1 + 1e-9) and room >= -1e-6 * (1.0 + bucket.sent)


@given(st.lists(st.tuples(AMOUNTS, st.floats(0.0, 5.0), st.floats(0.0, 1e3) | st.none()), max_size=40))
def test_whatever_is_refused_the_rate_is_a_rate_and_it_has_room_again(
    refusals: list[tuple[float, float, float | None]],
) -> None:
    bucket, now = LeakyBucket.of(None, 0.0), 0.0
    for amount, pause_s, wait_s in refusals:
        now += pause_s
        bucket = bucket.charge(amount, now)
        bucket = bucket.after_refusal(wait_s, amount, bucket.sent, now, now).correct(amount, now)
        assert bucket.rate is not None and bucket.rate > 0.0
        room = bucket.limit_state().room(now)
        assert room is not None and room <= 1e-6 * bucket.sent
        assert bucket.limit_state().fits_in_s(amount, now) <= 60.001


def test_of_requests_that_were_on_their_way_together_the_first_refusal_counts() -> None:
    bucket = LeakyBucket.of(60_000.0, 0.0).charge(100.0, 1.0)
    first = bucket.sent
    bucket = bucket.charge(100.0, 1.1)

    once = bucket.after_refusal(2.0, 100.0, first, 1.0, 1.5)

    assert once.after_refusal(1.9, 100.0, bucket.sent, 1.1, 1.6) is once
    assert once.limit_state().room(1.5) == pytest.approx(-2000.0 - 200.0)


def test_another_replicas_refusal_says_when_there_is_room_and_nothing_of_the_rate() -> None:
    bucket = LeakyBucket.of(60_000.0, 0.0)

    told = bucket.after_peer_report(13.0, 10.0)

    assert told.rate == bucket.rate
    assert told.limit_state().room(10.0) == pytest.approx(-3000.0)


def test_quiet_before_the_first_refusal_is_not_taken_for_a_slow_drain() -> None:
    bucket = LeakyBucket.of(None, 0.0).charge(1000.0, 0.0).correct(0.0, 3.0)
    for step in range(201):
        bucket = bucket.charge(1000.0, 600.0 + step / 10)
    told = bucket.after_refusal(0.0, 1000.0, bucket.sent, 620.0, 620.0)

    assert told.rate == pytest.approx(10_000.0, rel=0.01)


def test_a_first_guess_is_not_lowered_by_what_was_used_of_it_in_quiet_times() -> None:
    bucket = LeakyBucket.of(None, 0.0)
    for step in range(101):
        bucket = bucket.charge(1000.0, step / 10)
    guessed = bucket.after_refusal(0.0, 1000.0, bucket.sent, 10.0, 10.0)
    later = guessed.correct(1000.0, 10.0)
    for step in range(80):
        later = later.charge(1000.0, 300.0 + step / 100)
    told = later.after_refusal(0.1, 1000.0, later.sent, 301.0, 301.0)

    assert told.rate == guessed.rate
    assert not told.measured
