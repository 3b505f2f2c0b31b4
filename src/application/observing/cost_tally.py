"""What an endpoint's replies cost, in sums, and of how many that is known."""

from decimal import Decimal

from msgspec import Struct

_NONE = Decimal(0)


class CostTally(Struct):
    """Amounts are in units of the currency, as the prices were when the replies came."""

    unpriced: int = 0
    """Answers to calls of a model whose cost is not known: there is no price, or the reply did not say its usage."""
    priced: int = 0
    """Those whose cost is known."""
    spent: Decimal = _NONE
    """What these cost."""
    saved_by_routing: Decimal = _NONE
    """What the same tokens would have cost more at the group's `price_baseline`; below 0 = less."""
    priced_hits: int = 0
    """How often one of its answers was given from the cache whose cost is known."""
    saved_by_cache: Decimal = _NONE
    """What these had cost when the endpoint gave them."""

    @property
    def replies(self) -> int:
        """Answers to calls of a model, with or without usage."""
        return self.priced + self.unpriced

    @property
    def baseline(self) -> Decimal:
        """What the tokens of priced replies would have cost at the baseline."""
        return self.spent + self.saved_by_routing

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
