"""Points in time in headers that should hold a delay: HTTP dates, RFC 3339, Unix time in seconds or milliseconds.

GitHub's way is Unix seconds, OpenRouter's milliseconds, Anthropic's RFC 3339. Only what is near is believed of those:
a clock that is wrong, or a time zone that is left out, is wrong by more than the five minutes.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MONTH_S = 31 * 86_400.0  # nobody limits for longer
_NEAR_S = 300.0
_MAX_CHARS = 64  # no point in time takes more
_UNIX = re.compile(r"\d{9,13}(?:\.\d+)?", re.ASCII)
_MILLISECONDS = 1e11
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_HTTP_DATE = re.compile(r"[A-Za-z]{3,9},? [ -:\w]+ (?:GMT|UTC|[+-]\d{4}|\d{4})", re.ASCII)


def parse_http_date(text: str) -> float | None:
    """The Unix time of an HTTP date in any of its three forms (RFC 9110, 5.6.7); None = it is none."""
    if len(text) > _MAX_CHARS or not _HTTP_DATE.fullmatch(text):
        return None
    try:
        then = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp()


def seconds_until(text: str, now_unix: float) -> float | None:
    """The seconds until a point in time; None = it is none, it is not in the future, or it is not near."""
    text = text.strip()
    then = _unix(text) if len(text) <= _MAX_CHARS else None
    seconds = 0.0 if then is None else then - now_unix
    return seconds if 0.0 < seconds <= _NEAR_S else None


def _unix(text: str) -> float | None:
    if _UNIX.fullmatch(text):
        then = float(text)
        return then / 1000 if then >= _MILLISECONDS else then
    if _RFC3339.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper()).timestamp()
        except (ValueError, OverflowError):
            return None
    return parse_http_date(text)
