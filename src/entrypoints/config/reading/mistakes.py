"""What is wrong with a configuration file: collected until everything was looked at, then told at once."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from msgspec import Struct

MAX_PRINTED = 100  # mistakes; a file with more of them is most likely no configuration at all


class Position(NamedTuple):
    """Where something begins in the file; both count from 1, columns in characters."""

    line: int
    column: int


class Mistake(Struct, frozen=True):
    """One thing to mend, or to know. Holds no secret; an empty text says nothing."""

    file: str
    problem: str
    line: int | None = None  # None = no particular line
    column: int | None = None  # of the value, or of the key where the key is the mistake
    path: str = ""  # such as `model_groups[0].models[1].weight`; empty = the file itself
    valid: str = ""  # what may stand there
    fix: str = ""  # what to do, as an imperative

    def __str__(self) -> str:
        """`file:line:column: path: problem; valid: ...; fix: ...`"""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        parts = (self.problem, self.valid and f"valid: {self.valid}", self.fix and f"fix: {self.fix}")
        return ": ".join(part for part in (place, self.path, "; ".join(part for part in parts if part)) if part)


class ConfigError(Exception):
    """The configuration cannot be used. `str(error)` is the whole report, a line for each mistake, without secrets."""

    def __init__(self, file: Path, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: (mistake.line or 0, mistake.column or 0)))
        lines = [str(mistake) for mistake in self.mistakes[:MAX_PRINTED]]
        hidden = len(self.mistakes) - MAX_PRINTED
        super().__init__("\n".join([*lines, f"{file}: and {hidden} more"] if hidden > 0 else lines))


class Report:
    """The mistakes and warnings of one file, and where in it each setting stands."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.mistakes: list[Mistake] = []
        self.warnings: list[Mistake] = []
        self.variables: dict[str, str] = {}  # by a value's path the variable that it is from, or `file:` and the file
        self.files: list[Path] = []  # others that were read, or should have been: of secrets and certificates
        self._positions: dict[str, Position] = {}
        self._given: dict[str, frozenset[str]] = {}

    def locate(self, path: str, at: Position) -> None:
        self._positions[path] = at

    def locate_keys(self, section: str, keys: Iterable[str]) -> None:
        self._given[section] = frozenset(keys)

    def at(self, section: str) -> "Place":
        """The section at this path, for what is to be said about its settings."""
        return Place(self, section, self._given.get(section, frozenset()))

    def add(self, path: str, problem: str, valid: str = "", fix: str = "", at: Position | None = None) -> None:
        """One more mistake at `path`; `at` None = where the value stands, as far as that is known."""
        line, column = at or self._positions.get(path) or (None, None)
        self.mistakes.append(Mistake(str(self.file), problem, line, column, path, valid, fix))

    def warn(self, path: str, text: str, fix: str = "") -> None:
        line, column = self._positions.get(path) or (None, None)
        self.warnings.append(Mistake(str(self.file), text, line, column, path, fix=fix))

    def fail(self, problem: str, valid: str = "", fix: str = "", at: Position | None = None) -> NoReturn:
        """Give up at once: what comes after this mistake cannot be read."""
        self.add("", problem, valid, fix, at)
        raise ConfigError(self.file, self.mistakes)

    def raise_if_any(self) -> None:
        """Raise `ConfigError` with all mistakes; does nothing when there are none."""
        if self.mistakes:
            raise ConfigError(self.file, self.mistakes)


class Place(NamedTuple):
    report: Report
    path: str
    given: frozenset[str]  # the keys that were written, but for those whose variable is empty

    def add(self, key: str, problem: str, valid: str = "", fix: str = "") -> None:
        self.report.add(f"{self.path}.{key}", problem, valid, fix)

    def warn(self, key: str, text: str) -> None:
        self.report.warn(f"{self.path}.{key}", text)
