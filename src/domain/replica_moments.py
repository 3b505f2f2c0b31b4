"""Moments that replicas report to each other, and their order. Seconds on one clock, whichever."""

import math

SKEW_S = 0.25
"""By how much one moment may look later to another replica than it was: what a slow store takes to write and to read.
Moments that are nearer to each other than this have no certain order."""


def rank(number: float | None) -> float:
    """What is not told, and what is not a number, comes before everything."""
    return -math.inf if number is None or math.isnan(number) else number


def later(one: float | None, other: float | None) -> float | None:
    """The later of the two; None = neither is told."""
    return max(one, other, key=rank)


def moved(at: float | None, by_s: float) -> float | None:
    """The same moment on a clock that is `by_s` seconds ahead."""
    return None if at is None else at + by_s
