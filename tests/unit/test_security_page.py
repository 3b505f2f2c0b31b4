"""SECURITY.md: each bound that it names is the one in the code."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from entrypoints.config.settings import GeneralSettings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.partition("\n## Bounds\n")[2].splitlines()
    if line.startswith("|") and line.endswith("` |")
]
UNITS = {"": 1, "s": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def number_in(text: str) -> float:
    """`64 KiB`, `16,384, or ...`."""
    found = re.match(r"([0-9][0-9,]*)(?<!,)(?: (s|KiB|MiB|GiB))?\b", text)
    assert found is not None, text
    return float(found[1].replace(",", "")) * UNITS[found[2] or ""]


def value_of(place: str) -> Any:
    """Of a constant, or the default of a setting."""
    module, _, name = place.rpartition(".")
    if module not in ("", "cache_params"):
        return getattr(importlib.import_module(module), name)
    settings: Any = GeneralSettings()
    for part in place.split("."):
        settings = getattr(settings, part)
    return settings


@pytest.mark.parametrize(("bound", "place"), [(row[1], row[-1].strip("`")) for row in ROWS], ids=[r[0] for r in ROWS])
def test_a_bound_is_the_one_in_the_code(bound: str, place: str) -> None:
    assert number_in(bound) == value_of(place)


def test_all_rows_are_compared_and_the_readme_names_the_page() -> None:
    table = [line for line in PAGE.partition("\n## Bounds\n")[2].splitlines() if line.startswith("|")]

    assert len(ROWS) == len(table) - 2 > 30
    assert "(SECURITY.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)", PAGE))
def test_its_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
