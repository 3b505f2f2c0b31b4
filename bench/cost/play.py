"""Plays a trace: through the routing, by weights alone, and as the least that it could cost."""

import random
from collections.abc import Sequence
from decimal import Decimal
from math import ceil

from msgspec import Struct, structs

from bench.cost.market import LIST, OUTPUT_RATIO, Offer, settings_of
from bench.cost.optimum import Counting, Demand, Limit, Pool, least_cost, most_let_in
from bench.cost.shuffle import shared_by_weight
from domain.group import ModelGroup
from entrypoints.simulate.run import Played, play
from entrypoints.simulate.scenario import Scenario, scenario_of
from entrypoints.simulate.traffic import Arrival
from entrypoints.simulate.world.journal import EndpointBooks
from entrypoints.wiring.groups import model_groups
from simulator.limits import token_cost
from simulator.provisioned import HOLDS_S


class Optimum(Struct, frozen=True):
    """As good as it could be, see `optimum`."""

    cost: float
    """The least, in dollars."""
    first_tier_tokens: float
    """The most that the first tier can let in of all requests."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of one way to share a trace."""

    cost: float
    """In dollars, as the simulated providers' books have it."""
    client_errors: int = 0
    """429s among them."""
    provider_429s: int = 0
    wait_p50_s: float = 0.0
    """Of all requests, also those that did not wait."""
    wait_p99_s: float = 0.0
    tier_shares: tuple[float, ...] = ()
    """What each tier answered, in percent of what was not answered from the cache."""
    first_tier_tokens: int = 0
    """That the limits of the first tier let in."""


def at_list_price(arrivals: Sequence[Arrival]) -> float:
    """What all of them cost at the dearest endpoint."""
    return sum(LIST.cost(each.given_tokens, each.answered_tokens) for each in arrivals)


def repeating(arrivals: Sequence[Arrival], share: float, seed: int) -> list[Arrival]:
    """The same arrivals, of which that part is word for word one of those before it that is no repeat itself."""
    dice = random.Random(f"{seed} repeats")  # noqa: S311 - repeatable on purpose
    new: list[int] = []
    told: list[Arrival] = []
    for number, arrival in enumerate(arrivals):
        if not new or dice.random() >= share:
            new.append(number)
            told.append(arrival)
            continue
        first = dice.choice(new)
        said = arrivals[first]
        told.append(
            structs.replace(
                arrival, given_tokens=said.given_tokens, answered_tokens=said.answered_tokens, repeats=first
            )
        )
    return told


def routed(arrivals: Sequence[Arrival], offers: Sequence[Offer], tier_wait_s: float, *, caches: bool) -> Outcome:
    """Through the routing of the proxy. Raises `AssertionError` where its own sums are not the providers'."""
    settings = settings_of(offers, tier_wait_s)
    (group,) = model_groups(settings)
    scenario = structs.replace(_scenario(group, offers), caches=caches)
    arrivals = [structs.replace(each, group=group) for each in arrivals]
    played = play(settings, scenario, arrivals, max(1.0, arrivals[-1].at_s), seed=0)
    books = played.journal.books
    cost = sum(offer.cost(books[offer.name].given_tokens, books[offer.name].answered_tokens) for offer in offers)
    _check_books(played, cost)
    cost += _hours_price(offers, arrivals)
    outcomes = played.outcomes
    waits = [*outcomes.waits_s, *[0.0] * (len(arrivals) - len(outcomes.waits_s))]
    return Outcome(
        cost=cost,
        client_errors=sum(outcomes.errors.values()),
        provider_429s=sum(sum(each.refused) for each in books.values()),
        wait_p50_s=_percentile(waits, 0.5),
        wait_p99_s=_percentile(waits, 0.99),
        tier_shares=_shares(offers, {name: sum(each.answered) for name, each in books.items()}),
        first_tier_tokens=sum(_let_in(books[o.name], o) for o in offers if not o.tier),
    )


def by_weight(arrivals: Sequence[Arrival], offers: Sequence[Offer], weights: Sequence[int], *, caches: bool) -> Outcome:
    """By weights alone, see `shuffle`. A cache answers each repeat."""
    asked = [each for each in arrivals if each.repeats is None or not caches]
    (group,) = model_groups(settings_of(offers, 0.0))
    names = [offer.name for offer in offers]
    shared = shared_by_weight(asked, _scenario(group, offers).plans, dict(zip(names, weights, strict=True)), seed=0)
    return Outcome(
        cost=sum(offer.cost(shared.given_tokens[offer.name], shared.answered_tokens[offer.name]) for offer in offers),
        client_errors=shared.client_429s,
        provider_429s=shared.provider_429s,
        tier_shares=_shares(offers, shared.answered),
        first_tier_tokens=sum(shared.charged_tokens[offer.name] for offer in offers if not offer.tier),
    )


def optimum(arrivals: Sequence[Arrival], offers: Sequence[Offer], tier_wait_s: float, *, caches: bool) -> Optimum:
    """The least that these requests can cost; with a cache each that is no repeat, once."""
    tiers = sorted({offer.tier for offer in offers})
    cheapest = [max((o for o in offers if o.tier == tier), key=lambda o: o.spread) for tier in tiers]
    demands = [
        Demand(
            each.at_s,
            _charged(each, offers[0]),
            tuple(offer.cost(each.given_tokens, each.answered_tokens) for offer in cheapest),
        )
        for each in arrivals
        if each.repeats is None or not caches
    ]
    # A provisioned deployment lets any request in while it is not full, however large.
    largest = max(demand.tokens for demand in demands)
    pools = []
    for tier in tiers[:-1]:
        within = [offer for offer in offers if offer.tier <= tier]
        counting: Counting = "windows" if within[0].style == "azure" else "bucket"
        opens_s = [demand.at_s for demand in demands[: len(within)]]
        limits = tuple(
            Limit(offer.tpm, at_s, offer.tpm / 60 * HOLDS_S + largest if offer.style == "ptu" else None)
            for offer, at_s in zip(within, opens_s, strict=False)
        )
        pools.append(Pool(limits, counting))
    cost = least_cost(demands, pools, tier_wait_s) + _hours_price(offers, arrivals)
    return Optimum(cost, most_let_in(demands, pools[0], tier_wait_s))


def _let_in(books: EndpointBooks, offer: Offer) -> int:
    """The tokens that its limit is charged in the end, of all requests."""
    if offer.style == "ptu":
        return _counted(books.given_tokens, books.answered_tokens)
    return sum(books.charged_tokens.values())


def _charged(arrival: Arrival, offer: Offer) -> int:
    """Of the limit of such endpoints, in the end."""
    if offer.style == "ptu":
        return _counted(arrival.given_tokens, arrival.answered_tokens)
    return token_cost(4 * arrival.given_tokens, arrival.answered_tokens)


def _counted(given: int, answered: int) -> int:
    """By a provisioned deployment, in input tokens."""
    return ceil(given + OUTPUT_RATIO * answered)


def _hours_price(offers: Sequence[Offer], arrivals: Sequence[Arrival]) -> float:
    """Of provisioned capacity, by the hours that have begun."""
    hours = ceil(max(1.0, arrivals[-1].at_s) / 3600)
    return hours * sum(offer.per_hour for offer in offers if offer.per_hour is not None)


def _scenario(group: ModelGroup, offers: Sequence[Offer]) -> Scenario:
    return scenario_of([group], [], [(offer.name, offer.limits) for offer in offers])


def _check_books(played: Played, cost: float) -> None:
    costs = [state.tally.costs for state in played.states.values()]
    for each in costs:
        each.fold()
    spent = sum((each.spent for each in costs), Decimal(0))
    if abs(float(spent) - cost) > 1e-6:
        raise AssertionError(f"the proxy reckons {spent}, the providers {cost}")


def _shares(offers: Sequence[Offer], answered: dict[str, int]) -> tuple[float, ...]:
    total = sum(answered.values()) or 1
    tiers = sorted({offer.tier for offer in offers})
    return tuple(
        round(100 * sum(answered[offer.name] for offer in offers if offer.tier == tier) / total, 1) for tier in tiers
    )


def _percentile(seconds: Sequence[float], part: float) -> float:
    return round(sorted(seconds)[ceil(len(seconds) * part) - 1], 2)
