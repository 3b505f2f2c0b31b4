"""What is wrong with a configuration file: collected until everything was looked at, then told at once."""

from collections.abc import Sequence, Set
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
    line: int | None = None
    """None = no particular line."""
    column: int | None = None
    """Of the value, or of the key where the key is the mistake."""
    path: str = ""
    """Such as `model_groups[0].models[1].weight`; empty = the file itself."""
    valid: str = ""
    """What may stand there."""
    fix: str = ""
    """What to do, as an imperative."""

    def __str__(self) -> str:
        """`file:line:column: path: problem; valid: ...; fix: ...`"""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        parts = (self.problem, self.valid and f"valid: {self.valid}", self.fix and f"fix: {self.fix}")
        return ": ".join(part for part in (place, self.path, "; ".join(part for part in parts if part)) if part)


class ConfigError(Exception):
    """The configuration cannot be used. `str(error)` is the whole report, a line for each mistake, without secrets."""

    def __init__(self, file: Path, mistakes: Sequence[Mistake]) -> None:
        self.file = file
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: (mistake.line or 0, mistake.column or 0)))
        lines = [str(mistake) for mistake in self.mistakes[:MAX_PRINTED]]
        hidden = len(self.mistakes) - MAX_PRINTED
        super().__init__("\n".join([*lines, f"{file}: and {hidden} more"] if hidden > 0 else lines))


class Report:
    """The mistakes and warnings of one file, and where in it each setting stands."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.mistakes: list[Mistake] = []
        self.warnings: list[str] = []
        self._positions: dict[str, Position] = {}
        self._keys: dict[str, set[str]] = {}

    def locate(self, path: str, at: Position, section: str | None = None, key: str = "") -> None:
        """The value at `path` begins at `at`; as a setting it is the `key` of `section`."""
        self._positions[path] = at
        if section is not None:
            self._keys.setdefault(section, set()).add(key)

    def given(self, section: str) -> Set[str]:
        """The keys that were written in the section at this path, valid or not."""
        return self._keys.get(section, frozenset())

    def add(self, path: str, problem: str, valid: str = "", fix: str = "", at: Position | None = None) -> None:
        """One more mistake at `path`; `at` None = where the value stands, as far as that is known."""
        self.mistakes.append(self._finding(problem, path, valid, fix, at or self._positions.get(path)))

    def warn(self, path: str, text: str) -> None:
        """Something the reader should know and that does not stop the proxy from starting."""
        self.warnings.append(str(self._finding(text, path, at=self._positions.get(path))))

    def fail(self, problem: str, valid: str = "", fix: str = "", at: Position | None = None) -> NoReturn:
        """Give up at once: what comes after this mistake cannot be read."""
        raise ConfigError(self.file, [*self.mistakes, self._finding(problem, "", valid, fix, at)])

    def raise_if_any(self) -> None:
        """Raise `ConfigError` with all mistakes; does nothing when there are none."""
        if self.mistakes:
            raise ConfigError(self.file, self.mistakes)

    def _finding(self, problem: str, path: str, valid: str = "", fix: str = "", at: Position | None = None) -> Mistake:
        line, column = at or (None, None)
        return Mistake(str(self.file), problem, line, column, path, valid, fix)
