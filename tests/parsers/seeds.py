"""Inputs that are kept: one file a target, one input a line, written as Python writes bytes."""

import ast
from collections.abc import Iterable
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "data/seeds"


def seeds(name: str) -> list[bytes]:
    """Those of a target; none where nothing was kept."""
    path = _FOLDER / f"{name}.txt"
    if not path.exists():
        return []
    return [bytes(ast.literal_eval(line)) for line in path.read_text(encoding="ascii").splitlines()]


def keep(name: str, inputs: Iterable[bytes]) -> None:
    """In place of those that are there."""
    (_FOLDER / f"{name}.txt").write_text("".join(f"{data!r}\n" for data in inputs), encoding="ascii")
