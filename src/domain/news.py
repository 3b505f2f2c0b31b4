"""What replicas tell each other about endpoints and rate limits, and how two such reports become one.

Merging is a join: commutative, associative and idempotent, so that it does not matter in which order, how often or by
which way a report arrives. Times are seconds on one clock, whichever; `shifted` moves a report to another.
"""

from msgspec import Struct

from domain.gauge import Reading


class CooldownNews(Struct, frozen=True):
    """The health of one endpoint as another replica should know it. None = nothing to tell."""

    opened_at: float | None = None
    """When its latest cooldown began."""
    open_until: float | None = None
    """When that ends, or ended: after that a probe has to show that the endpoint is well."""
    cooldown_s: float = 0.0
    """How long it was meant to be, before jitter."""
    closed_at: float | None = None
    """A request sent then went well: cooldowns that began before hold no longer."""


class ReadingNews(Struct, frozen=True):
    """The newest reading of one limit."""

    reading: Reading = Reading()
    read_at: float | None = None
    """When the request was sent whose reply gave it; None = there is none."""


class BucketNews(Struct, frozen=True):
    """What is known of one rate limit."""

    limited_until: float | None = None
    """The end of the newest 429 clock; None = none was set."""
    unexplained: int = 0
    """429s in a row that named no delay."""
    requests: ReadingNews = ReadingNews()
    tokens: ReadingNews = ReadingNews()


class StateReport(Struct, frozen=True):
    """Everything one replica has to tell."""

    endpoints: dict[str, CooldownNews] = {}
    """By `Endpoint.identity`."""
    buckets: dict[str, BucketNews] = {}
    """By `Endpoint.bucket`; those of clients' own keys are not shared."""
