"""Counters by name, added over workers and subtracted over time."""

from collections.abc import Mapping
from typing import Protocol, Self, TypeVar


class Countable(Protocol):
    """A number, or counters that are kept together."""

    def __add__(self, other: Self, /) -> Self: ...

    def __sub__(self, other: Self, /) -> Self: ...


K = TypeVar("K")
V = TypeVar("V", bound=Countable)


def added(one: Mapping[K, V], other: Mapping[K, V]) -> dict[K, V]:
    """Both together."""
    return {**one, **{key: one[key] + value if key in one else value for key, value in other.items()}}


def less(later: Mapping[K, V], earlier: Mapping[K, V]) -> dict[K, V]:
    """What came between two looks at the same counters, which never fall nor go."""
    return {key: value - earlier[key] if key in earlier else value for key, value in later.items()}
