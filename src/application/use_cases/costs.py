"""What traffic cost and what was saved, for people; beside each sum how much of the traffic is in it."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from functools import reduce
from operator import add

from msgspec import Struct

from application.observing.counted import Counted
from application.observing.tallies import EndpointTally
from domain.caching.cache_key import CacheState
from domain.endpoint import Endpoint
from domain.group import ModelGroup

_SPARED = frozenset({CacheState.HIT, CacheState.SHARED})


class CostStatus(Struct, frozen=True):
    """Since the start of the proxy, in units of the currency."""

    spent: float
    """What the priced replies cost."""
    saved_by_cache: float
    """What the answers of `priced_hits` had cost."""
    saved_by_routing: float
    """What the priced replies would have cost more at the group's `price_baseline`; below 0 = less."""
    per_hour: float
    """Of provisioned capacity, whatever is asked of it; in no other sum."""
    replies: int
    priced_replies: int
    """Those of them whose cost is known."""
    hits: int | None
    """Answers from the cache, or of a call that another request shared; None = not known for one endpoint alone."""
    priced_hits: int
    """Those of them whose cost is known."""
    cached_share: float | None
    """Of the tokens of prompts, how many came from the provider's prompt cache; None = there were none."""


def has_prices(groups: Iterable[ModelGroup]) -> bool:
    return any(endpoint.price is not None for group in groups for endpoint in group.endpoints)


def cost_of(endpoint: Endpoint, counted: Counted) -> CostStatus:
    return _told([endpoint], [counted.endpoints.get(endpoint.id, EndpointTally())], None)


def cost_of_group(group: ModelGroup, counted: Counted) -> CostStatus:
    """Also what endpoints cost that it no longer has."""
    tallies = [tally for tally in counted.endpoints.values() if tally.group == group.name]
    return _told(group.endpoints, tallies, sum(_hits(counted, group.name)))


def cost_of_all(groups: Iterable[ModelGroup], counted: Counted) -> CostStatus:
    """Of the proxy, whose groups these are now; also what those cost that it no longer has."""
    endpoints = [endpoint for group in groups for endpoint in group.endpoints]
    return _told(endpoints, list(counted.endpoints.values()), sum(_hits(counted)))


def _hits(counted: Counted, group: str | None = None) -> Iterator[int]:
    """By what they were; `group` None = of all."""
    for it, times in counted.requests.items():
        if it.cache in _SPARED and it.status_class == "2xx" and (group is None or it.group == group):
            yield times


def _told(endpoints: Iterable[Endpoint], tallies: Sequence[EndpointTally], hits: int | None) -> CostStatus:
    tally = reduce(add, tallies, EndpointTally())
    costs = tally.costs
    prices = (endpoint.price for endpoint in endpoints)
    per_hour = sum((price.per_hour for price in prices if price and price.per_hour is not None), Decimal(0))
    return CostStatus(
        float(costs.spent),
        float(costs.saved_by_cache),
        float(costs.saved_by_routing),
        float(per_hour),
        costs.replies,
        costs.priced,
        hits,
        costs.priced_hits,
        round(tally.cached_tokens / tally.input_tokens, 4) if tally.input_tokens else None,
    )
