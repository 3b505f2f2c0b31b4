"""How long requests take, as counts in fixed buckets: cheap to add to, to subtract, and to read quantiles from."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import exp2
from typing import NamedTuple

from msgspec import Struct, field

BOUNDS_MS: tuple[float, ...] = tuple(10.0 * 2.0 ** (step / 2) for step in range(-20, 35))
"""The upper bounds of the buckets: each sqrt(2) times the one before, from 0.01 ms to 22 min. Every other one is 10 ms
doubled or halved, as OpenTelemetry's conventions advise for durations. What takes longer is in one more bucket."""


class Quantiles(Struct, frozen=True):
    """Of a distribution, in milliseconds; as exact as its buckets are narrow: within a factor of sqrt(2)."""

    p50: float
    p99: float


class Spread(NamedTuple):
    """Many values at once: their sum, and how many are in each bucket that has any."""

    sum_ms: float
    buckets: list[tuple[int, int]]


def spread(values_ms: Sequence[float]) -> Spread:
    """The values are sorted, so that each bucket is looked for once."""
    ordered = sorted(values_ms)
    begin, size, buckets = 0, len(ordered), []
    while begin < size:
        bucket = bisect_left(BOUNDS_MS, ordered[begin])
        end = bisect_right(ordered, BOUNDS_MS[bucket], begin) if bucket < len(BOUNDS_MS) else size
        buckets.append((bucket, end - begin))
        begin = end
    return Spread(sum(ordered), buckets)


class Histogram(Struct):
    """One distribution, in milliseconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    """In each bucket, not accumulated."""
    sum_ms: float = 0.0

    def add(self, values_ms: Sequence[float]) -> None:
        """Many at once."""
        self.take(spread(values_ms))

    def take(self, spread: "Spread") -> None:
        """The same, of values whose buckets are known already."""
        self.sum_ms += spread.sum_ms
        counts = self.counts
        for bucket, times in spread.buckets:
            counts[bucket] += times

    def __add__(self, other: "Histogram") -> "Histogram":
        return Histogram([a + b for a, b in zip(self.counts, other.counts, strict=True)], self.sum_ms + other.sum_ms)

    def __sub__(self, earlier: "Histogram") -> "Histogram":
        """What came after an earlier copy of this one."""
        counts = [now - then for now, then in zip(self.counts, earlier.counts, strict=True)]
        return Histogram(counts, self.sum_ms - earlier.sum_ms)

    def copy(self) -> "Histogram":
        return Histogram(self.counts[:], self.sum_ms)

    def quantiles(self) -> Quantiles | None:
        """None = it is empty."""
        total = sum(self.counts)
        return Quantiles(self._quantile(0.5 * total), self._quantile(0.99 * total)) if total else None

    def _quantile(self, rank: float) -> float:
        """As if the values of a bucket were spread evenly, in terms of ratios."""
        for bucket, count in enumerate(self.counts):
            if count and count >= rank:
                return round(BOUNDS_MS[min(bucket, len(BOUNDS_MS) - 1)] / exp2((1.0 - rank / count) / 2), 3)
            rank -= count
        raise ValueError("a rank beyond all values")


class Latencies(Struct):
    """The three distributions of a kind of requests."""

    overhead: Histogram = field(default_factory=Histogram)
    first_byte: Histogram = field(default_factory=Histogram)
    total: Histogram = field(default_factory=Histogram)

    def add(self, overheads_ms: Sequence[float], first_bytes_ms: Sequence[float], totals_ms: Sequence[float]) -> None:
        """Of as many requests. A whole reply is mostly sent at once: then two of the times are one; where no endpoint
        was asked, all three are."""
        totals = spread(totals_ms)
        first_bytes = totals if first_bytes_ms == totals_ms else spread(first_bytes_ms)
        self.total.take(totals)
        self.first_byte.take(first_bytes)
        self.overhead.take(first_bytes if overheads_ms == first_bytes_ms else spread(overheads_ms))

    def __add__(self, other: "Latencies") -> "Latencies":
        return Latencies(self.overhead + other.overhead, self.first_byte + other.first_byte, self.total + other.total)

    def __sub__(self, earlier: "Latencies") -> "Latencies":
        """What came after an earlier copy."""
        return Latencies(
            self.overhead - earlier.overhead, self.first_byte - earlier.first_byte, self.total - earlier.total
        )

    def copy(self) -> "Latencies":
        return Latencies(self.overhead.copy(), self.first_byte.copy(), self.total.copy())
