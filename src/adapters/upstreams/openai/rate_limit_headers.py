"""`x-ratelimit-*`: what a reply says about its bucket's limits, in the formats of OpenAI and Azure OpenAI.

Values are counts; resets are Go durations (OpenAI) or bare seconds (Azure). Absent, negative (Azure's Responses API has
sent -1, openai-dotnet#838), absurd or unreadable is unknown, and never zero. So is a reset that is a point in time: it
would have to be compared with the moment at which the request was let in, and the reply may be much later.
Where a project has a token limit of its own (`-project-tokens`, OpenAI since June 2026, and the `-tokens_usage_based`
seen in 2025) the scarcer one counts.
"""

from adapters.upstreams.openai.errors.retry_delay import parse_reset_s
from application.messages import Headers
from domain.bounded_memo import Remembered
from domain.rate_limit.limit_reading import LEAST_LIMIT, MAX_COUNT, MAX_RESET_S, NO_READINGS, Reading, Readings


def _names(of: str) -> tuple[str, str, str]:
    return f"x-ratelimit-limit-{of}", f"x-ratelimit-remaining-{of}", f"x-ratelimit-reset-{of}"


_REQUESTS, _TOKENS = _names("requests"), _names("tokens")
_PROJECT_TOKENS, _USAGE_TOKENS = _names("project-tokens"), _names("tokens_usage_based")
_FURTHER = frozenset((*_PROJECT_TOKENS[:2], *_USAGE_TOKENS[:2]))
_SPILLED_FROM = "x-ms-spillover-from-"
_SILENT = Reading()
_LONGEST_NUMBER = 64
"""In characters. A longer one says nothing."""


def readings(headers: Headers) -> Readings:
    """What the headers say; empty readings where they say nothing."""
    said = dict(headers)
    requests, tokens = _reading(said, _REQUESTS), _reading(said, _TOKENS)
    if not said.keys().isdisjoint(_FURTHER):
        limits = (_reading(said, names) for names in (_TOKENS, _PROJECT_TOKENS, _USAGE_TOKENS))
        tokens = min((reading for reading in limits if not reading.is_empty), key=_scarcity, default=tokens)
    return NO_READINGS if requests is _SILENT and tokens is _SILENT else Readings(requests, tokens)


def is_spilled(headers: Headers) -> bool:
    """Did Azure have a standard deployment answer, as the provisioned one was full or failed? The header ends with
    `deployment` or with the name of one (Azure OpenAI spillover guide, then and now)."""
    return any(name.startswith(_SPILLED_FROM) for name, _ in headers)


def _reading(said: dict[str, str], names: tuple[str, str, str]) -> Reading:
    limit_name, remaining_name, reset_name = names
    limit, remaining = said.get(limit_name), said.get(remaining_name)
    if remaining is None and limit is None:
        return _SILENT
    reset_s, is_bare = _resets[said.get(reset_name)]
    left: float | None = None
    if remaining is not None:
        try:  # as `_count`, in each reply twice
            left = float(remaining)
        except ValueError:
            pass
        else:
            left = left if 0 <= left <= MAX_COUNT else None
    return Reading(_limits[limit], left, reset_s, is_bare)


# Unlike what remains, limits and resets are the same again and again.
def _limit(text: str | None) -> float | None:
    """A limit below 1 would mean an endpoint that can never be asked: that is not what is meant."""
    limit = None if text is None or len(text) > _LONGEST_NUMBER else _count(text)
    return None if limit is None or limit < LEAST_LIMIT else limit


_limits = Remembered(_limit, most=1024)


def _reset(text: str | None) -> tuple[float | None, bool]:
    """(Seconds, whether that is a number without a unit)."""
    if text is None or len(text) > _LONGEST_NUMBER:
        return None, False
    reset_s = parse_reset_s(text)
    if reset_s is None or reset_s > MAX_RESET_S:
        return None, False
    return reset_s, not text.strip().endswith("s")


_resets = Remembered(_reset, most=1024)


def _count(text: str) -> float | None:
    try:
        count = float(text)
    except ValueError:
        return None
    return count if 0 <= count <= MAX_COUNT else None


def _scarcity(reading: Reading) -> float:
    return MAX_COUNT if reading.remaining is None else reading.remaining
