"""The shape that the events of one stream have in common: nearly all bytes of an event stand in the one before it.

What differs is mostly one text. Where that is one from quote to quote, the event says as much as the one that the shape
was learned from, which was nothing that matters here.
"""

import re
from itertools import pairwise

from application.flow import Take, TakeFramed

_INSIDE = re.compile(rb'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+')
_STRING = b'"(%b)"' % _INSIDE.pattern
_HOLES = re.compile(
    rb'"(?:content|reasoning_content|reasoning|text|arguments|delta|obfuscation)": ?%b|"sequence_number": ?([0-9]++)'
    % _STRING
)
_PLAIN = bytes(byte if byte not in b'"\\\x7f' and byte >= 0x20 else 0x3F for byte in range(256))
"""Translates a text that can neither begin nor end anything to itself, and no other."""

_NOTHING = slice(0, -1)
_LARGE_BYTES = 64 * 1024
"""Patterns are not led through more."""


class EventShape:
    """What stands before a text, and after it; in the text there may be more that stays the same."""

    __slots__ = ("_after", "_before", "_between", "_framed_end", "_framed_hole", "_hole", "_long_hole", "_seam")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """No event has this shape."""
        self._before = self._after = self._framed_end = b""
        self._hole = self._framed_hole = self._long_hole = _NOTHING
        self._between: list[bytes] = []
        self._seam = b"\n"

    def learn(self, event: bytes) -> None:
        """Take the shape of an event in which nothing matters, of the first where there are several, unless it is the
        one that is known. With other line ends there is none."""
        if self._before and event.startswith(self._before) and event.endswith(self._after):
            return
        event = event[: event.find(b"\n\n") + 2]
        if len(event) > _LARGE_BYTES or len(event) < 2 or event.find(b"\r") >= 0:
            return
        holes = [found.span(found.lastindex or 0) for found in _HOLES.finditer(event)]
        if holes:
            start, end = holes[0][0], holes[-1][1]
            self._before, self._after = event[:start], event[end:]
            self._hole = slice(start, end - len(event))
            self._seam = self._after + self._before
            self._framed_end = self._after + b"\r\n"
            self._framed_hole = slice(start + len(b"ff\r\n"), -len(self._framed_end))
            self._long_hole = slice(start + len(b"fff\r\n"), -len(self._framed_end))
            self._between = [event[left[1] : right[0]] for left, right in pairwise(holes)]

    def passing(self, take: Take, read: Take) -> Take:
        """See `StreamScanner.passing`. Called for every event of every stream: nearly all are like the one before."""

        def passed(chunk: bytes) -> bool:
            text = chunk[self._hole]
            if self._before + text + self._after == chunk and (
                text.translate(_PLAIN) == text or self._says_no_more(text)
            ):
                return take(chunk)
            return read(chunk)

        return passed

    def passing_framed(self, take: TakeFramed) -> TakeFramed:
        def passed(framed: bytes, line: bytes, size: int) -> bool:
            text = framed[self._framed_hole if size <= 0xFF else self._long_hole]
            return (
                line + self._before + text + self._framed_end == framed
                and (text.translate(_PLAIN) == text or self._says_no_more(text))
                and take(framed, line, size)
            )

        return passed

    def _says_no_more(self, text: bytes) -> bool:
        """Does what differs, from its first text to its last, differ in texts only, plain or with escapes in them? So
        may it in several events, one after the other."""
        return len(text) <= _LARGE_BYTES and all(map(self._is_one, text.split(self._seam)))

    def _is_one(self, text: bytes) -> bool:
        for part in self._between:
            inner, found, text = text.partition(part)
            if not found or not _INSIDE.fullmatch(inner):
                return False
        return _INSIDE.fullmatch(text) is not None
