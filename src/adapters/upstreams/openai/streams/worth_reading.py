"""Does anything stand in a piece of a stream that makes its events worth reading: an end, an error, the usage?"""

import re

from domain.elided import elide_long_strings

_WORTH_READING = re.compile(
    rb'"finish_reason"\s*:\s*"|\[DONE\]|"error"\s*(?::\s*[{"\[]|[,}])|event:\s?error|response\.(?:completed|incomplete|cancelled|failed)'
    rb'|"usage"\s*:\s*\{'
)
_LARGE_BYTES = 64 * 1024
_SHAPES = (
    (b"[DONE]", None),
    (b'"finish_reason"', re.compile(rb'\s*:\s*"')),
    (b'"error"', re.compile(rb'\s*(?::\s*[{"\[]|[,}])')),
    (b"event:", re.compile(rb"\s?error")),
    (b"response.completed", None),
    (b"response.incomplete", None),
    (b"response.cancelled", None),
    (b"response.failed", None),
    (b'"usage"', re.compile(rb"\s*:\s*\{")),
)
"""`_WORTH_READING` as words and what must follow them."""


def is_worth_reading(chunk: bytes) -> bool:
    """Does `_WORTH_READING` stand in it? Nearly never, which plain words tell in two thirds of the time."""
    if len(chunk) > _LARGE_BYTES:
        return _is_large_worth_reading(elide_long_strings(chunk))
    find = chunk.find  # `in` takes the word for a number first, which costs more than the search (CPython 3.11)
    may_be = (
        find(b"[DONE]") >= 0
        or find(b"error") >= 0
        or find(b"complete") >= 0
        or find(b"response.failed") >= 0
        or find(b"response.cancelled") >= 0
        or chunk.count(b'"finish_reason"') > chunk.count(b'"finish_reason":null')
        or chunk.count(b'"usage"') > chunk.count(b'"usage":null')
    )
    return bool(may_be and _WORTH_READING.search(chunk))


def _is_large_worth_reading(text: bytes) -> bool:
    """The same for megabytes, through which a regular expression takes half a second."""
    for word, tail in _SHAPES:
        at = text.find(word)
        while at >= 0:
            if tail is None or tail.match(text, at + len(word)):
                return True
            at = text.find(word, at + 1)
    return False
