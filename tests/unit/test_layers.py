"""What import-linter cannot see of the layers: parts of packages, and numbers."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import domain

ROOT = Path(domain.__file__).parent.parent
DOMAIN = sorted((ROOT / "domain").rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("path", DOMAIN, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_domain_takes_structs_from_msgspec_and_no_encoding(path: Path) -> None:
    taken = {name for name in imported(path) if name.split(".")[0] == "msgspec"}

    assert {name.split(".")[1:2] == ["structs"] or name in {"msgspec.Struct", "msgspec.field"} for name in taken} <= {
        True
    }
