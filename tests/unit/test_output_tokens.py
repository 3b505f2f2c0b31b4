"""An output token of provisioned capacity counts for several input tokens, and does so wherever tokens are counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.endpoints.ledger import Ledger
from application.endpoints.provisioned_bucket import ProvisionedBucket
from domain.endpoint import Endpoint
from domain.group import ModelGroup
from domain.rate_limit.reservation import Ending
from domain.rate_limit.room import NOBODY, Ahead
from domain.rate_limit.token_estimate import MAX_REQUEST_TOKENS, Demand, ProvisionedEstimate, TokenEstimate, Usage
from domain.routing.route_query import RouteQuery
from tests.fakes import FakeClock
from tests.picture import Picture

RATIOS = st.floats(1.0, 100.0)
DEMANDS = st.builds(Demand, st.integers(0, 10**6), st.integers(0, 3), st.none() | st.integers(0, 10**6))
USAGES = st.builds(Usage, st.integers(0, 10**6), st.integers(0, 10**5), st.integers(0, 10**6))


def bucket_of(ratio: float, tpm: float | None = 1e9) -> ProvisionedBucket:
    return ProvisionedBucket("azure", None, tpm, 0.0, output_ratio=ratio)


def room(bucket: ProvisionedBucket) -> float:
    left = bucket.tokens.room(0.0)
    assert left is not None
    return left


@given(st.lists(st.tuples(DEMANDS, USAGES), max_size=10), DEMANDS, RATIOS)
def test_a_request_needs_its_prompt_and_its_output_by_the_ratio(
    learned: list[tuple[Demand, Usage]], demand: Demand, ratio: float
) -> None:
    plain, bucket = TokenEstimate(), bucket_of(ratio)
    for seen, usage in learned:
        plain = plain.after_usage(seen, usage)
        bucket.learn(seen, usage)

    needed = plain.tokens(demand) + (ratio - 1.0) * plain.output(demand)
    assert bucket.need(demand) == pytest.approx(min(needed, MAX_REQUEST_TOKENS))


@given(DEMANDS)
def test_with_a_ratio_of_one_it_needs_what_it_needs_anywhere(demand: Demand) -> None:
    assert ProvisionedEstimate().tokens(demand) == TokenEstimate().tokens(demand)


@given(DEMANDS, USAGES, RATIOS)
def test_in_the_end_it_took_its_prompt_less_what_was_cached_and_its_output_by_the_ratio(
    demand: Demand, usage: Usage, ratio: float
) -> None:
    bucket = bucket_of(ratio)
    before = room(bucket)
    held = bucket.charge(bucket.need(demand), 0.0)
    bucket.settle(held, Ending.ANSWERED, 0.0, usage)

    taken = max(0, usage.prompt_tokens - usage.cached_tokens) + ratio * usage.output_tokens
    assert before - room(bucket) == pytest.approx(taken, abs=1e-3)
    assert bucket.reserved_tokens == 0.0


def test_what_a_socket_took_counts_likewise() -> None:
    bucket = bucket_of(4.0)
    before = room(bucket)

    bucket.spend(Usage(1000, 200, cached_tokens=600), 0.0)

    assert before - room(bucket) == pytest.approx(400 + 4 * 200)


def endpoints(ratio: float) -> tuple[Endpoint, Endpoint]:
    ptu = Endpoint(
        "ptu", "m", "azure", bucket="b0", account="a0", is_provisioned=True, tpm=60_000, output_token_ratio=ratio
    )
    return ptu, Endpoint("payg", "m", "azure", bucket="b1", account="a1", priority=1)


@pytest.mark.parametrize(("ratio", "served"), [(1.0, 57), (4.0, 14)])
def test_routing_fills_it_by_what_requests_take_there(ratio: float, served: int) -> None:
    clock, group = FakeClock(), ModelGroup("g", endpoints(ratio))
    pool, query = Picture([group], clock).pool, RouteQuery(Demand(text_bytes=400, max_output_tokens=900))

    leases = [pool.pick(group, query, (), clock.now()) for _ in range(60)]

    # It has room for 60,000, and three requests' is kept free: of 1000 tokens each, or of 100 and four times 900.
    asked = [lease.endpoint.id for lease in leases if lease is not None]
    assert asked.count("ptu") == served and asked.count("payg") == 60 - served


def test_who_waits_ahead_takes_its_output_by_the_ratio() -> None:
    bucket, same = bucket_of(4.0, 60_000.0), bucket_of(1.0, 60_000.0)
    for each in (bucket, same):
        each.charge(60_000.0, 0.0)

    before = bucket.turn_in_s(100.0, 0.0, NOBODY)
    behind = bucket.turn_in_s(100.0, 0.0, Ahead(1.0, 1000.0, 900.0))
    as_one = same.turn_in_s(100.0, 0.0, Ahead(1.0, 1000.0, 900.0)) - same.turn_in_s(100.0, 0.0, NOBODY)

    assert behind - before == pytest.approx((100 + 4 * 900) / 1000 * as_one)


def test_a_reload_that_changes_the_ratio_begins_to_learn_anew_and_any_other_keeps_what_was_learned() -> None:
    ptu, _ = endpoints(4.0)
    before = Ledger(0.02, 0.0)
    bucket = before.own(ptu)
    assert isinstance(bucket, ProvisionedBucket)
    bucket.charge(90_000.0, 0.0)

    same = Ledger(0.02, 0.0, before)
    assert same.own(ptu) is bucket
    same.take_over([ptu], 0.0)
    assert room(bucket) < 0.0

    changed, _ = endpoints(8.0)
    anew = Ledger(0.02, 0.0, same)
    assert anew.own(changed) is bucket
    anew.take_over([changed], 0.0)
    assert room(bucket) == 60_000.0
    assert bucket.need(Demand(400, 0, 100)) == pytest.approx(100 + 8 * 100)
