"""The shape that the events of one stream have in common: nearly all bytes of an event stand in the one before it.

What differs is mostly one text. Where that is one from quote to quote, the event says as much as the one that the shape
was learned from, which was nothing that matters here.
"""

import re
from itertools import pairwise

_INSIDE = re.compile(rb'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+')
_STRING = b'"(%b)"' % _INSIDE.pattern
_HOLES = re.compile(
    rb'"(?:content|reasoning_content|reasoning|text|arguments|delta|obfuscation)": ?%b|"sequence_number": ?([0-9]++)'
    % _STRING
)
PLAIN = bytes(byte if byte not in b'"\\\x7f' and byte >= 0x20 else 0x3F for byte in range(256))
"""Translates a text that can neither begin nor end anything to itself, and no other."""

_NOTHING = slice(0, -1)
_LARGE_BYTES = 64 * 1024
"""Patterns are not led through more."""


class EventShape:
    """`before`, a text at `hole`, `after`; in the text there may be more that stays the same."""

    __slots__ = ("_between", "_seam", "after", "before", "hole")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """No event has this shape."""
        self.before = self.after = b""
        self.hole = _NOTHING
        self._between: list[bytes] = []
        self._seam = b"\n"

    def learn(self, event: bytes) -> None:
        """Take the shape of an event in which nothing matters, of the first where there are several, unless it is the
        one that is known. With other line ends there is none."""
        if self.before and event.startswith(self.before) and event.endswith(self.after):
            return
        event = event[: event.find(b"\n\n") + 2]
        if len(event) > _LARGE_BYTES or len(event) < 2 or b"\r" in event:
            return
        holes = [found.span(found.lastindex or 0) for found in _HOLES.finditer(event)]
        if holes:
            start, end = holes[0][0], holes[-1][1]
            self.before, self.after = event[:start], event[end:]
            self.hole = slice(start, end - len(event))
            self._seam = self.after + self.before
            self._between = [event[left[1] : right[0]] for left, right in pairwise(holes)]

    def says_no_more(self, text: bytes) -> bool:
        """Does what differs, from its first text to its last, differ in texts only, plain or with escapes in them? So
        may it in several events, one after the other."""
        return len(text) <= _LARGE_BYTES and all(map(self._is_one, text.split(self._seam)))

    def _is_one(self, text: bytes) -> bool:
        for part in self._between:
            inner, found, text = text.partition(part)
            if not found or not _INSIDE.fullmatch(inner):
                return False
        return _INSIDE.fullmatch(text) is not None
