"""What an endpoint's replies cost, in sums that only grow, and of how many that is known."""

from decimal import Decimal

from msgspec import Struct

_NONE = Decimal(0)


class CostTally(Struct):
    """Amounts are in units of the currency, as the prices were when the replies came."""

    replies: int = 0
    """Answers to calls of a model, with or without usage."""
    priced: int = 0
    """Those of them whose cost is known: the endpoint has a price, and the reply said its usage."""
    spent: Decimal = _NONE
    """What these cost."""
    baseline: Decimal = _NONE
    """What the same tokens would have cost at the group's `price_baseline`."""
    priced_hits: int = 0
    """How often one of its answers was given from the cache whose cost is known."""
    saved_by_cache: Decimal = _NONE
    """What these had cost when the endpoint gave them."""

    def charge(self, cost: Decimal, baseline: Decimal) -> None:
        """One more reply."""
        self.priced += 1
        self.spent += cost
        self.baseline += baseline

    def __add__(self, other: "CostTally") -> "CostTally":
        return CostTally(
            self.replies + other.replies,
            self.priced + other.priced,
            self.spent + other.spent,
            self.baseline + other.baseline,
            self.priced_hits + other.priced_hits,
            self.saved_by_cache + other.saved_by_cache,
        )

    def __sub__(self, earlier: "CostTally") -> "CostTally":
        """What came after an earlier copy of this one."""
        return CostTally(
            self.replies - earlier.replies,
            self.priced - earlier.priced,
            self.spent - earlier.spent,
            self.baseline - earlier.baseline,
            self.priced_hits - earlier.priced_hits,
            self.saved_by_cache - earlier.saved_by_cache,
        )
