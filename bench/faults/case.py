"""A case, what it measures, and the bounds of that."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from bench.faults.world import World

Relation = Literal["=", "<=", ">="]


class Figure(Struct, frozen=True):
    """One thing that was measured. `relation` is what it has to be to its `bound`."""

    what: str
    measured: float
    relation: Relation
    bound: float
    unit: str = ""
    note: str = ""
    """What was seen, where it does not hold."""
    floor: float | None = None
    """Below which it may not be either; None = the bound is all."""

    @property
    def holds(self) -> bool:
        """Is it within its bound?"""
        if self.floor is not None and self.measured < self.floor:
            return False
        if self.relation == "=":
            return self.measured == self.bound
        return self.measured <= self.bound if self.relation == "<=" else self.measured >= self.bound


def none(what: str, measured: float, note: str = "") -> Figure:
    """There may be none of it."""
    return Figure(what, measured, "=", 0, note=note)


def exactly(what: str, measured: float, bound: float, note: str = "") -> Figure:
    return Figure(what, measured, "=", bound, note=note)


def at_most(what: str, measured: float, bound: float, unit: str = "", note: str = "") -> Figure:
    return Figure(what, round(measured, 3), "<=", bound, unit, note)


def at_least(what: str, measured: float, bound: float, unit: str = "", note: str = "") -> Figure:
    return Figure(what, round(measured, 3), ">=", bound, unit, note)


def between(low: float, what: str, measured: float, high: float, unit: str = "", note: str = "") -> Figure:
    return Figure(what, round(measured, 3), "<=", high, unit, note, low)


Run = Callable[["World"], Awaitable[Sequence[Figure]]]


class Case(Struct, frozen=True):
    """One way to fail. `name` is a word for `--only`; `expected` is a sentence for the page."""

    part: str
    """Of the page."""
    name: str
    title: str
    expected: str
    run: Run


CASES: dict[str, Case] = {}
"""All that have been imported, by name."""

PARTS = (
    "Providers that break",
    "Answers that are none",
    "Limits and outages",
    "Redis",
    "Clients",
    "Processes",
    "Whose fault it is",
    "Streams to their end",
    "Configuration and start",
)
"""In the order of the page."""


def in_order() -> list[Case]:
    """All cases, in the order of the page."""
    return sorted(CASES.values(), key=lambda case: PARTS.index(case.part))


def cases_of(part: str) -> Callable[[str, str, str], Callable[[Run], Run]]:
    """What makes cases of functions, for one part of the page: `case(name, title, expected)`."""

    def case(name: str, title: str, expected: str) -> Callable[[Run], Run]:
        def made(run: Run) -> Run:
            if name in CASES:
                raise ValueError(f"two cases are called {name}")
            CASES[name] = Case(part, name, title, expected, run)
            return run

        return made

    return case
