"""What is for sale: endpoints with their prices and limits, as configurations of the proxy."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from entrypoints.config.load import load_settings
from entrypoints.config.settings import Settings
from entrypoints.simulate.options import Limits
from simulator.settings import HeaderStyle

INPUT, OUTPUT = 2.5, 10.0
"""The list price, in dollars per million tokens; the dearest."""
OUTPUT_RATIO = OUTPUT / INPUT
"""An output token counts for so many input tokens of the provisioned deployment, as Azure counts from gpt-4.1 on."""
SPREAD = 0.5
"""By so much of it the discounted endpoints are cheaper."""
PER_HOUR = 24.0
"""Of the provisioned deployment, in dollars."""
TIER_WAIT_S = 2.0
"""`max_wait_for_tier` where requests wait."""


class Offer(Struct, frozen=True):
    """One endpoint."""

    name: str
    tier: int
    """Its `priority`."""
    weight: int
    tpm: int
    style: HeaderStyle
    """How its provider counts."""
    spread: float = 0.0
    """How much cheaper a token is than at the list price, of 1."""
    per_hour: float | None = None
    """What it costs, whatever is asked of it, where it is provisioned; None = tokens are paid."""

    @property
    def limits(self) -> Limits:
        """Six requests a minute for each thousand tokens a minute, as Azure gives them out, so that tokens are what
        binds; provisioned ones have no limit of requests."""
        return Limits(None if self.style == "ptu" else 6 * self.tpm // 1000, self.tpm, self.style)

    def cost(self, given: int, answered: int) -> float:
        """What so many tokens cost here, in dollars."""
        return (1 - self.spread) * (given * INPUT + answered * OUTPUT) / 1e6

    def as_yaml(self) -> str:
        """Its entry in the configuration."""
        host = "api.openai.com" if self.style == "openai" else f"{self.name}.openai.azure.com/openai"
        rest = 1 - self.spread
        price = f"input: {rest * INPUT:g}, output: {rest * OUTPUT:g}"
        if self.per_hour is not None:
            price = f"per_hour: {self.per_hour:g}"
        return (
            f"{{id: {self.name}, model: m, priority: {self.tier}, weight: {self.weight}, price: {{{price}}}, "
            f"{f'capacity: provisioned, output_token_ratio: {OUTPUT_RATIO:g}, ' if self.style == 'ptu' else ''}"
            f"params: {{api_key: {self.name}-key, base_url: 'https://{host}/v1'}}}}"
        )


LIST = Offer("list", 1, 1, 5_000_000, "openai")
"""More than either trace ever asks for."""


def discounted(style: HeaderStyle) -> tuple[Offer, ...]:
    """Two endpoints at a discount whose limits bind, and the list price for the rest."""
    return (
        Offer("east", 0, 5, 250_000, style, SPREAD),
        Offer("west", 0, 3, 150_000, style, SPREAD),
        LIST,
    )


def provisioned() -> tuple[Offer, ...]:
    """A provisioned deployment that takes as large a part of the conversations' tokens, as it counts them, as both
    discounted endpoints of theirs; and the list price for the rest."""
    return (Offer("reserved", 0, 1, 570_000, "ptu", 1.0, PER_HOUR), LIST)


def settings_of(offers: Sequence[Offer], tier_wait_s: float) -> Settings:
    """The configuration of a proxy that has these endpoints in one group."""
    lines = [
        f"general_settings: {{max_wait_for_tier: {tier_wait_s:g}}}",
        "model_groups:",
        "  - model_group: g",
        "    models:",
        *(f"      - {offer.as_yaml()}" for offer in offers),
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "llmproxy.yaml"
        file.write_text("\n".join(lines), encoding="utf-8")
        return load_settings(file, {})
