"""What replies cost, by the prices of the configuration: exact, and never guessed.

Amounts are whole numbers of picos, 10**-12 units of the currency. A price per million tokens with no more than six
decimals is a whole number of them for each token; so costs and their sums are exact, in any order.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Self

from msgspec import Struct

from domain.rate_limit.token_estimate import Usage

PRICE_DECIMALS = 6
"""More than so many of a price per million tokens are not kept."""

PICOS = 10**12
"""In a unit of the currency."""

_MICRO = Decimal("1e-6")


class Price(Struct, frozen=True, gc=False):
    """What an endpoint charges for a token of each kind, in picos; or for an hour, whatever is asked of it."""

    input: int = 0
    """Of a prompt's tokens, but for those of the next two kinds."""
    cached_input: int = 0
    """Those that came from the provider's prompt cache."""
    cache_write: int = 0
    """Those that were written to it."""
    output: int = 0
    per_hour: Decimal | None = None
    """Of provisioned capacity, in units of the currency: then no token costs anything more. None = tokens are paid."""

    @classmethod
    def per_million(
        cls, prompt: Decimal, output: Decimal, cached: Decimal | None = None, written: Decimal | None = None
    ) -> Self:
        """In units of the currency per million tokens; None = as for other tokens of a prompt."""
        cached = prompt if cached is None else cached
        written = prompt if written is None else written
        return cls(_picos(prompt), _picos(cached), _picos(written), _picos(output))

    def cost(self, usage: Usage) -> int | None:
        """What a reply adds to the bill that says this of itself, in picos; None = what it says does not add up."""
        prompt, cached, written = usage.prompt_tokens, usage.cached_tokens, usage.written_tokens
        picos = prompt * self.input + usage.output_tokens * self.output
        if cached or written:
            if not usage.adds_up():
                return None
            picos += cached * (self.cached_input - self.input) + written * (self.cache_write - self.input)
        return picos


def dearest(prices: Iterable[Price | None]) -> Price | None:
    """The one whose input and output together cost the most, of those that are paid by token; the first of equals.
    None = none is."""
    by_token = [price for price in prices if price is not None and price.per_hour is None]
    return max(by_token, key=lambda price: price.input + price.output, default=None)


def amount_text(picos: int) -> str:
    """In units, without an exponent and without zeros at its end: `0.0105`. Not for amounts below 0."""
    if 0 < picos < PICOS:  # nearly all replies; takes half as long
        return f"0.{str(PICOS + picos)[1:].rstrip('0')}"
    units, rest = divmod(picos, PICOS)
    return f"{units}.{rest:012}".rstrip("0").rstrip(".")


def _picos(per_million: Decimal) -> int:
    return int((per_million / _MICRO).to_integral_value())
