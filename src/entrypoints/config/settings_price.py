"""`price` of a model."""

from typing import ClassVar

from entrypoints.config import value_types as values
from entrypoints.config.reading.schema import Section


class PriceSettings(Section, frozen=True):
    """`price` of a model, in units of `currency`: per million tokens, with `input` and `output`; or `per_hour`."""

    home: ClassVar = "a price"
    valid: ClassVar = "a mapping of input, cached_input, cache_write and output, or of per_hour"

    input: values.Amount | None = None
    """Per million tokens of prompts."""
    cached_input: values.Amount | None = None
    """Per million of those that came from the provider's prompt cache; None = as `input`."""
    cache_write: values.Amount | None = None
    """Per million of those that were written to it; None = as `input`."""
    output: values.Amount | None = None
    """Per million tokens of answers."""
    per_hour: values.Amount | None = None
    """Of provisioned capacity, instead: what an hour of it costs, whatever is asked of it."""
