"""Percentiles, and the curve through them."""

import math
from collections.abc import Sequence

PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99, 100)
"""What is kept of a distribution."""

Curve = tuple[tuple[float, float], ...]
"""Percentile and value, rising."""


def percentile(rising: Sequence[float], percent: float) -> float:
    """The smallest value that is not exceeded by `percent` of all (nearest rank); `rising` is sorted and not empty."""
    rank = math.ceil(len(rising) * percent / 100)
    return rising[min(max(rank, 1), len(rising)) - 1]


def curve(values: Sequence[float]) -> Curve:
    """The whole distribution of `values`, in any order; empty when there are none."""
    rising = sorted(values)
    return tuple((float(percent), percentile(rising, percent)) for percent in PERCENTILES) if rising else ()


def at(points: Curve, percent: float) -> float:
    """The value at a percentile that was kept; NaN where nothing was measured."""
    return dict(points).get(float(percent), math.nan)


def median(values: Sequence[float]) -> float:
    """The middle one, or the mean of the two in the middle; NaN of none."""
    rising = sorted(values)
    if not rising:
        return math.nan
    middle = len(rising) // 2
    return rising[middle] if len(rising) % 2 else (rising[middle - 1] + rising[middle]) / 2


def median_curve(curves: Sequence[Curve]) -> Curve:
    """At each percentile the median over the rounds."""
    measured = [dict(points) for points in curves if points]
    if not measured:
        return ()
    return tuple((percent, median([points[percent] for points in measured])) for percent in measured[0])
