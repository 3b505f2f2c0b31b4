"""What a request is charged before anybody knows what it takes, and what of it comes back."""

from enum import Enum

from msgspec import Struct


class Ending(Enum):
    ANSWERED = "answered"
    LEFT = "left"
    """Nobody waited for what became of it, or nothing did: a request larger than the limit is taken to be refused."""
    REFUSED = "refused"
    """The provider would not answer it. That took no tokens; it counts as a request all the same (OpenAI rate-limits
    guide: unsuccessful requests contribute to the limit)."""
    UNSENT = "unsent"  # the provider never saw it, it cost nothing


class Reservation(Struct, frozen=True, gc=False):
    """What one request was charged, and where that stands in the books."""

    tokens: float  # what it is expected to take
    requests_mark: float
    tokens_mark: float
    others: float = 0.0  # how many requests were on their way when it was sent: it may overtake so many ...
    others_tokens: float = 0.0  # ... that take so much
    is_too_large: bool = False  # Is it expected to take more than the whole limit? Then `tokens` is the limit.

    is_void: bool = False  # Is it given back already, as the bucket took nothing of the request?

    def unused(self, ending: Ending, limit: float | None) -> float:
        """The tokens that come back at its end, where all of a limit is `limit`; None = that is unknown."""
        is_over = limit is not None and self.tokens > limit  # charged when the limit was not known yet
        if ending is Ending.ANSWERED:
            return self.tokens - limit if limit is not None and is_over else 0.0
        return self.tokens if is_over or self.is_too_large or ending is not Ending.LEFT else 0.0
