"""What replicas report to each other about one rate limit (`domain.replica_report`)."""

from msgspec import Struct

from domain.rate_limit.limit_reading import Reading
from domain.replica_moments import moved, rank

READING_TOLD_S = 60.0  # for how long a reading is told: by then most limits have all their room back


class ReadingReport(Struct, frozen=True):
    reading: Reading = Reading()
    read_at: float | None = None  # when the request was sent whose reply gave it; None = there is none

    def merged(self, other: "ReadingReport") -> "ReadingReport":
        return max(self, other, key=_age_rank)

    def shifted(self, by_s: float) -> "ReadingReport":
        """The same, on a clock that is `by_s` seconds ahead."""
        return self if self.read_at is None else ReadingReport(self.reading, self.read_at + by_s)

    def of_interest(self, now: float) -> "ReadingReport":
        return NO_READING if self.read_at is None or self.read_at + READING_TOLD_S <= now else self


NO_READING = ReadingReport()


class BucketReport(Struct, frozen=True):
    limited_until: float | None = None  # the end of the newest 429 clock; None = none was set
    unexplained: int = 0  # 429s in a row that named no delay
    requests: ReadingReport = NO_READING
    tokens: ReadingReport = NO_READING

    def merged(self, other: "BucketReport") -> "BucketReport":
        clock = max(self, other, key=_clock_rank)
        return BucketReport(
            clock.limited_until,
            clock.unexplained,
            self.requests.merged(other.requests),
            self.tokens.merged(other.tokens),
        )

    def shifted(self, by_s: float) -> "BucketReport":
        """The same, on a clock that is `by_s` seconds ahead."""
        return BucketReport(
            moved(self.limited_until, by_s), self.unexplained, self.requests.shifted(by_s), self.tokens.shifted(by_s)
        )

    def of_interest(self, now: float) -> "BucketReport":
        """A clock that still runs, and readings that are not old."""
        runs = self.limited_until is not None and self.limited_until > now
        return BucketReport(
            self.limited_until if runs else None,
            self.unexplained if runs else 0,
            self.requests.of_interest(now),
            self.tokens.of_interest(now),
        )


NO_LIMIT = BucketReport()


class Charged(Struct, frozen=True):
    """What a bucket had been charged in all up to some moment, or for each limit up to one of its own."""

    requests: float = 0.0
    tokens: float = 0.0


def _age_rank(report: ReadingReport) -> tuple[float, ...]:
    reading = report.reading
    return rank(report.read_at), rank(reading.limit), rank(reading.remaining), rank(reading.reset_s)


def _clock_rank(report: BucketReport) -> tuple[float, int]:
    return rank(report.limited_until), report.unexplained
