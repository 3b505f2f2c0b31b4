"""How many examples a property test runs."""

import os

_TIMES = 10 if os.environ.get("LLMPROXY_TEST_DEEP") else 1


def examples(number: int) -> int:
    """Ten times as many with `LLMPROXY_TEST_DEEP=1`."""
    return number * _TIMES
