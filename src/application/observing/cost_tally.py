"""What an endpoint's replies cost, in sums, and of how many that is known."""

from decimal import Decimal

from msgspec import Struct

from domain.cost import Price
from domain.rate_limit.token_estimate import Usage

_NONE = Decimal(0)
_PICO = Decimal("1e-12")


class CostTally(Struct):
    """Amounts are in units of the currency, as the prices were when the replies came.

    Of new replies the tokens are added up, which costs a request little: what they cost, and would have cost at the
    baseline, is reckoned for all of them at once, and reaches the sums with `fold`. It is the same amount, as both are
    linear in the tokens and whole numbers of picos.
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
    new_price: Price | None = None
    """At which the new replies are paid; None = there are none."""
    new_baseline: Price | None = None
    """What they are held against; None = nothing."""
    new_prompt_tokens: int = 0
    """Of the new replies, likewise the next three; see `Usage`."""
    new_output_tokens: int = 0
    new_cached_tokens: int = 0
    new_written_tokens: int = 0
    new_saved_by_cache: int = 0
    """In picos."""

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
        if price is not self.new_price or baseline is not self.new_baseline:
            self.fold()
            self.new_price, self.new_baseline = price, baseline
        self.priced += 1
        self.new_prompt_tokens += usage.prompt_tokens
        self.new_output_tokens += usage.output_tokens
        if usage.cached_tokens:
            self.new_cached_tokens += usage.cached_tokens
        if usage.written_tokens:
            self.new_written_tokens += usage.written_tokens
        return cost

    def fold(self) -> None:
        """Bring the sums up to date. To be called before they are read, sent or added up."""
        self.saved_by_cache += self.new_saved_by_cache * _PICO
        self.new_saved_by_cache = 0
        price, baseline = self.new_price, self.new_baseline
        if price is None:
            return
        usage = Usage(self.new_prompt_tokens, self.new_output_tokens, self.new_cached_tokens, self.new_written_tokens)
        spent = price.cost(usage) or 0
        self.spent += spent * _PICO
        if baseline is not None:
            self.saved_by_routing += ((baseline.cost(usage) or 0) - spent) * _PICO
        self.new_price = self.new_baseline = None
        self.new_prompt_tokens = self.new_output_tokens = self.new_cached_tokens = self.new_written_tokens = 0

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
