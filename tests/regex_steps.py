"""Counts the steps of a backtracking matcher, as `re` is one, for a pattern that `re` compiled.

It is a plain reading of what `re` parses a pattern into (CPython, Lib/re/_parser.py), without its shortcuts.
"""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from re import _constants as op  # type: ignore[attr-defined] # not in typeshed
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

Then = Callable[[int], int]
"""Goes on at an index; the index where the match ends, -1 = there is none."""

_CATEGORIES = {
    op.CATEGORY_DIGIT: str.isdigit,
    op.CATEGORY_NOT_DIGIT: lambda c: not c.isdigit(),
    op.CATEGORY_SPACE: str.isspace,
    op.CATEGORY_NOT_SPACE: lambda c: not c.isspace(),
    op.CATEGORY_WORD: lambda c: c.isalnum() or c == "_",
    op.CATEGORY_NOT_WORD: lambda c: not (c.isalnum() or c == "_"),
}
_MANY = 40_000


class TooManySteps(Exception):
    """More than any linear pattern takes for what the tests give it."""


@contextmanager
def _deep() -> Iterator[None]:
    """The matcher goes a level down for each letter. Other tests of the process have the limit that users have."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


class Steps:
    """How many steps a pattern takes for a text."""

    def __init__(self, pattern: "re.Pattern[Any]", text: str) -> None:
        source = pattern.pattern
        self._nodes = list(
            parser.parse(
                source.decode("latin-1") if isinstance(source, bytes) else source,
                pattern.flags & ~re.ASCII & ~re.UNICODE,
            )
        )
        self._folds = bool(pattern.flags & re.IGNORECASE)
        self._is_multiline = bool(pattern.flags & re.MULTILINE)
        self._text = text
        self.count = 0

    def at_start(self) -> int:
        """As `match` and `fullmatch` do."""
        with _deep():
            self._run(self._nodes, 0, 0, lambda end: end)
        return self.count

    def anywhere(self) -> int:
        """As `finditer` does, to the end of the text."""
        at = 0
        with _deep():
            while at <= len(self._text):
                end = self._run(self._nodes, 0, at, lambda end: end)
                at = max(end, at + 1)
        return self.count

    def _step(self) -> None:
        self.count += 1
        if self.count > _MANY:
            raise TooManySteps

    def _run(self, nodes: Any, number: int, at: int, then: Then) -> int:
        self._step()
        if number == len(nodes):
            return then(at)
        kind, given = nodes[number]

        def rest(end: int) -> int:
            return self._run(nodes, number + 1, end, then)

        if kind is op.BRANCH:
            return next((end for way in given[1] if (end := self._run(list(way), 0, at, rest)) >= 0), -1)
        if kind is op.SUBPATTERN:
            return self._run(list(given[3]), 0, at, rest)
        if kind is op.ATOMIC_GROUP:
            end = self._run(list(given), 0, at, lambda end: end)
            return -1 if end < 0 else rest(end)
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            return self._repeat(kind, given, at, rest)
        if kind in (op.ASSERT, op.ASSERT_NOT):
            return rest(at) if self._looks(given, at) is (kind is op.ASSERT) else -1
        if kind is op.AT:
            return rest(at) if self._stands(given, at) else -1
        return rest(at + 1) if at < len(self._text) and self._is_in(kind, given, self._text[at]) else -1

    def _looks(self, given: Any, at: int) -> bool:
        direction, nodes = given
        if direction > 0:
            return self._run(list(nodes), 0, at, lambda end: end) >= 0
        width = nodes.getwidth()[0]
        return at >= width and self._run(list(nodes), 0, at - width, lambda end: end) == at

    def _repeat(self, kind: Any, given: Any, at: int, rest: Then) -> int:
        least, most, inner = given
        nodes = list(inner)
        if len(nodes) == 1 and nodes[0][0] in (op.LITERAL, op.NOT_LITERAL, op.IN, op.ANY):
            end = at
            while end < len(self._text) and end - at < most and self._is_in(*nodes[0], self._text[end]):
                self._step()
                end += 1
            if kind is op.POSSESSIVE_REPEAT:
                return rest(end) if end - at >= least else -1
            return next((found for stop in range(end, at + least - 1, -1) if (found := rest(stop)) >= 0), -1)
        if kind is op.POSSESSIVE_REPEAT:
            times = 0
            while times < most and (end := self._run(nodes, 0, at, lambda end: end)) > at:
                at, times = end, times + 1
            return rest(at) if times >= least else -1

        def again(times: int, at: int) -> int:
            if times < most:
                end = self._run(nodes, 0, at, lambda end: again(times + 1, end) if end > at else -1)
                if end >= 0:
                    return end
            return rest(at) if times >= least else -1

        return again(0, at)

    def _stands(self, where: Any, at: int) -> bool:
        if where is op.AT_BEGINNING:
            return at == 0 or (self._is_multiline and self._text[at - 1] == "\n")
        if where in (op.AT_END, op.AT_END_STRING):
            return at == len(self._text)
        if where is op.AT_BOUNDARY:
            sides = [0 <= i < len(self._text) and _CATEGORIES[op.CATEGORY_WORD](self._text[i]) for i in (at - 1, at)]
            return sides[0] is not sides[1]
        return at == 0

    def _is_in(self, kind: Any, given: Any, letter: str) -> bool:
        if kind is op.ANY:
            return letter != "\n"
        if kind is op.IN:
            is_negated = given[0][0] is op.NEGATE
            return any(self._is_in(*each, letter) for each in given[is_negated:]) is not is_negated
        if kind is op.RANGE:
            return any(given[0] <= ord(form) <= given[1] for form in self._forms(letter))
        if kind is op.CATEGORY:
            return bool(_CATEGORIES[given](letter))
        return any(ord(form) == given for form in self._forms(letter)) is (kind is op.LITERAL)

    def _forms(self, letter: str) -> tuple[str, ...]:
        return (letter.lower(), letter.upper()[:1]) if self._folds else (letter,)


def shortest(pattern: "re.Pattern[Any]") -> str:
    """A short text that the pattern may match, looked-around parts left out."""
    source = pattern.pattern
    return _shortest(
        parser.parse(
            source.decode("latin-1") if isinstance(source, bytes) else source, pattern.flags & ~re.ASCII & ~re.UNICODE
        )
    )


def _shortest(nodes: Any) -> str:
    text = ""
    for kind, given in nodes:
        if kind is op.LITERAL:
            text += chr(given)
        elif kind is op.BRANCH:
            text += _shortest(given[1][0])
        elif kind is op.SUBPATTERN:
            text += _shortest(given[3])
        elif kind is op.ATOMIC_GROUP:
            text += _shortest(given)
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            text += _shortest(given[2]) * max(1, given[0])
        elif kind is op.IN:
            text += _one_of(given)
        elif kind in (op.ANY, op.NOT_LITERAL):
            text += "a"
    return text


def _one_of(given: Any) -> str:
    kind, what = given[0]
    if kind is op.NEGATE:
        return next(c for c in "a0 -" if all(not (k is op.LITERAL and v == ord(c)) for k, v in given[1:]))
    if kind is op.RANGE:
        return chr(what[0])
    if kind is op.CATEGORY:
        return next(c for c in "0 a" if _CATEGORIES[what](c))
    return chr(what)
