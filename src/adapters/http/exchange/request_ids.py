"""The ids of requests: what log lines and replies call them."""

import os
from collections.abc import Iterator
from itertools import chain, repeat, starmap

_ID_DIGITS = 32
_AT_A_TIME = 64


def _random_ids() -> list[str]:
    """The system is asked for many at once."""
    digits = os.urandom(_AT_A_TIME * _ID_DIGITS // 2).hex()
    return [f"req_{digits[start : start + _ID_DIGITS]}" for start in range(0, len(digits), _ID_DIGITS)]


REQUEST_IDS: Iterator[str] = chain.from_iterable(starmap(_random_ids, repeat(())))
"""None is made before the first request: by then nobody forks."""
