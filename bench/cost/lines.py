"""All ways to share one trace, each a line of the tables."""

from collections.abc import Iterator, Sequence

from msgspec import Struct, structs

from bench.cost.market import LIST, TIER_WAIT_S, discounted, provisioned
from bench.cost.play import Optimum, Outcome, at_list_price, by_weight, optimum, repeating, routed
from entrypoints.simulate.traffic import Arrival
from simulator.settings import HeaderStyle

REPEATED = 0.2
"""So many of the requests repeat an earlier one, where there is a cache."""
_STYLES: tuple[tuple[HeaderStyle, str], ...] = (("openai", "OpenAI's"), ("azure", "Azure's"))
PROVISIONED = "provisioned"
_NINE_TO_ONE = (45, 27, 8)
"""Nine of ten requests go to the two discounted endpoints, in proportion to their limits."""


class Line(Struct, frozen=True, kw_only=True):
    """One way, and what came of it."""

    way: str
    outcome: Outcome
    trace: str = ""
    cached: bool = False
    limits: str = ""
    """How the discounted endpoints count; empty = there are none."""
    tier_wait_s: float = 0.0
    list_price: float = 0.0
    """What the same requests cost at the list price, without a cache."""
    optimum: Optimum | None = None
    """The least that they could cost with these limits and waits; None = there is no choice."""

    @property
    def saved(self) -> float:
        """Of the list price, in percent."""
        return 100 * (1 - self.outcome.cost / self.list_price)

    @property
    def above_optimum(self) -> float | None:
        """How much it is dearer than the optimum, in percent of that; None = there is none to compare with."""
        return None if self.optimum is None else 100 * (self.outcome.cost / self.optimum.cost - 1)

    @property
    def room_used(self) -> float | None:
        """Of the most tokens that the first tier could have let in, in percent."""
        if self.optimum is None:
            return None
        return 100 * self.outcome.first_tier_tokens / self.optimum.first_tier_tokens


def lines_of(trace: str, arrivals: Sequence[Arrival]) -> Iterator[Line]:
    """One after the other, as they are played."""
    for caches in (False, True):
        asked = repeating(arrivals, REPEATED, seed=0) if caches else list(arrivals)
        price = at_list_price(asked)
        for way in _ways(asked, caches=caches):
            yield structs.replace(way, trace=trace, cached=caches, list_price=price)


def _ways(asked: Sequence[Arrival], *, caches: bool) -> Iterator[Line]:
    yield Line(way="all to the dearest", outcome=routed(asked, [LIST], 0.0, caches=caches))
    for style, name in _STYLES:
        offers = discounted(style)
        least = optimum(asked, offers, 0.0, caches=caches)
        shared = by_weight(asked, offers, _NINE_TO_ONE, caches=caches)
        yield Line(way="weights 9 : 1", limits=name, optimum=least, outcome=shared)
        yield Line(way="tiers", limits=name, optimum=least, outcome=routed(asked, offers, 0.0, caches=caches))
        least = optimum(asked, offers, TIER_WAIT_S, caches=caches)
        waited = routed(asked, offers, TIER_WAIT_S, caches=caches)
        yield Line(way="tiers, waiting", limits=name, tier_wait_s=TIER_WAIT_S, optimum=least, outcome=waited)
    offers = provisioned()
    for wait_s, way in ((0.0, PROVISIONED), (TIER_WAIT_S, f"{PROVISIONED}, waiting")):
        least = optimum(asked, offers, wait_s, caches=caches)
        outcome = routed(asked, offers, wait_s, caches=caches)
        yield Line(way=way, limits="PTU", tier_wait_s=wait_s, optimum=least, outcome=outcome)
