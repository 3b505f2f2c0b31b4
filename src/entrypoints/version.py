"""The version of the program, from one source: `version` in pyproject.toml, by way of the installed package."""

import tomllib
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def version(root: Path = _ROOT) -> str:
    """Such as `0.1.0`; from the sources at `root`, where they are, with a word that it is these."""
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):
        project = {}
    if project.get("name") == "llmproxy":
        return f"{project.get('version', 'unknown')} (source checkout {root})"
    try:
        return installed_version("llmproxy")
    except PackageNotFoundError:
        return f"unknown (run from {root}, not installed)"
