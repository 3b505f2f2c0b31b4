"""The supported versions of Python, and the demo's switch, are the same wherever they are said."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSIONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()


def test_the_project_names_them() -> None:
    assert PROJECT["requires-python"] == ">=3.11,<3.16"
    assert [each[-4:] for each in PROJECT["classifiers"] if "Python ::" in each] == list(VERSIONS)


def test_make_looks_for_them_and_says_so() -> None:
    looked_for = re.search(r"for p in ((?:python[\d.]+ )+)", MAKEFILE)
    told = re.search(r"LLMProxy needs Python ([^(]+) on PATH", MAKEFILE)

    assert looked_for is not None and told is not None
    assert {name.removeprefix("python") for name in looked_for[1].split()} == {*VERSIONS}
    assert re.findall(r"3\.\d+", told[1]) == list(VERSIONS)
    assert "< (3, 16)" in MAKEFILE and "< (3, 14)" not in MAKEFILE


@pytest.mark.parametrize(
    "name", [*("requirements.txt", "requirements-dev.txt"), *("requirements-azure.txt", "requirements-otel.txt")]
)
def test_uvloop_is_wanted_only_where_it_exists(name: str) -> None:
    (pin,) = re.findall(r"^uvloop==\S+(.*?) *\\$", (ROOT / name).read_text(), re.MULTILINE)

    assert "sys_platform != 'win32'" in pin
