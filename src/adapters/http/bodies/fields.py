"""The fields of a body that the proxy acts on, and how many choices and tokens they ask for. The numbers are the
client's: what is no number is the provider's to judge, and one too large to be counted with is refused here."""

from typing import Any, NoReturn

from msgspec import Struct

from application.errors import InvalidRequest

LARGEST_COUNT = 2**63 - 1
"""No provider reads more, and few readers of JSON can."""
_NAMES = ("n", "max_completion_tokens", "max_output_tokens", "max_tokens")


class Fields(Struct, frozen=True):
    """What the proxy acts on in a body."""

    model: str | None = None
    stream: Any = None
    n: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    background: Any = None
    store: Any = None
    audio: Any = None
    prompt_cache_key: Any = None
    safety_identifier: Any = None
    user: Any = None
    temperature: Any = None


def choices(fields: Fields) -> int:
    """How many answers are asked for; 1 where nothing says so. Raises `InvalidRequest`."""
    count = fields.n
    if not isinstance(count, int) or count <= 0:
        return 1
    return count if count <= LARGEST_COUNT else _refused(count, fields)


def max_output_tokens(fields: Fields) -> int | None:
    """The most output that is asked for; None = nothing sets a limit. Raises `InvalidRequest`."""
    for count in (fields.max_completion_tokens, fields.max_output_tokens, fields.max_tokens):
        if count is not None and isinstance(count, int) and count >= 0:
            return count if count <= LARGEST_COUNT else _refused(count, fields)
    return None


def _refused(count: int, fields: Fields) -> NoReturn:
    param = next(name for name in _NAMES if getattr(fields, name) is count)
    text = f"'{param}' is a number of {len(str(count))} digits; it can be {LARGEST_COUNT} at most."
    raise InvalidRequest(text, param=param)
