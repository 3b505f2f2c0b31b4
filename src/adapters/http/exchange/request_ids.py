"""The ids of requests: what log lines and replies call them."""

import os
from collections.abc import Iterator

_ID_BYTES = 16


def _request_ids() -> Iterator[str]:
    """Random ones. The system is asked for many at once, and not before the first request: by then nobody forks."""
    while True:
        digits = os.urandom(64 * _ID_BYTES).hex()
        for start in range(0, len(digits), 2 * _ID_BYTES):
            yield f"req_{digits[start : start + 2 * _ID_BYTES]}"


REQUEST_IDS = _request_ids()
