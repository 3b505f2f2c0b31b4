"""How long a provider asks to be left alone: from its headers, else from its words.

Precedence: `retry-after-ms` and `x-ms-retry-after-ms` (azure-core's `RetryPolicy` reads both), `retry-after` (seconds
or an HTTP date), the reset of the limit that is used up (also as Azure once misspelt it, `x-rate-limit-reset-tokens`,
openai-python#937), a `RetryInfo`, then the text ("try again in 8.764s", "retry after 60 seconds"), then a reset of who
knows which limit (`x-ratelimit-reset`, `ratelimit-reset`). What names no delay, or one that cannot be meant, is as if
it were absent: the next one counts. Nothing is clamped here.
"""

import re
from collections.abc import Mapping, Sequence

from adapters.upstreams.openai.errors.error_fields import ErrorFields
from adapters.upstreams.openai.errors.retry_moments import MONTH_S, parse_http_date, seconds_until

_PLAIN_S = 300.0
_DAY_S = 86_400.0
_UNIT_S = {
    **{"day": _DAY_S, "h": 3600.0, "hour": 3600.0, "m": 60.0, "min": 60.0, "minute": 60.0},
    **{"s": 1.0, "sec": 1.0, "second": 1.0, "ms": 1e-3, "millisecond": 1e-3},
    **{"us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9},
}
# What they have read of a number they do not give back: each looks at a text once.
_PART = re.compile(
    r"(?<![\d.])(\d++(?:\.\d++)?+)\s*+(days?|milliseconds?|hours?|minutes?|seconds?|min|sec|ms|us|µs|μs|ns|h|m|s)(?![a-z])",
    re.I,
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_TEXT = re.compile(
    r"(?:try again in|retry after|retry in|please wait)\s++((?:\d++(?:\.\d++)?+\s*+[a-zµμ]*+\s*+)++)", re.I
)
_IN_MS = ("retry-after-ms", "x-ms-retry-after-ms")
_READ_OF_TEXT = 1024
_LONGEST_VALUE = 64  # in characters: what follows, and headers that are longer, say nothing
_OF_DATES = (":", "-", "/")
_GO_PARTS = re.compile(r"(?:\d++(?:\.\d++)?+(?:h|ms|m|us|µs|μs|ns|s))++", re.I)
_GO_PART = re.compile(r"(\d++(?:\.\d++)?+)(h|ms|m|us|µs|μs|ns|s)", re.I)


def parse_duration_s(text: str) -> float | None:
    """A Go duration (`6m0s`, `1m2.5s`, `20ms`) or a bare number of seconds; None = neither, or negative."""
    text = _in_short(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    if not _GO_PARTS.fullmatch(text):
        return None
    return sum(float(number) * _UNIT_S[unit.lower()] for number, unit in _GO_PART.findall(text))


def parse_reset_s(text: str) -> float | None:
    """A duration as in `parse_duration_s`; None = neither, or one that cannot be meant."""
    seconds = parse_duration_s(text)
    if seconds is None or not _NUMBER.fullmatch(text.strip()):
        return seconds if seconds is None or seconds <= MONTH_S else None
    return seconds if _is_meant(seconds) else None


def _is_meant(seconds: float) -> bool:
    """Can a bare number be seconds? Above five minutes only as a period that limits are counted in, a part of a day or
    whole days (Azure says 86400). Anything else is as likely milliseconds, or a Unix time (openclaw/clawhub#407)."""
    return seconds <= _PLAIN_S or _DAY_S % seconds == 0 or (seconds % _DAY_S == 0 and seconds <= MONTH_S)


def parse_retry_after_s(text: str, now_unix: float) -> float | None:
    """Seconds of a `retry-after`: a number or a date (RFC 9110, 10.2.3); 0 = it is over. Other near times count too."""
    text = _in_short(text)
    seconds = parse_reset_s(text)
    if seconds is not None:
        return seconds
    then = parse_http_date(text)
    if then is None:
        return seconds_until(text, now_unix)
    return max(0.0, then - now_unix) if then - now_unix <= MONTH_S else None


def delay_in_text_s(text: str) -> float | None:
    """The delay a message names, such as `Please try again in 1m30s` or `Try again in 50 seconds`, at its beginning."""
    text = text[:_READ_OF_TEXT]
    found = _TEXT.search(text)
    if found is None or text[found.end() : found.end() + 1] in _OF_DATES:
        return None
    words = found.group(1)
    parts = [(number, unit) for number, unit in _PART.findall(words)]
    if parts:
        seconds = sum(float(number) * _UNIT_S[_singular(unit)] for number, unit in parts)
        return seconds if seconds <= MONTH_S else None
    bare = _NUMBER.match(words)
    return float(bare.group()) if bare and _is_meant(float(bare.group())) else None


def retry_delay_s(headers: Mapping[str, str], words: ErrorFields, now_unix: float) -> float | None:
    """The delay of one reply; None = it names none, or one that is over. `headers` have lower-case names."""
    for name in _IN_MS:
        if name in headers and (seconds := _ms_in_s(headers[name], now_unix)):
            return seconds
    after = headers.get("retry-after")
    if after is not None and (seconds := parse_retry_after_s(after, now_unix)):
        return seconds
    resets = [reset for name in ("requests", "tokens") if (reset := _reset_s(headers, name, now_unix))]
    if resets:
        return max(resets)
    return delay_in_words_s(words, now_unix, [headers[name] for name in _plain_resets(headers)])


def delay_in_words_s(words: ErrorFields, now_unix: float, resets: Sequence[str] = ()) -> float | None:
    """The delay that an error names; None = it names none, or one that is over. `resets` of headers count where it says
    nothing better."""
    if seconds := parse_reset_s(words.retry_delay) or delay_in_text_s(words.message):
        return seconds
    return next((seconds for text in (*resets, words.reset) if (seconds := _moment_s(text, now_unix))), None)


def _plain_resets(headers: Mapping[str, str]) -> list[str]:
    """Names of those that say when a limit that is used up is whole again, and not which limit."""
    return [
        f"{lead}-reset"
        for lead in ("x-ratelimit", "ratelimit")
        if f"{lead}-reset" in headers and headers.get(f"{lead}-remaining", "0").strip() == "0"
    ]


def _ms_in_s(text: str, now_unix: float) -> float | None:
    text = _in_short(text)
    if not _NUMBER.fullmatch(text):
        return None
    seconds = float(text) / 1000
    return seconds if seconds <= _DAY_S else seconds_until(text, now_unix)


def _reset_s(headers: Mapping[str, str], dimension: str, now_unix: float) -> float | None:
    reset = headers.get(f"x-rate-limit-reset-{dimension}")
    if reset is None and headers.get(f"x-ratelimit-remaining-{dimension}", "").strip() == "0":
        reset = headers.get(f"x-ratelimit-reset-{dimension}")
    if reset is None:
        return None
    return _moment_s(reset, now_unix)


def _moment_s(text: str, now_unix: float) -> float | None:
    """Seconds until what is said as a duration or as a point in time."""
    text = _in_short(text)
    seconds = parse_reset_s(text)
    return seconds_until(text, now_unix) if seconds is None else seconds


def _in_short(text: str) -> str:
    """Nothing, where it is too long to be meant."""
    return text.strip() if len(text) <= _LONGEST_VALUE else ""


def _singular(unit: str) -> str:
    unit = unit.lower()
    return unit.removesuffix("s") if len(unit) > 2 else unit
