"""A copy of a text, for reading only, without what providers and clients write into JSON and JSON does not know: half
of a surrogate pair (RFC 8259, 8.2, leaves open what it means), NaN and Infinity, and a byte order mark.

A decoder that skips what it is not asked for can then read it. The work is linear, and what is mended is counted: a
text with more of it than `MOST` stays one that cannot be read.
"""

import re
from itertools import islice

MOST = 100_000  # so many halves, and so many numbers that are none, are forgiven in one text
HALF = "\uffff"  # stands for half a surrogate pair: a code point that is no letter (Unicode, "Noncharacters")

_HALF_ESCAPE = rb"\uffff"
_HIGH, _LOW, _DIGITS = rb"[89abAB]", rb"[c-fC-F]", rb"[0-9a-fA-F]{2}"
# All that it looks for begins alike, so it is found at the speed of memory.
_HALVES = re.compile(
    rb"\\u[dD](?:%b(?!\\u[dD]%b)|(?<!\\u[dD]%b\\u[dD])%b)"
    % (_HIGH + _DIGITS, _LOW + _DIGITS, _HIGH + _DIGITS, _LOW + _DIGITS)
)
_NO_NUMBERS = (b"-Infinity", b"Infinity", b"NaN")
_BOM = b"\xef\xbb\xbf"


def readable(text: bytes, *, numbers: bool = True) -> bytes:
    """The copy; `numbers`: also without NaN and Infinity, which become null, and without a byte order mark."""
    if numbers:
        text = text.removeprefix(_BOM)
    # Of the same length; each backslash that is left begins an escape.
    mask = text.replace(rb"\\", b"__")
    halves = [found.start() for found in islice(_HALVES.finditer(mask), MOST)]
    if halves:
        whole = bytearray(text)
        for at in halves:
            whole[at : at + len(_HALF_ESCAPE)] = _HALF_ESCAPE
        text = bytes(whole)
    if numbers:
        for word in _NO_NUMBERS:
            if word in text:
                text = _with_null(text, word)
    return text


def _with_null(text: bytes, word: bytes) -> bytes:
    """With null for the word where it stands outside of strings: behind an even number of quotes."""
    mask = text.replace(rb"\\", b"__").replace(rb"\"", b"__")
    pieces: list[bytes] = []
    start = seen = quotes = 0
    at = -1
    for _ in range(MOST):
        at = mask.find(word, at + 1)
        if at < 0:
            break
        quotes += mask.count(b'"', seen, at)
        seen = at
        if quotes % 2 == 0:
            pieces += (text[start:at], b"null")
            start = at + len(word)
    pieces.append(text[start:])
    return b"".join(pieces)
