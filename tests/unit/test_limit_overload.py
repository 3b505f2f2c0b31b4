"""An endpoint for which more requests wait than its limit holds: nearly none is refused, and the limit is used up.

The provider counts in fixed windows, as Azure does, or in a bucket that refills without pause; the ledger sees headers
only. Time is that of the test: a refusal comes at once, an answer some time later.
"""

import heapq
import math
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.upstreams.openai.rate_limit_headers import readings
from application.endpoints.bucket import Bucket
from domain.failure import Failure, FailureKind
from domain.rate_limit.limit_reading import Readings
from domain.rate_limit.reservation import Ending
from domain.rate_limit.room import Room
from domain.rate_limit.throttle import LAST_BATCH, PAUSE_S, Throttle
from simulator.limits import Limiter, Verdict, continuous_limiter, windowed_limiter
from tests.examples import examples

NEED = 10.0
STEP_S = 0.05
CROWD = 300  # so many wait at any time
REFUSED_AFTER_S = 0.01

Say = Callable[[Verdict], dict[str, str]]


def azures_headers(verdict: Verdict) -> dict[str, str]:
    gauge = verdict.requests
    assert gauge is not None
    values = {"limit": gauge.limit, "remaining": gauge.remaining, "reset": math.ceil(gauge.reset_s - 1e-9)}
    return {f"x-ratelimit-{name}-requests": str(value) for name, value in values.items()}


def only(*names: str) -> Say:
    return lambda verdict: {k: v for k, v in azures_headers(verdict).items() if any(name in k for name in names)}


def openais_headers(verdict: Verdict) -> dict[str, str]:
    return {k: v + "s" * ("reset" in k) for k, v in azures_headers(verdict).items()}


def play(limiter: Limiter, say: Say, answer_s: float, length_s: float = 120.0, **configured: Any) -> tuple[int, int]:
    """(requests that were answered, that were refused) of as many as the ledger lets go. The first is answered before
    others are sent."""
    bucket = Bucket(configured.get("provider", "openai"), configured.get("rpm"), None, 0.0, 0.02)
    events: list[tuple[float, int, Any]] = []
    answered, refused, order, now = 0, 0, count(), 0.0
    while now < length_s:
        while events and events[0][0] <= now:
            at, _, (held, sent, said, wait_s) = heapq.heappop(events)
            bucket.read(said, held, sent, at)
            if wait_s:
                bucket.limited(Failure(FailureKind.RATE_LIMITED, retry_after_s=math.ceil(wait_s)), sent, at)
            else:
                bucket.succeeded(sent)
            bucket.settle(held, Ending.ANSWERED, at)
        for _ in range(CROWD if now > 1.0 else not answered):
            if bucket.room_for(NEED, now) is Room.NONE:
                break
            held, verdict = bucket.charge(NEED, now), limiter.admit(1, now)
            said: Readings = readings(tuple(say(verdict).items()))
            answered, refused = answered + (not verdict.wait_s), refused + (verdict.wait_s > 0)
            took_s = REFUSED_AFTER_S if verdict.wait_s else (answer_s if now else 0.5)
            heapq.heappush(events, (now + took_s, next(order), (held, now, said, verdict.wait_s)))
        now += STEP_S
    return answered, refused


RPMS = [6, 60, 420]
ANSWERS_S = st.floats(0.02, 4.0)


@settings(max_examples=examples(30), deadline=None)
@given(st.sampled_from(["openai", "azure"]), st.sampled_from(RPMS), st.booleans(), ANSWERS_S)
def test_windows_that_are_waited_for_are_used_up_and_not_overrun(
    provider: str, rpm: int, is_configured: bool, answer_s: float
) -> None:
    configured = rpm if is_configured else None
    answered, refused = play(windowed_limiter(rpm, None), azures_headers, answer_s, provider=provider, rpm=configured)

    assert refused == 0
    assert answered == 2 * rpm, "all of two minutes"


@settings(max_examples=examples(30), deadline=None)
@given(st.sampled_from(["openai", "azure"]), st.sampled_from(RPMS), ANSWERS_S)
def test_windows_whose_end_no_reply_names_are_used_up_and_not_overrun(provider: str, rpm: int, answer_s: float) -> None:
    say = only("limit", "remaining")
    answered, refused = play(windowed_limiter(rpm, None), say, answer_s, provider=provider)

    assert refused == 0
    assert answered == 2 * rpm


@settings(max_examples=examples(30), deadline=None)
@given(st.sampled_from(RPMS), ANSWERS_S)
def test_a_bucket_that_refills_without_pause_is_used_up_however_its_reset_is_written(rpm: int, answer_s: float) -> None:
    for say in (openais_headers, azures_headers):
        answered, refused = play(continuous_limiter(rpm, None), say, answer_s)

        assert refused == 0
        assert answered >= 0.97 * 3 * rpm - 1, "full at the start, and all of two minutes"


@pytest.mark.parametrize("rpm", RPMS)
@pytest.mark.parametrize("say", [only("remaining"), only("nothing")], ids=["only what remains", "nothing"])
def test_where_nobody_says_how_much_a_window_holds_a_refill_is_not_met_by_all_that_wait(rpm: int, say: Say) -> None:
    answered, refused = play(windowed_limiter(rpm, None), say, 4.0)

    assert answered >= 0.9 * 2 * rpm
    assert refused <= CROWD + 12 * LAST_BATCH, "all that wait at the start, one batch too large in each window"


def test_after_a_429_requests_go_in_batches_that_double_until_as_many_go_as_there_are() -> None:
    throttle, now, batches = Throttle().after_limit(10.0, 0.0, 0.0), 10.0, []
    assert throttle.opens_in_s(0.0) == 10.0
    while throttle.batch:
        batches.append(0)
        while throttle.batch and not throttle.opens_in_s(now):
            throttle = throttle.after_charge(now)
            batches[-1] += 1
        assert throttle.opens_in_s(now) == PAUSE_S
        assert throttle.wait_s(now) == 0, "a pause is no 429"
        now += PAUSE_S

    assert batches == [1, 2, 4, 8, 16, 32, LAST_BATCH]


def test_a_pause_ends_with_a_good_answer_to_the_last_of_its_batch_and_not_to_one_before() -> None:
    throttle = Throttle().after_limit(10.0, 0.0, 0.0).after_charge(10.0)

    assert throttle.after_success(9.0).opens_in_s(10.1) > 0
    assert throttle.after_success(10.0).opens_in_s(10.1) == 0
    assert throttle.after_success(10.0).batch == 2


def test_a_reply_that_tells_what_remains_ends_the_batches_unless_it_is_of_before() -> None:
    throttle = Throttle().after_limit(10.0, 0.0, 0.0).after_charge(10.0)

    assert throttle.after_reading(9.9) == throttle
    assert throttle.after_reading(10.0).batch == 0
    assert throttle.after_reading(10.0).opens_in_s(10.0) == 0


def test_a_429_of_long_ago_has_no_say_in_how_many_go() -> None:
    throttle = Throttle().after_limit(10.0, 0.0, 0.0)

    assert throttle.after_charge(70.0).batch == 0
    assert throttle.after_charge(70.0).opens_in_s(70.0) == 0


def test_a_pause_is_not_told_to_other_replicas_as_a_429() -> None:
    bucket = Bucket("openai", None, None, 0.0)
    bucket.limited(Failure(FailureKind.RATE_LIMITED, retry_after_s=10.0), 0.0, 0.0)
    bucket.charge(NEED, 10.0)

    assert bucket.room_for(NEED, 10.0) is Room.NONE
    assert bucket.fits_in_s(NEED, 10.0) == PAUSE_S
    assert bucket.report().limited_until == 10.0


def test_a_configured_limit_of_azures_is_one_of_windows_and_comes_back_bit_by_bit_until_replies_tell_more() -> None:
    bucket = Bucket("azure", 420.0, None, 0.0)

    assert bucket.requests.room(0.0) == 70
    for _ in range(70):
        bucket.charge(NEED, 0.0)
    assert bucket.requests.room(1.0) == pytest.approx(7)
