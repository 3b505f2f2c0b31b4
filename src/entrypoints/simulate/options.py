"""What the options of `llmproxy simulate` say, each read from one text. What cannot be meant raises
`argparse.ArgumentTypeError`, which says what was given and what is valid."""

import re
from argparse import ArgumentTypeError
from typing import Literal

from msgspec import Struct

from entrypoints.config.value_types import MOST_OUTPUT_RATIO
from simulator.settings import HeaderStyle

TroubleKind = Literal["connect", "503", "timeout", "429"]

_UNITS_S = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|)")
_LIMITS = re.compile(r"(\d+|none)/(\d+|none)(?::(openai|azure|none|ptu)(?::(\d+(?:\.\d+)?))?)?")
_LATENCY = re.compile(r"(\d+(?:\.\d+)?)\+(\d+(?:\.\d+)?)")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")
MOST_TOKENS = 1_000_000
"""Of a request, in or out: no model takes more."""


class Limits(Struct, frozen=True):
    """What a provider lets in each minute; None = no limit."""

    rpm: int | None
    tpm: int | None
    style: HeaderStyle | None = None
    """How it counts and what its headers say; None = as the endpoint's provider does."""
    output_ratio: float | None = None
    """With style `ptu`: an output token counts for so many input tokens; None = as the configuration says."""


class Latency(Struct, frozen=True):
    first_byte_s: float = 0.3
    token_s: float = 0.02
    """For each token of output."""


class Trouble(Struct, frozen=True):
    """A time in which an endpoint answers nothing well."""

    endpoint: str
    from_s: float
    to_s: float
    kind: TroubleKind
    retry_after_s: float | None = None
    """What its 429s ask for; None = nothing."""


class Spread(Struct, frozen=True):
    """Numbers between two, each as likely as the next."""

    least: int
    most: int


class Tokens(Struct, frozen=True):
    given: Spread
    answered: Spread


def duration(text: str) -> float:
    """Seconds: `90s`, `10m`, `1h`, `250ms`, or a bare number of seconds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ArgumentTypeError(f"'{text}' is no time; valid: a number with s, m, h or ms after it, such as 90s or 10m")
    return float(match[1]) * _UNITS_S[match[2]]


def limits(text: str) -> tuple[str | None, Limits]:
    """`[ENDPOINT=]RPM/TPM[:STYLE]`, or `[ENDPOINT=]none/TPM:ptu[:RATIO]`; without an endpoint it is meant for all
    (None)."""
    endpoint, value = _of_one(text)
    match = _LIMITS.fullmatch(value)
    if match is None or "0" in (match[1], match[2]):
        raise ArgumentTypeError(
            f"'{text}' says no limits; valid: [ENDPOINT=]RPM/TPM, whole numbers from 1 or none, with :openai, "
            ":azure, :none or :ptu after it to say how they are counted, such as east=600/90000:azure"
        )
    if match[3] == "ptu" and (match[1] != "none" or match[2] == "none"):
        raise ArgumentTypeError(
            f"'{text}' is no provisioned deployment; valid: [ENDPOINT=]none/TPM:ptu, such as "
            "east=none/300000:ptu, as it has a limit of tokens alone"
        )
    ratio = None if match[4] is None else float(match[4])
    if ratio is not None and (match[3] != "ptu" or not 1 <= ratio <= MOST_OUTPUT_RATIO):
        raise ArgumentTypeError(
            f"'{text}' counts output tokens as nobody does; valid: [ENDPOINT=]none/TPM:ptu:RATIO, from 1 to "
            f"{MOST_OUTPUT_RATIO}, such as east=none/300000:ptu:4 where one counts for four input tokens"
        )
    rpm, tpm = (None if number == "none" else int(number) for number in (match[1], match[2]))
    style: HeaderStyle | None = match[3]  # type: ignore[assignment] # the pattern has no other words
    return endpoint, Limits(rpm, tpm, style, ratio)


def latency(text: str) -> tuple[str | None, Latency]:
    """`[ENDPOINT=]FIRST+TOKEN`, both in milliseconds; without an endpoint it is meant for all (None)."""
    endpoint, value = _of_one(text)
    match = _LATENCY.fullmatch(value)
    if match is None:
        raise ArgumentTypeError(
            f"'{text}' says no latency; valid: [ENDPOINT=]FIRST+TOKEN in milliseconds, such as east=300+20 for 300 ms, "
            "and 20 ms more for each token of the answer"
        )
    return endpoint, Latency(float(match[1]) / 1000, float(match[2]) / 1000)


def outage(text: str) -> Trouble:
    """`ENDPOINT@FROM..TO[:KIND]`."""
    span, kind = _suffix(text)
    if kind not in ("", "connect", "503", "timeout"):
        raise ArgumentTypeError(f"'{kind}' in '{text}' is no kind of outage; valid: connect, 503, timeout")
    endpoint, from_s, to_s = _span(text, span, "east@10m..15m:503; connect, 503 or timeout may follow")
    return Trouble(endpoint, from_s, to_s, kind or "connect")  # type: ignore[arg-type] # looked at above


def storm(text: str) -> Trouble:
    """`ENDPOINT@FROM..TO[:RETRY_AFTER]`."""
    span, after = _suffix(text)
    endpoint, from_s, to_s = _span(text, span, "east@10m..11m:5s; what retry-after says may follow")
    return Trouble(endpoint, from_s, to_s, "429", duration(after) if after else None)


def tokens(text: str) -> Tokens:
    """`IN,OUT`, each a number or LEAST-MOST."""
    parts = [_RANGE.fullmatch(part) for part in text.split(",")]
    spreads = [Spread(int(part[1]), int(part[2] or part[1])) for part in parts if part is not None]
    if len(parts) != 2 or len(spreads) != 2 or any(not 1 <= s.least <= s.most <= MOST_TOKENS for s in spreads):
        raise ArgumentTypeError(
            f"'{text}' says no numbers of tokens; valid: IN,OUT, each a whole number from 1 to {MOST_TOKENS:,} or "
            "LEAST-MOST, such as 1000,200 or 500-2000,50-400"
        )
    return Tokens(*spreads)


def share(text: str) -> tuple[str, float]:
    """`NAME[:SHARE]`; a name may hold a colon itself."""
    name, colon, number = text.rpartition(":")
    if not colon or not re.fullmatch(r"\d+(\.\d+)?", number):
        return text, 1.0
    if float(number) == 0:
        raise ArgumentTypeError(f"the share in '{text}' is 0; valid: NAME:SHARE with a share above 0, such as gpt-5:3")
    return name, float(number)


def positive(text: str) -> float:
    """A number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1e6:
        raise ArgumentTypeError(f"'{text}' is not valid; valid: a number above 0, at most 1,000,000")
    return number


def _of_one(text: str) -> tuple[str | None, str]:
    endpoint, equals, value = text.rpartition("=")
    return (endpoint if equals else None), value


def _suffix(text: str) -> tuple[str, str]:
    """What stands before and after the colon that follows the times: an endpoint's name may hold one as well."""
    endpoint, at, times = text.rpartition("@")
    times, _, suffix = times.partition(":")
    return endpoint + at + times, suffix


def _span(text: str, span: str, example: str) -> tuple[str, float, float]:
    endpoint, _, times = span.rpartition("@")
    begin, dots, end = times.partition("..")
    if not endpoint or not dots:
        raise ArgumentTypeError(f"'{text}' names no endpoint and time; valid: ENDPOINT@FROM..TO, such as {example}")
    from_s, to_s = duration(begin), duration(end)
    if from_s >= to_s:
        raise ArgumentTypeError(f"'{text}' ends before it begins; valid: ENDPOINT@FROM..TO, such as {example}")
    return endpoint, from_s, to_s
