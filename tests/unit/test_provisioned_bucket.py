"""Provisioned capacity in the books: what counts there and what does not, and who is asked when it is full."""

import pytest

from adapters.upstreams.openai.rate_limit_headers import is_spilled
from application.endpoints.endpoint_state import Lease
from application.endpoints.ledger import Ledger
from application.endpoints.provisioned_bucket import ProvisionedBucket
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.rate_limit.limit_reading import Reading, Readings
from domain.rate_limit.limit_report import BucketReport, Charged
from domain.rate_limit.reservation import Ending, Reservation
from domain.rate_limit.room import NOBODY, Room
from domain.rate_limit.token_estimate import Demand, Usage
from domain.routing.availability import Availability
from domain.routing.route_query import RouteQuery
from tests.fakes import FakeClock
from tests.picture import Picture

LIMITED = Failure(FailureKind.RATE_LIMITED, retry_after_s=2.0)
DEMAND = Demand(text_bytes=400, max_output_tokens=900)  # a thousand tokens


def bucket_of(tpm: float | None = 60_000.0) -> ProvisionedBucket:
    return ProvisionedBucket("azure", None, tpm, 0.0)


def room(bucket: ProvisionedBucket, now: float = 0.0) -> float:
    left = bucket.tokens.room(now)
    assert left is not None
    return left


def refuse(bucket: ProvisionedBucket, held: Reservation, failure: Failure, now: float) -> None:
    bucket.limited(failure, now, now)
    held = bucket.refused(failure, held, now, now)
    bucket.settle(held, Ending.LEFT, now)


@pytest.mark.parametrize(
    ("ending", "usage", "taken"),
    [
        (Ending.ANSWERED, Usage(300, 200), 500.0),
        (Ending.ANSWERED, Usage(300, 200, cached_tokens=250), 250.0),
        (Ending.ANSWERED, Usage(3000, 2000), 5000.0),
        (Ending.ANSWERED, None, 1000.0),
        (Ending.LEFT, None, 1000.0),
        (Ending.REFUSED, None, 0.0),
        (Ending.UNSENT, None, 0.0),
        (Ending.ANSWERED, Usage(10**12, 1), 1000.0),
    ],
)
def test_at_its_end_a_request_is_charged_what_it_took(ending: Ending, usage: Usage | None, taken: float) -> None:
    bucket = bucket_of()
    before = room(bucket)
    held = bucket.charge(1000.0, 0.0)

    bucket.settle(held, ending, 0.0, usage)

    assert room(bucket) == pytest.approx(before - taken)
    assert bucket.reserved_requests == bucket.reserved_tokens == 0.0


def test_a_reply_that_azure_spilled_over_takes_nothing_and_teaches_nothing() -> None:
    bucket, untouched = bucket_of(), bucket_of()
    held = bucket.charge(1000.0, 0.0)

    held = bucket.spilled(held, 0.0)
    bucket.read(Readings(tokens=Reading(30_000.0, 0.0, 60.0)), held, 0.0, 0.0)
    bucket.settle(held, Ending.ANSWERED, 0.0, Usage(300, 200))

    assert room(bucket) == pytest.approx(room(untouched))
    assert bucket.tokens.terms.limit == untouched.tokens.terms.limit

    held = bucket.spilled(bucket.charge(1000.0, 1.0), 1.0)
    refuse(bucket, held, LIMITED, 1.0)
    assert room(bucket, 1.0) > 0.0
    assert bucket.throttle.wait_s(1.0) == 2.0


def test_an_overload_is_waited_for_and_says_nothing_of_how_full_it_is() -> None:
    bucket = bucket_of()
    held = bucket.charge(1000.0, 0.0)

    refuse(bucket, held, Failure(FailureKind.OVERLOADED, retry_after_s=2.0), 0.0)

    assert bucket.is_overloaded(1.0)
    assert room(bucket) > 0.0


def test_after_a_429_it_is_full_until_then_and_the_next_goes_without_a_pause() -> None:
    bucket = bucket_of()
    held = bucket.charge(1000.0, 0.0)

    refuse(bucket, held, LIMITED, 0.0)

    assert room(bucket) == pytest.approx(-2000.0)
    assert bucket.room_for(1.0, 1.9) is Room.NONE
    assert bucket.fits_in_s(1000.0, 0.0) == pytest.approx(2.0, abs=0.2)
    assert bucket.room_for(1e6, 20.0) is Room.AMPLE
    bucket.charge(1000.0, 20.0)
    assert bucket.throttle.opens_in_s(20.0) == 0.0


def test_what_another_replica_was_told_fills_it() -> None:
    bucket = bucket_of()

    assert bucket.take(BucketReport(limited_until=3.0), Charged(), 0.0)
    assert not bucket.take(BucketReport(limited_until=3.0), Charged(), 0.0)

    assert bucket.room_for(1.0, 2.9) is Room.NONE
    assert bucket.report().limited_until is None, "what another one found out is that one's to tell"


@pytest.mark.parametrize("tpm", [60_000.0, None])
def test_a_status_puts_back_how_full_it_was(tpm: float | None) -> None:
    bucket = bucket_of(tpm)

    bucket.restore(Readings(tokens=Reading(60_000.0, 0.0, 60.0)), 5.0)

    assert bucket.room_for(1.0, 5.0) is Room.NONE
    assert room(bucket, 65.0) == pytest.approx(60_000.0)


def endpoints(provisioned: bool, tpm: int | None = None) -> tuple[Endpoint, Endpoint]:
    return (
        Endpoint("ptu", "m", "azure", bucket="b0", account="a0", is_provisioned=provisioned, tpm=tpm),
        Endpoint("payg", "m", "azure", bucket="b1", account="a1", priority=1),
    )


def test_the_next_tier_is_asked_while_it_is_full_and_left_when_it_is_not() -> None:
    clock, group = FakeClock(), ModelGroup("g", endpoints(provisioned=True, tpm=60_000))
    picture = Picture([group], clock)
    query = RouteQuery(DEMAND)

    def pick() -> Lease:
        lease = picture.pool.pick(group, query, (), clock.now())
        assert lease is not None
        return lease

    asked = [pick().endpoint.id for _ in range(60)]

    # Of the sixty that it holds three are kept free while the next tier can take them.
    assert asked == ["ptu"] * 57 + ["payg"] * 3
    assert picture.pool.availabilities(group, query, (), clock.now()) == [Availability.SCARCE, Availability.LATER_TIER]
    clock.advance(10.0)
    assert pick().endpoint.id == "ptu"
    full = pick()
    picture.health.failed(full, LIMITED)
    picture.pool.release(full)
    assert picture.pool.availabilities(group, query, (), clock.now())[0] is Availability.THROTTLED
    assert picture.pool.fits_in_s(group.endpoints[0], query) == 2.0


def test_who_could_go_elsewhere_waits_until_there_is_ample_room() -> None:
    clock, group = FakeClock(), ModelGroup("g", endpoints(provisioned=True, tpm=60_000))
    pool, query, ptu = Picture([group], clock).pool, RouteQuery(DEMAND), group.endpoints[0]
    for _ in range(58):
        pool.pick(group, query, {"payg"}, clock.now())
    assert pool.availabilities(group, query, (), clock.now())[0] is Availability.SCARCE
    assert pool.fits_in_s(ptu, query) == 0.0

    seconds = pool.fits_in_s(ptu, query, by_choice=True)

    # Three requests' room is kept free, and there is that of two; it drains a little more than one a second.
    assert 0.8 < seconds < 1.0
    turn_s = pool.turn_in_s(group, query, {"payg"}, NOBODY)
    assert turn_s is not None and turn_s > 2 * seconds, "a 429 may come first"
    clock.advance(seconds)
    assert pool.fits_in_s(ptu, query, by_choice=True) < 1e-6
    clock.advance(0.001)
    assert pool.availabilities(group, query, (), clock.now())[0] is Availability.READY


def test_of_metered_capacity_scarce_room_is_taken_by_choice_as_well() -> None:
    clock, group = FakeClock(), ModelGroup("g", endpoints(provisioned=False, tpm=60_000))
    pool, query = Picture([group], clock).pool, RouteQuery(DEMAND)
    while pool.availabilities(group, query, (), clock.now())[0] is not Availability.SCARCE:
        pool.pick(group, query, {"payg"}, clock.now())

    assert pool.fits_in_s(group.endpoints[0], query, by_choice=True) == 0.0


def test_a_reload_keeps_what_was_learned_while_the_endpoint_stays_what_it_is() -> None:
    provisioned, _ = endpoints(provisioned=True, tpm=60_000)
    before = Ledger(0.02, 0.0)
    bucket = before.own(provisioned)
    assert bucket is not None
    held = bucket.charge(90_000.0, 0.0)

    same = Ledger(0.02, 1.0, before)
    assert same.own(provisioned) is bucket
    same.take_over([provisioned], 1.0)
    assert bucket.room_for(1.0, 1.0) is Room.NONE

    other = Ledger(0.02, 1.0, before).own(endpoints(provisioned=False)[0])
    assert other is not None and other is not bucket and other.is_unknown

    changed = endpoints(provisioned=True, tpm=120_000)[0]
    anew = Ledger(0.02, 1.0, before)
    assert anew.own(changed) is bucket
    anew.take_over([changed], 1.0)
    assert bucket.tokens.room(1.0) == 120_000.0
    bucket.settle(held, Ending.ANSWERED, 1.0, Usage(80_000, 10_000))
    assert bucket.tokens.room(1.0) == 120_000.0


@pytest.mark.parametrize("name", ["x-ms-spillover-from-deployment", "x-ms-spillover-from-gpt-4o-ptu"])
def test_a_spilled_reply_is_known_by_its_header(name: str) -> None:
    assert is_spilled((("content-type", "application/json"), (name, "gpt-4o-ptu")))
    assert not is_spilled((("content-type", "application/json"), ("x-ms-deployment-name", "gpt-4o-ptu")))
