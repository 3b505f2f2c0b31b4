"""When requests come, and for how much: arrivals by chance (a Poisson process, from a seed), or those of a trace.

A trace is a CSV file with the columns TIMESTAMP, ContextTokens and GeneratedTokens, as Microsoft publishes those of
Azure's LLM services (Azure Public Dataset, 2023 and 2024).
"""

import csv
import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path

from msgspec import Struct

from domain.group import ModelGroup
from entrypoints.simulate.options import MOST_TOKENS, Spread, Tokens
from entrypoints.simulate.scenario import ScenarioError

_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_LEAST_GAP_S = 1e-6
"""Between two requests: what happens at one moment has no order that a second run would keep."""


class Arrival(Struct, frozen=True, gc=False):
    at_s: float
    """Seconds after the start."""
    group: ModelGroup
    given_tokens: int
    answered_tokens: int
    repeats: int | None = None
    """The number of the earlier request (from 0) that it is word for word; None = it is a new one."""


class Mix:
    """Which group a request is for."""

    def __init__(self, groups: Sequence[tuple[ModelGroup, float]], dice: random.Random) -> None:
        """`groups` with their parts of 1."""
        self._groups = [group for group, _ in groups]
        self._parts = [part for _, part in groups]
        self._dice = dice

    def next(self) -> ModelGroup:
        if len(self._groups) == 1:
            return self._groups[0]
        return self._dice.choices(self._groups, self._parts)[0]


def by_chance(rate: float, length_s: float, tokens: Tokens, mix: Mix, dice: random.Random) -> Iterator[Arrival]:
    """About `rate` requests a second, each without regard to the others, for `length_s` seconds."""
    at_s = dice.expovariate(rate)
    while at_s < length_s:
        given, answered = (_between(spread, dice) for spread in (tokens.given, tokens.answered))
        yield Arrival(at_s, mix.next(), given, answered)
        at_s += max(_LEAST_GAP_S, dice.expovariate(rate))


def of_trace(path: Path, speed: float, length_s: float | None, mix: Mix) -> list[Arrival]:
    """The requests of a trace in the order of their times, `speed` times as fast, the first at the start. None = all
    of them, else those of the first `length_s` seconds (as played). Raises `ScenarioError`, and `OSError`."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        rows = sorted(_rows(path, lines))
    if not rows:
        raise ScenarioError(f"--trace: {path} has no requests; valid: a line for each, below {','.join(_COLUMNS)}")
    first_s = rows[0][0]
    arrivals: list[Arrival] = []
    at_s = -_LEAST_GAP_S
    for moment_s, given, answered in rows:
        at_s = max(at_s + _LEAST_GAP_S, (moment_s - first_s) / speed)
        if length_s is not None and at_s >= length_s:
            break
        arrivals.append(Arrival(at_s, mix.next(), given, answered))
    return arrivals


def _rows(path: Path, lines: Iterable[str]) -> Iterator[tuple[float, int, int]]:
    reader = csv.DictReader(lines)
    missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise ScenarioError(f"--trace: {path} has no column {', '.join(missing)}; valid: {','.join(_COLUMNS)}")
    try:
        for row in reader:
            given, answered = (min(max(1, int(row[name])), MOST_TOKENS) for name in _COLUMNS[1:])
            yield _moment_s(row["TIMESTAMP"]), given, answered
    except (TypeError, ValueError, OverflowError, csv.Error) as error:
        example = "2023-11-16 18:17:03.9799600,4808,10"
        told = f"--trace: line {reader.line_num} of {path} cannot be read; valid: a line such as {example}"
        raise ScenarioError(told) from error


def _moment_s(text: str) -> float:
    """A number of seconds, or a date and time; without a zone all are of the same. Raises `ValueError`."""
    try:
        moment_s = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not isfinite(moment_s):
        raise ValueError(text)
    return moment_s


def _between(spread: Spread, dice: random.Random) -> int:
    return spread.least if spread.least == spread.most else dice.randint(spread.least, spread.most)
