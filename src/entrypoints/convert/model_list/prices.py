"""LiteLLM's costs per token become a price per million tokens."""

from decimal import Decimal

from entrypoints.convert.notes import Section

KEYS = {
    "input_cost_per_token": "input",
    "cache_read_input_token_cost": "cached_input",
    "cache_creation_input_token_cost": "cache_write",
    "output_cost_per_token": "output",
}
_DEAREST = 1000.0  # units of the currency for a token: `price` takes no more
_VARIABLE = "is a variable, and for a token; write price, which is for a million tokens"
_HALF = "has no other half: a price needs both input_cost_per_token and output_cost_per_token; write price by hand"


def price_of(params: Section) -> dict[str, dict[str, int | float]]:
    """The settings for what is said there of costs; empty = nothing is, or not enough."""
    found = {key: said for key in KEYS if (said := params.number(key, 0, _DEAREST)) is not None}
    price: dict[str, int | float] = {}
    numbers = {key for key, (_, per_token) in found.items() if not isinstance(per_token, str)}
    is_whole = {"input_cost_per_token", "output_cost_per_token"} <= numbers
    for key, (node, per_token) in found.items():
        if isinstance(per_token, str):
            params.notes.left(node, _VARIABLE)
        elif not is_whole:
            params.notes.left(node, _HALF)
        else:
            per_million = float(Decimal(str(per_token)).scaleb(6))
            price[KEYS[key]] = int(per_million) if per_million == int(per_million) else per_million
    return {"price": price} if price else {}
