"""What replies cost: exact in any order, by kinds of tokens, and None where nothing can be known."""

import random
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.endpoints.endpoint_state import EndpointState, Lease
from application.messages import RequestTrace
from application.observing.cost_tally import CostTally
from application.observing.counted import Counted, Labels
from application.observing.tallies import EndpointTally, Tallies
from application.use_cases.costs import cost_of_all, cost_of_group
from domain.caching.cache_key import CacheState
from domain.cost import PICOS, Price, amount_text, dearest
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.health.cooldown import CooldownPolicy
from domain.rate_limit.token_estimate import Demand, Usage
from domain.routing.route_query import RouteQuery
from tests.fakes import FakeClock
from tests.picture import Picture

PRICE = Price.per_million(Decimal("2.5"), Decimal(10), Decimal("1.25"), Decimal("3.125"))
DEAR_PRICES = (Decimal(5), Decimal(5), Decimal(5), Decimal(20))
DEAR = Price.per_million(Decimal(5), Decimal(20))
TOKENS = st.integers(0, 2_000_000)
AMOUNTS = st.decimals(0, 1000, places=6)
USAGES = st.builds(
    lambda rest, output, cached, written: Usage(rest + cached + written, output, cached, written),
    TOKENS, TOKENS, TOKENS, TOKENS,
)  # fmt: skip


def books(price: Sequence[Decimal], usages: Sequence[Usage]) -> Fraction:
    """What a bookkeeper makes of it, in fractions; `price` per million of the rest, cached, written, output."""
    rest, cached, written, output = map(Fraction, price)
    total = Fraction(0)
    for each in usages:
        plain = each.prompt_tokens - each.cached_tokens - each.written_tokens
        total += plain * rest + each.cached_tokens * cached + each.written_tokens * written
        total += each.output_tokens * output
    return total / 1_000_000


@given(st.tuples(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS), st.lists(USAGES, max_size=30), st.randoms())
def test_sums_are_exact_in_any_order_and_over_any_workers(
    prices: tuple[Decimal, Decimal, Decimal, Decimal], usages: list[Usage], dice: random.Random
) -> None:
    rest, cached, written, output = prices
    price = Price.per_million(rest, output, cached, written)
    workers = [CostTally() for _ in range(3)]
    for usage in dice.sample(usages, len(usages)):
        tally = dice.choice(workers)
        assert tally.charge(usage, price, DEAR) is not None
        if dice.random() < 0.3:
            tally.fold()
    for tally in workers:
        tally.fold()
    whole = workers[0] + workers[1] + workers[2]

    assert Fraction(whole.spent) == books(prices, usages)
    assert Fraction(whole.baseline) == books(DEAR_PRICES, usages)
    assert whole.priced == len(usages)
    assert whole - workers[1] == workers[0] + workers[2]


@given(st.tuples(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS), USAGES)
def test_what_a_reply_says_of_its_cost_is_all_of_it(
    prices: tuple[Decimal, Decimal, Decimal, Decimal], usage: Usage
) -> None:
    rest, cached, written, output = prices
    cost = Price.per_million(rest, output, cached, written).cost(usage)

    assert cost is not None and Fraction(amount_text(cost)) == books(prices, [usage])


@given(AMOUNTS, AMOUNTS, USAGES)
def test_cached_and_written_tokens_cost_as_others_where_no_price_says_otherwise(
    prompt: Decimal, output: Decimal, usage: Usage
) -> None:
    plain = Usage(usage.prompt_tokens, usage.output_tokens)
    price = Price.per_million(prompt, output)

    assert price.cost(usage) == price.cost(plain)


@given(USAGES, USAGES)
def test_more_tokens_never_cost_less(one: Usage, other: Usage) -> None:
    both = Usage(
        one.prompt_tokens + other.prompt_tokens, one.output_tokens + other.output_tokens,
        one.cached_tokens + other.cached_tokens, one.written_tokens + other.written_tokens,
    )  # fmt: skip
    first, second, together = PRICE.cost(one), PRICE.cost(other), PRICE.cost(both)

    assert first is not None and second is not None and together == first + second >= max(first, second)


def test_a_usage_that_does_not_add_up_has_no_cost() -> None:
    assert PRICE.cost(Usage(10, 5, 8, 3)) is None
    assert PRICE.cost(Usage(11, 5, 8, 3)) == 69_375_000


def test_provisioned_capacity_costs_by_the_hour_and_no_token_more() -> None:
    assert Price(per_hour=Decimal(36)).cost(Usage(1000, 1000)) == 0


def test_the_dearest_is_paid_by_token_and_the_first_of_equals() -> None:
    cheap, dear = Price.per_million(Decimal(1), Decimal(4)), Price.per_million(Decimal(2), Decimal(8))
    hourly = Price(per_hour=Decimal(99))

    assert dearest([None, hourly, cheap, dear, Price(2_000_000, 0, 0, 8_000_000)]) is dear
    assert dearest([None, hourly]) is None


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (10_500_000_000, "0.0105"),
        (0, "0"),
        (1000 * PICOS, "1000"),
        (1, "0.000000000001"),
        (PICOS + 1, "1.000000000001"),
    ],
)
def test_amounts_are_written_out(amount: int, text: str) -> None:
    assert amount_text(amount) == text


ENDPOINT = Endpoint("gpt/1", "m", "openai", price=PRICE, baseline=DEAR)


def sums(state: EndpointState) -> CostTally:
    state.tally.costs.fold()
    return state.tally.costs


def lease_of(picture: Picture, group: ModelGroup, *, is_beside: bool = False) -> Lease:
    query = RouteQuery(Demand(100), is_beside=is_beside)
    lease = picture.pool.pick(group, query, (), picture.clock.now())
    assert lease is not None
    lease.trace = RequestTrace()
    return lease


def test_a_reply_is_charged_and_held_against_the_baseline() -> None:
    group = ModelGroup("gpt", (ENDPOINT,))
    picture = Picture([group], FakeClock())
    lease = lease_of(picture, group)
    picture.succeeded(lease)
    for _ in range(2):
        picture.release(lease, Usage(1000, 100, 200, 80))

    costs = sums(picture.states["gpt/1"])
    assert (costs.replies, costs.priced) == (1, 1)
    assert costs.spent == Decimal("0.00330") and costs.baseline == Decimal("0.007")
    assert lease.trace is not None and lease.trace.cost == costs.spent * PICOS


def test_replies_without_usage_are_counted_and_failures_and_what_is_beside_are_not() -> None:
    group = ModelGroup("gpt", (ENDPOINT,))
    picture = Picture([group], FakeClock())
    for is_beside in (False, True):
        lease = lease_of(picture, group, is_beside=is_beside)
        picture.succeeded(lease)
        picture.release(lease)
        assert lease.trace is not None and lease.trace.cost is None
    picture.release(lease_of(picture, group))  # the client left
    failed = lease_of(picture, group)
    picture.failed(failed, Failure(FailureKind.SERVER_ERROR, "500"))
    picture.release(failed)

    assert picture.states["gpt/1"].tally.costs == CostTally(unpriced=1)


def test_without_a_price_and_with_a_usage_that_does_not_add_up_nothing_is_guessed() -> None:
    for endpoint, usage in ((Endpoint("e", "m", "openai"), Usage(9, 9)), (ENDPOINT, Usage(1, 1, 2))):
        state = EndpointState(endpoint, CooldownPolicy())
        trace = RequestTrace()
        state.took(usage, trace)
        assert state.tally.costs == CostTally(unpriced=1) and trace.cost is None


def test_no_more_tokens_are_counted_as_cached_than_there_are() -> None:
    state = EndpointState(ENDPOINT, CooldownPolicy())
    for usage in (Usage(10, 1, 6, 4), Usage(10, 1, 11), Usage(10, 1, 6, 5)):
        state.took(usage)

    assert (state.tally.input_tokens, state.tally.cached_tokens, state.tally.written_tokens) == (30, 6, 4)


def test_of_the_proxy_is_also_what_groups_cost_that_are_gone() -> None:
    gone = EndpointTally(group="gone", input_tokens=10, costs=CostTally(priced=1, spent=Decimal(3)))
    here = EndpointTally(group="gpt", input_tokens=10, costs=CostTally(priced=1, spent=Decimal(2)))
    hit = Labels("gone", "", "chat", "2xx", "", CacheState.HIT)
    group = ModelGroup("gpt", (ENDPOINT,))
    counted = Counted({hit: 4}, endpoints={"gone/1": gone, "gpt/1": here})

    whole, of_group = cost_of_all([group], counted), cost_of_group(group, counted)
    assert (whole.spent, whole.priced_replies, whole.hits) == (5.0, 2, 4)
    assert (of_group.spent, of_group.priced_replies, of_group.hits) == (2.0, 1, 0)


def test_a_price_of_its_own_baseline_is_held_against_itself() -> None:
    state = EndpointState(Endpoint("e", "m", "openai", price=PRICE), CooldownPolicy())
    state.took(Usage(1000, 100))

    assert sums(state).spent == sums(state).baseline == Decimal("0.0035")


def test_a_changed_price_holds_for_what_comes_then() -> None:
    state = EndpointState(Endpoint("e", "m", "openai", price=PRICE), CooldownPolicy())
    state.took(Usage(1_000_000, 0))
    state.configure(Endpoint("e", "m", "openai", price=DEAR), CooldownPolicy(), state.tally)
    state.took(Usage(1_000_000, 0))

    assert sums(state).spent == Decimal("7.5")


@given(st.lists(st.tuples(USAGES, st.sampled_from([(PRICE, DEAR), (PRICE, None), (DEAR, PRICE), (DEAR, DEAR)]))))
def test_each_reply_is_charged_at_the_prices_it_came_with_in_whatever_order_they_change(
    replies: list[tuple[Usage, tuple[Price, Price | None]]],
) -> None:
    tally = CostTally()
    told = [tally.charge(usage, *prices) or 0 for usage, prices in replies]
    tally.fold()
    saved = [
        0 if baseline is None else (baseline.cost(usage) or 0) - (price.cost(usage) or 0)
        for usage, (price, baseline) in replies
    ]

    assert tally.spent * PICOS == sum(told)
    assert tally.saved_by_routing * PICOS == sum(saved)


@given(st.integers(0, 10**18))
def test_an_amount_read_again_is_the_same(picos: int) -> None:
    text = amount_text(picos)

    assert Fraction(text) * PICOS == picos
    assert text == text.strip() and not text.endswith(".") and (text == "0" or "." not in text or text[-1] != "0")


def test_hits_count_for_the_endpoint_that_gave_the_answer_if_it_is_known() -> None:
    tallies = Tallies({"gpt/1": EndpointTally("gpt")})
    tallies.saved("gpt/1", PICOS // 2, 3)
    tallies.saved("another-replicas", 9, 1)

    assert tallies.counted() == {
        "gpt/1": EndpointTally("gpt", costs=CostTally(priced_hits=3, saved_by_cache=Decimal("1.5")))
    }


def test_a_copy_is_not_counted_on() -> None:
    tally = EndpointTally("gpt")
    copy = tally.copy()
    tally.costs.charge(Usage(1, 0), PRICE, None)
    tally.costs.fold()

    assert copy.costs == CostTally()
