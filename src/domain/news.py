"""What replicas tell each other about endpoints and rate limits, and how two such reports become one.

Merging is a join: commutative, associative and idempotent, so that it does not matter in which order, how often or by
which way a report arrives. Times are seconds on one clock, whichever; `shifted` moves a report to another.

Only first-hand knowledge is told. A moment that travels through a store looks a little later at the other end, by the
time the store took. What is told once is late once; what were told on and on would get later without end, and a
cooldown that comes back to where it began, a little longer each time, would never be over.
"""

import math

from msgspec import Struct, structs

from domain.limit_terms import Reading

SKEW_S = 0.25
"""By how much one moment may look later to another replica than it was: what a slow store takes to write and to read.
Moments that are nearer to each other than this have no certain order."""

COOLDOWN_TOLD_S = 60.0
"""For how long after its end a cooldown is still told: as yet nobody has shown that the endpoint is well."""
RECOVERY_TOLD_S = 600.0
"""For how long a recovery is told, beside the longest cooldown there may be: as long as an old report of the cooldown
that it ended may linger."""
READING_TOLD_S = 60.0
"""For how long a reading is told: by then most limits have all their room back."""


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

    def merged(self, other: "CooldownNews") -> "CooldownNews":
        """Two cooldowns count as one, from the later beginning to the later end: a recovery ends it that came after
        both had begun. Of two recoveries the later counts."""
        longer = max(self, other, key=_end)
        return CooldownNews(
            _later(self.opened_at, other.opened_at),
            longer.open_until,
            longer.cooldown_s,
            _later(self.closed_at, other.closed_at),
        )

    def shifted(self, by_s: float) -> "CooldownNews":
        """The same, on a clock that is `by_s` seconds ahead."""
        return CooldownNews(
            _moved(self.opened_at, by_s), _moved(self.open_until, by_s), self.cooldown_s, _moved(self.closed_at, by_s)
        )

    def of_interest(self, now: float, longest_s: float) -> "CooldownNews":
        """What of it may still mean something to somebody at `now`, where no cooldown is longer than `longest_s`."""
        cooldown_over = self.open_until is not None and self.open_until + COOLDOWN_TOLD_S <= now
        recovery_over = self.closed_at is not None and self.closed_at + longest_s + RECOVERY_TOLD_S <= now
        if not cooldown_over and not recovery_over:
            return self
        closed_at = None if recovery_over else self.closed_at
        return CooldownNews(closed_at=closed_at) if cooldown_over else structs.replace(self, closed_at=closed_at)


class ReadingNews(Struct, frozen=True):
    """The newest reading of one limit."""

    reading: Reading = Reading()
    read_at: float | None = None
    """When the request was sent whose reply gave it; None = there is none."""

    def merged(self, other: "ReadingNews") -> "ReadingNews":
        """The newer of the two."""
        return max(self, other, key=_age_rank)

    def shifted(self, by_s: float) -> "ReadingNews":
        """The same, on a clock that is `by_s` seconds ahead."""
        return self if self.read_at is None else ReadingNews(self.reading, self.read_at + by_s)

    def of_interest(self, now: float) -> "ReadingNews":
        """Itself, or that there is none."""
        return NO_READING if self.read_at is None or self.read_at + READING_TOLD_S <= now else self


NO_READING = ReadingNews()


class BucketNews(Struct, frozen=True):
    """What is known of one rate limit."""

    limited_until: float | None = None
    """The end of the newest 429 clock; None = none was set."""
    unexplained: int = 0
    """429s in a row that named no delay."""
    requests: ReadingNews = NO_READING
    tokens: ReadingNews = NO_READING

    def merged(self, other: "BucketNews") -> "BucketNews":
        """The clock that ends later, and the newer reading of each limit."""
        clock = max(self, other, key=_clock_rank)
        return BucketNews(
            clock.limited_until,
            clock.unexplained,
            self.requests.merged(other.requests),
            self.tokens.merged(other.tokens),
        )

    def shifted(self, by_s: float) -> "BucketNews":
        """The same, on a clock that is `by_s` seconds ahead."""
        return BucketNews(
            _moved(self.limited_until, by_s), self.unexplained, self.requests.shifted(by_s), self.tokens.shifted(by_s)
        )

    def of_interest(self, now: float) -> "BucketNews":
        """A clock that still runs, and readings that are not old."""
        runs = self.limited_until is not None and self.limited_until > now
        return BucketNews(
            self.limited_until if runs else None,
            self.unexplained if runs else 0,
            self.requests.of_interest(now),
            self.tokens.of_interest(now),
        )


class StateReport(Struct, frozen=True):
    """Everything one replica has to tell."""

    endpoints: dict[str, CooldownNews] = {}
    """By `Endpoint.identity`."""
    buckets: dict[str, BucketNews] = {}
    """By `Endpoint.bucket`; those of clients' own keys are not shared."""

    @property
    def is_empty(self) -> bool:
        """Is there nothing to tell?"""
        return not self.endpoints and not self.buckets

    def merged(self, other: "StateReport") -> "StateReport":
        """What either of them tells."""
        endpoints, buckets = dict(self.endpoints), dict(self.buckets)
        for identity, cooldown in other.endpoints.items():
            endpoints[identity] = endpoints[identity].merged(cooldown) if identity in endpoints else cooldown
        for name, bucket in other.buckets.items():
            buckets[name] = buckets[name].merged(bucket) if name in buckets else bucket
        return StateReport(endpoints, buckets)

    def shifted(self, by_s: float) -> "StateReport":
        """The same, on a clock that is `by_s` seconds ahead."""
        return StateReport(
            {identity: news.shifted(by_s) for identity, news in self.endpoints.items()},
            {name: news.shifted(by_s) for name, news in self.buckets.items()},
        )


NO_COOLDOWN = CooldownNews()
NO_LIMIT = BucketNews()


def _rank(number: float | None) -> float:
    """What is not told, and what is not a number, comes before everything."""
    return -math.inf if number is None or math.isnan(number) else number


def _later(one: float | None, other: float | None) -> float | None:
    return max(one, other, key=_rank)


def _moved(at: float | None, by_s: float) -> float | None:
    return None if at is None else at + by_s


def _end(news: CooldownNews) -> tuple[float, float]:
    return _rank(news.open_until), news.cooldown_s


def _age_rank(news: ReadingNews) -> tuple[float, ...]:
    reading = news.reading
    return _rank(news.read_at), _rank(reading.limit), _rank(reading.remaining), _rank(reading.reset_s)


def _clock_rank(news: BucketNews) -> tuple[float, int]:
    return _rank(news.limited_until), news.unexplained
