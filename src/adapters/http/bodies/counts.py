"""How many choices and tokens a body asks for. The numbers are the client's: what is no number is the provider's to
judge, and one too large to be counted with is refused here."""

from typing import Any, NoReturn, Protocol

from application.errors import InvalidRequest

LARGEST_COUNT = 2**63 - 1
"""No provider reads more, and few readers of JSON can."""
_NAMES = ("n", "max_completion_tokens", "max_output_tokens", "max_tokens")


class Counts(Protocol):
    """The fields of a body that hold them, as they came."""

    @property
    def n(self) -> Any: ...
    @property
    def max_tokens(self) -> Any: ...
    @property
    def max_completion_tokens(self) -> Any: ...
    @property
    def max_output_tokens(self) -> Any: ...


def choices(fields: Counts) -> int:
    """How many answers are asked for; 1 where nothing says so. Raises `InvalidRequest`."""
    count = fields.n
    if not isinstance(count, int) or count <= 0:
        return 1
    return count if count <= LARGEST_COUNT else _refused(count, fields)


def max_output_tokens(fields: Counts) -> int | None:
    """The most output that is asked for; None = nothing sets a limit. Raises `InvalidRequest`."""
    for count in (fields.max_completion_tokens, fields.max_output_tokens, fields.max_tokens):
        if count is not None and isinstance(count, int) and count >= 0:
            return count if count <= LARGEST_COUNT else _refused(count, fields)
    return None


def _refused(count: int, fields: Counts) -> NoReturn:
    param = next(name for name in _NAMES if getattr(fields, name) is count)
    text = f"'{param}' is a number of {len(str(count))} digits; it can be {LARGEST_COUNT} at most."
    raise InvalidRequest(text, param=param)
