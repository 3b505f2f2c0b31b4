"""The few members of a large JSON object that anybody here acts on, as a small one. All else is skipped, and never
decoded: a value of megabytes can take thirty times its size as objects.
"""

import re
from collections.abc import Collection, Iterable, Mapping

import msgspec
from msgspec import Raw

from application.body.readable import readable

LARGE_BYTES = 64 * 1024  # smaller texts may be decoded as they are

MAX_MEMBERS = 200_000  # more values are too many to be decoded, however short: they would take some 30 MB

MAX_MARKS = 1_000_000
"""Of these, in texts and between them. A text with more is not even skipped through: a decoder that skips needs 20 to
100 ns for each, and nothing else happens meanwhile. 10 MB of program code have so many; a list of tokens has one for
each, and an image none."""

_MARKS = (b",", b"[", b"{", b'"', b"\\")
_STEPS = (53, 59, 61, 67, 71, 73, 79, 83)
_HASHED_BYTES = 1024
# Possessive: nothing is remembered of each letter of what may be megabytes.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)

_ABSENT = Raw(b"")
_STANDING_IN = {b"{": b'{"":0}', b"[": b"[0]", b'"': b'"-"'}  # what is as little empty as what is left out


ALL_MARKS = (b",", b"[", b"{")


def is_heavy(text: bytes, marks: Iterable[bytes] = ALL_MARKS) -> bool:
    """Does it hold more values than `MAX_MEMBERS`? Counted by the marks before them, of which texts have some too."""
    return sum(map(text.count, marks)) > MAX_MEMBERS


def has_too_many_values(text: bytes) -> bool:
    """More than `MAX_MEMBERS`? Commas in a prompt are no values, and a table of text has many."""
    if not is_heavy(text):
        return False
    count = end = 0
    for string in _STRING.finditer(text):
        between = text[end : string.start()]
        count += sum(map(between.count, ALL_MARKS))
        if count > MAX_MEMBERS:
            return True
        end = string.end()
    rest = text[end:]
    return count + sum(map(rest.count, ALL_MARKS)) > MAX_MEMBERS


def has_too_many_marks(text: bytes) -> bool:
    """Are there more than about `MAX_MARKS`? Counting all would take as long as decoding them, so they are counted in
    every so-manieth byte. Which those are nobody knows in advance, as Python's hashes are seeded; and of two series
    both must say so, as a text may repeat itself in the rhythm of one."""
    if len(text) <= MAX_MARKS:
        return False
    first = hash(text[:_HASHED_BYTES]) % len(_STEPS)
    return all(step * sum(map(text[::step].count, _MARKS)) > MAX_MARKS for step in (_STEPS[first], _STEPS[first - 1]))


class Narrowed:
    """Finds members by their names, at the top level only."""

    def __init__(
        self,
        *names: str,
        longest_bytes: int = LARGE_BYTES,
        whole: Collection[str] = (),
        inside: "Mapping[str, Narrowed] | None" = None,
    ) -> None:
        """A value of more than `longest_bytes` is stood in for by a small one of its kind that is not empty, unless it
        is one of the `whole`; or narrowed itself, if it is an object and one of those with something `inside`."""
        fields = [(name, Raw, _ABSENT) for name in names]
        self._names = names
        self._longest_bytes = longest_bytes
        self._whole = whole
        self._inside = inside or {}
        self._decoder = msgspec.json.Decoder(msgspec.defstruct("Members", fields))

    def __call__(self, text: bytes, *, numbers: bool = True) -> bytes:
        """An object with those members. Raises `ValueError` or `RecursionError`; `numbers` as in `readable`."""
        try:
            members = self._decoder.decode(text)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            members = self._decoder.decode(readable(text, numbers=numbers))
        found = ((name, getattr(members, name)) for name in self._names)
        return b"{%b}" % b",".join([self._member(name, raw) for name, raw in found if raw is not _ABSENT])

    def _member(self, name: str, raw: Raw) -> bytes:
        view = memoryview(raw)
        if len(view) <= self._longest_bytes or name in self._whole:
            return b'"%b":%b' % (name.encode(), bytes(view))
        kind = bytes(view[:1])
        narrowed = self._inside.get(name) if kind == b"{" else None
        value = _STANDING_IN.get(kind, b"0") if narrowed is None else narrowed(bytes(view))
        return b'"%b":%b' % (name.encode(), value)
