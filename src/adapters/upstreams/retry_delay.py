"""How long a provider asks to be left alone: from its headers, else from its words.

Precedence: `retry-after-ms`, `retry-after` (seconds or an HTTP date), the reset of the limit that is used up (also as
Azure once misspelt it, `x-rate-limit-reset-tokens`, openai-python#937), then the text ("try again in 8.764s", "retry
after 60 seconds"). What is absent, negative or no number is unknown. Nothing is clamped here.
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

_UNIT_S = {
    "h": 3600.0,
    "hour": 3600.0,
    "m": 60.0,
    "min": 60.0,
    "minute": 60.0,
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "ms": 1e-3,
    "millisecond": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ns": 1e-9,
}
_PART = re.compile(
    r"(\d+(?:\.\d+)?)\s*(milliseconds?|hours?|minutes?|seconds?|min|sec|ms|us|µs|μs|ns|h|m|s)(?![a-z])", re.I
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_TEXT = re.compile(r"(?:try again in|retry after|retry in)\s+((?:\d+(?:\.\d+)?\s*[a-zµμ]*\s*)+)", re.I)
_GO_PARTS = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|m|us|µs|μs|ns|s))+", re.I)
_GO_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|us|µs|μs|ns|s)", re.I)


def parse_duration_s(text: str) -> float | None:
    """A Go duration (`6m0s`, `1m2.5s`, `20ms`) or a bare number of seconds; None = neither, or negative."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    if not _GO_PARTS.fullmatch(text):
        return None
    return sum(float(number) * _UNIT_S[unit.lower()] for number, unit in _GO_PART.findall(text))


def parse_retry_after_s(text: str, now_unix: float) -> float | None:
    """The value of a `retry-after` header: seconds (fractions allowed) or an HTTP date (RFC 9110, 10.2.3)."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    try:
        then = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return max(0.0, then - now_unix)


def delay_in_text_s(text: str) -> float | None:
    """The delay a message names, such as `Please try again in 1m30s` or `Try again in 50 seconds`."""
    found = _TEXT.search(text)
    if found is None:
        return None
    words = found.group(1)
    parts = [(number, unit) for number, unit in _PART.findall(words)]
    if parts:
        return sum(float(number) * _UNIT_S[_singular(unit)] for number, unit in parts)
    bare = _NUMBER.match(words)
    return float(bare.group()) if bare else None


def retry_delay_s(headers: Mapping[str, str], message: str, now_unix: float) -> float | None:
    """The delay of one reply; None = it names none. `headers` have lower-case names."""
    ms = headers.get("retry-after-ms")
    if ms is not None and _NUMBER.fullmatch(ms.strip()):
        return float(ms) / 1000
    after = headers.get("retry-after")
    if after is not None and (seconds := parse_retry_after_s(after, now_unix)) is not None:
        return seconds
    resets = [reset for name in ("requests", "tokens") if (reset := _reset_s(headers, name)) is not None]
    return max(resets) if resets else delay_in_text_s(message)


def _reset_s(headers: Mapping[str, str], dimension: str) -> float | None:
    misspelt = headers.get(f"x-rate-limit-reset-{dimension}")
    if misspelt is not None:
        return parse_duration_s(misspelt)
    if headers.get(f"x-ratelimit-remaining-{dimension}", "").strip() != "0":
        return None
    return parse_duration_s(headers.get(f"x-ratelimit-reset-{dimension}", ""))


def _singular(unit: str) -> str:
    unit = unit.lower()
    return unit.removesuffix("s") if len(unit) > 2 else unit
