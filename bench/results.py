"""What a row of the budget gave: every round as it was, the medians, and whether the budget was met."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, field

from bench.load.distribution import Curve, median, median_curve
from bench.machine import Machine

FOLDER = Path(__file__).parent / "results"

Status = Literal["pass", "miss", "failed", "not available"]
"""`failed`: requests went wrong, so what was measured means little."""


class Round(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One subject, measured once."""

    subject: str
    round: int
    values: Mapping[str, float] = field(default_factory=dict)
    """Figures by name; the unit is the end of the name."""
    errors: Mapping[str, int] = field(default_factory=dict)
    curve: Curve = ()
    """Latencies, or gaps between events, in ms."""
    note: str = ""
    """What happened, where there is nothing to measure."""


class Check(Struct, frozen=True, kw_only=True):
    """One line of the budget."""

    what: str
    unit: str
    measured: float
    budget: float
    at_most: bool
    note: str = ""
    """The figures behind a ratio."""

    @property
    def met(self) -> bool:
        """Is it within the budget?"""
        return self.measured <= self.budget if self.at_most else self.measured >= self.budget


class Row(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row of the budget, measured."""

    name: str
    title: str
    checks: tuple[Check, ...] = ()
    rounds: tuple[Round, ...] = ()
    reason: str = ""
    """Why it is not available."""
    forgiven: tuple[str, ...] = ()
    """Subjects whose errors do not fail the row: the others, beside which we are measured."""
    ran_s: float = 0.0
    busy_cores: float = 0.0
    """What others used of the machine just before: it is missing in what was measured."""

    @property
    def errors(self) -> int:
        """What went wrong in all rounds together, but for those of the forgiven."""
        return sum(sum(one.errors.values()) for one in self.rounds if one.subject not in self.forgiven)

    @property
    def status(self) -> Status:
        """Errors fail a row whatever its figures."""
        if self.reason:
            return "not available"
        if self.errors:
            return "failed"
        return "pass" if all(check.met for check in self.checks) else "miss"

    @property
    def subjects(self) -> tuple[str, ...]:
        """In the order they were measured."""
        return tuple(dict.fromkeys(one.subject for one in self.rounds))

    def median(self, subject: str, value: str) -> float:
        """Over the rounds of a subject; NaN where it has none."""
        return median([one.values[value] for one in self._of(subject) if value in one.values])

    def ratio(self, subject: str, other: str, value: str) -> float:
        """The median of the ratios in each round: both were measured one after the other."""
        theirs = {one.round: one.values[value] for one in self._of(other) if value in one.values}
        pairs = [(one.values[value], theirs.get(one.round, 0.0)) for one in self._of(subject) if value in one.values]
        return median([mine / its for mine, its in pairs if its])

    def difference(self, subject: str, other: str, value: str) -> float:
        """The median of the differences in each round."""
        theirs = {one.round: one.values[value] for one in self._of(other) if value in one.values}
        return median(
            [
                one.values[value] - theirs[one.round]
                for one in self._of(subject)
                if value in one.values and one.round in theirs
            ]
        )

    def rate_of(self, subject: str, other: str, budget: float, what: str) -> Check:
        """At least so much of another's requests/s."""
        note = f"{self.median(subject, 'rps'):,.0f} of {self.median(other, 'rps'):,.0f} requests/s"
        measured = self.ratio(subject, other, "rps")
        return Check(what=what, unit="", measured=measured, budget=budget, at_most=False, note=note)

    def curve(self, subject: str) -> Curve:
        """At each percentile the median over its rounds."""
        return median_curve([one.curve for one in self._of(subject)])

    def judged(self, *checks: Check) -> "Row":
        """The same with its lines of the budget."""
        return msgspec.structs.replace(self, checks=checks)

    def _of(self, subject: str) -> list[Round]:
        return [one for one in self.rounds if one.subject == subject]


class Kept(Struct, frozen=True, kw_only=True):
    """A row's file: the row, and where and when it was measured."""

    row: Row
    status: Status
    medians: Mapping[str, Mapping[str, float]]
    machine: Machine


def keep(row: Row, machine: Machine, folder: Path = FOLDER) -> None:
    """Write `<row>.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    medians = {
        subject: {
            value: row.median(subject, value) for one in row.rounds if one.subject == subject for value in one.values
        }
        for subject in row.subjects
    }
    kept = Kept(row=_finite(row), status=row.status, medians=medians, machine=machine)
    text = msgspec.json.format(msgspec.json.encode(kept), indent=1)
    (folder / f"{row.name}.json").write_bytes(text + b"\n")


def kept(names: Sequence[str], folder: Path = FOLDER) -> list[Kept]:
    """The rows of these names that have been measured at some time, in this order."""
    paths = [folder / f"{name}.json" for name in names]
    return [msgspec.json.decode(path.read_bytes(), type=Kept) for path in paths if path.exists()]


def _finite(row: Row) -> Row:
    """JSON has no NaN; a check that could not be made is one that was missed."""
    checks = tuple(
        check
        if math.isfinite(check.measured)
        else msgspec.structs.replace(check, measured=1e9 if check.at_most else 0.0, note="could not be measured")
        for check in row.checks
    )
    return msgspec.structs.replace(row, checks=checks)
