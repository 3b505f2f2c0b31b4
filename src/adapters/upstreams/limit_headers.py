"""`x-ratelimit-*`: what a reply says about its bucket's limits, in the formats of OpenAI and Azure OpenAI.

Values are counts; resets are Go durations (OpenAI) or bare seconds (Azure). Absent, negative (Azure's Responses API has
sent -1, openai-dotnet#838), absurd or unreadable is unknown, and never zero. Where a project has a token limit of its
own (`-project-tokens`, OpenAI since June 2026, and the `-tokens_usage_based` seen in 2025) the scarcer one counts.
"""

from adapters.upstreams.retry_delay import parse_duration_s
from application.messages import Headers
from domain.gauge import Reading
from domain.rate_limit import NO_READINGS, Readings

_PREFIX = "x-ratelimit-"
_FURTHER_TOKEN_LIMITS = ("project-tokens", "tokens_usage_based")
_USUAL = 6
"""Limit, remaining and reset, of requests and of tokens."""
_MAX_COUNT = 1e12
_MAX_RESET_S = 86_400.0


def readings(headers: Headers) -> Readings:
    """What the headers say; empty readings where they say nothing."""
    said = {name[len(_PREFIX) :]: value for name, value in headers if name.startswith(_PREFIX)}
    if not said:
        return NO_READINGS
    tokens = _reading(said, "tokens")
    if len(said) > _USUAL or tokens.is_empty:
        others = [reading for name in _FURTHER_TOKEN_LIMITS if not (reading := _reading(said, name)).is_empty]
        tokens = min((*others, tokens) if not tokens.is_empty else others, key=_scarcity, default=tokens)
    return Readings(_reading(said, "requests"), tokens)


def _reading(said: dict[str, str], name: str) -> Reading:
    reset_s = parse_duration_s(said.get(f"reset-{name}", ""))
    if reset_s is not None and reset_s > _MAX_RESET_S:
        reset_s = None
    # A limit of 0 would mean an endpoint that can never be asked: whoever says so means something else.
    return Reading(_count(said.get(f"limit-{name}")) or None, _count(said.get(f"remaining-{name}")), reset_s)


def _count(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        count = float(text)
    except ValueError:
        return None
    return count if 0 <= count <= _MAX_COUNT else None


def _scarcity(reading: Reading) -> float:
    return _MAX_COUNT if reading.remaining is None else reading.remaining
