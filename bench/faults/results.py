"""What a run gave, as it is kept in bench/results/faults.json."""

from pathlib import Path

import msgspec
from msgspec import Struct

from bench.faults.case import Figure
from bench.machine import Machine
from bench.results import FOLDER

PATH = FOLDER / "faults.json"


class Result(Struct, frozen=True, kw_only=True):
    """One case."""

    part: str
    name: str
    title: str
    expected: str
    figures: tuple[Figure, ...]
    general: tuple[Figure, ...]
    """Of the general checks."""
    problem: str = ""
    """Why it did not come to its end; empty = it did."""
    took_s: float = 0.0
    worst_lag_ms: float = 0.0
    """How late the event loop of a worker was at worst, where it was asked: it says something about the machine too."""

    @property
    def held(self) -> bool:
        """Did all hold?"""
        return not self.problem and all(figure.holds for figure in (*self.figures, *self.general))

    def wrong(self) -> list[str]:
        """Sentences about what did not."""
        told = [self.problem] if self.problem else []
        return told + [
            f"{figure.what} {figure.measured:g}{figure.unit} and not {figure.relation} {figure.bound:g} {figure.note}"
            for figure in (*self.figures, *self.general)
            if not figure.holds
        ]


class Results(Struct, frozen=True, kw_only=True):
    """A run of all cases."""

    command: str
    machine: Machine
    busy_cores: float
    """What others used of the machine just before."""
    took_s: float
    results: tuple[Result, ...]


def keep(results: Results, path: Path = PATH) -> None:
    """Write them."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def kept(path: Path = PATH) -> Results:
    """Those of the last whole run."""
    return msgspec.json.decode(path.read_bytes(), type=Results)
