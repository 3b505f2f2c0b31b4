"""What was worked out for a text, for the next one that is equal: of short texts only, and of so many.

Texts come from outside, and what counts them alone would keep megabytes of whatever somebody sends. To look one up
costs less than `functools.lru_cache` does.
"""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

SHORT = 64  # letters or bytes of a text that is worth remembering: names of headers, media types, hosts

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def _length(text: Any) -> int:
    return 0 if text is None else len(text)


def lengths(key: Any) -> int:
    """Of several texts together, also in tuples of their own."""
    return sum(lengths(part) if isinstance(part, tuple) else _length(part) for part in key)


class Remembered(dict[K, V]):
    """`remembered[key]` is `work(key)`, of short keys only: with more than `most` of them all are forgotten."""

    __slots__ = ("_longest", "_most", "_size", "_work")

    def __init__(
        self, work: Callable[[K], V], most: int, *, longest: int = SHORT, size: Callable[[K], int] = _length
    ) -> None:
        """What `work` raises is raised, and not remembered. `size`: the length of a key."""
        super().__init__()
        self._work = work
        self._most = most
        self._longest = longest
        self._size = size

    def __missing__(self, key: K) -> V:
        value = self._work(key)
        if self._size(key) <= self._longest:
            if len(self) >= self._most:
                self.clear()
            self[key] = value
        return value


def remembered(
    most: int, *, longest: int = SHORT, size: Callable[[Any], int] = _length
) -> Callable[[Callable[[K], V]], Callable[[K], V]]:
    """Of a function of one argument: its answers are `Remembered`."""
    return lambda work: Remembered(work, most, longest=longest, size=size).__getitem__
