"""What an endpoint's replies cost, in sums, and of how many that is known."""

from decimal import Decimal

from msgspec import Struct

from domain.cost import Price
from domain.rate_limit.token_estimate import Usage

_NONE = Decimal(0)
_PICO = Decimal("1e-12")


class CostTally(Struct):
    """Amounts are in units of the currency, as the prices were when the replies came.

    New ones are added up in picos, which costs a request little, and reach the sums with `fold`.
    """

    unpriced: int = 0
    """Answers to calls of a model whose cost is not known: there is no price, or the reply did not say its usage."""
    priced: int = 0
    """Those whose cost is known."""
    spent: Decimal = _NONE
    """What these cost."""
    saved_by_routing: Decimal = _NONE
    """What the same tokens would have cost more at the group's `price_baseline`; below 0 = less."""
    priced_hits: int = 0
    """How often one of its answers whose cost is known was given again: from the cache, or to a request that shared the
    call."""
    saved_by_cache: Decimal = _NONE
    """What these had cost when the endpoint gave them."""
    new_spent: int = 0
    """In picos, likewise the next two."""
    new_saved_by_routing: int = 0
    new_saved_by_cache: int = 0

    @property
    def replies(self) -> int:
        """Answers to calls of a model, with or without usage."""
        return self.priced + self.unpriced

    @property
    def baseline(self) -> Decimal:
        """What the tokens of priced replies would have cost at the baseline."""
        return self.spent + self.saved_by_routing

    def charge(self, usage: Usage, price: Price, baseline: Price | None) -> int | None:
        """A reply said what its request took: what that costs, in picos; None = what it says does not add up.
        `baseline` None = the price is held against itself, or nothing."""
        cost = price.cost(usage)
        if cost is None:
            self.unpriced += 1
            return None
        self.priced += 1
        self.new_spent += cost
        if baseline is not None:
            self.new_saved_by_routing += (baseline.cost(usage) or 0) - cost
        return cost

    def fold(self) -> None:
        """Bring the sums up to date. To be called before they are read, sent or added up."""
        self.spent += self.new_spent * _PICO
        self.saved_by_routing += self.new_saved_by_routing * _PICO
        self.saved_by_cache += self.new_saved_by_cache * _PICO
        self.new_spent = self.new_saved_by_routing = self.new_saved_by_cache = 0

    def __add__(self, other: "CostTally") -> "CostTally":
        return CostTally(
            self.unpriced + other.unpriced,
            self.priced + other.priced,
            self.spent + other.spent,
            self.saved_by_routing + other.saved_by_routing,
            self.priced_hits + other.priced_hits,
            self.saved_by_cache + other.saved_by_cache,
        )

    def __sub__(self, earlier: "CostTally") -> "CostTally":
        """What came after an earlier copy of this one."""
        return CostTally(
            self.unpriced - earlier.unpriced,
            self.priced - earlier.priced,
            self.spent - earlier.spent,
            self.saved_by_routing - earlier.saved_by_routing,
            self.priced_hits - earlier.priced_hits,
            self.saved_by_cache - earlier.saved_by_cache,
        )
