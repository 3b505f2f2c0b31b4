"""When a stream of chat or of the older completions has brought all that was asked for.

A choice ends with its `finish_reason`. Some providers send one with every chunk, or a text that says that there is
none; of a choice that goes on after its end, no end can be believed.
"""

from typing import Any

from msgspec import Struct

_NO_REASON = frozenset({"", "null", "none"})


class ExpectedStream(Struct, frozen=True):
    """What must have come before a stream may end without a terminal event."""

    choices: int = 1
    usage: bool = False


ONE = ExpectedStream()


class ChoicesEnded:
    """What has ended of what is expected."""

    __slots__ = ("_ended", "_expected", "_goes_on", "usage_came")

    def __init__(self, expected: ExpectedStream) -> None:
        self._expected = expected
        self._ended: set[int] = set()
        self._goes_on = False
        self.usage_came = False

    @property
    def any(self) -> bool:
        """Has any choice ended? Then all that follows has to be read."""
        return bool(self._ended)

    @property
    def all(self) -> bool:
        """Has everything come that was asked for, and can it be believed?"""
        return (
            len(self._ended) >= self._expected.choices
            and not self._goes_on
            and (self.usage_came or not self._expected.usage)
        )

    def note(self, index: int, *, has_content: bool, ends: bool) -> None:
        """A piece of that choice."""
        if has_content and index in self._ended:
            self._goes_on = True
        if ends:
            self._ended.add(index)


def is_reason(finish_reason: Any) -> bool:
    """Does it say why a choice ended?"""
    return isinstance(finish_reason, str) and finish_reason.strip().lower() not in _NO_REASON


def place(index: Any, position: int) -> int:
    """The index that a piece names; its position among the pieces of its event, where it names none."""
    if isinstance(index, float) and index.is_integer():
        return int(index)
    return index if isinstance(index, int) and not isinstance(index, bool) else position
