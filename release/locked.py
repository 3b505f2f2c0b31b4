"""The packages that a release is locked to, as `make lock` writes them."""

import re
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[1]
LOCKS = {"": "requirements.txt", "azure": "requirements-azure.txt", "otel": "requirements-otel.txt"}
"""By extra; empty = what everybody installs."""

_PACKAGE = re.compile(
    r"^(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>\S+)(?: ; (?P<marker>[^\\\n]+?))?(?P<hashes>(?: \\\n +--hash=\S+)+)",
    re.MULTILINE,
)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Locked(Struct, frozen=True):
    """One package at one version."""

    name: str
    version: str
    marker: str
    """Where it is installed (PEP 508); empty = everywhere."""
    sha256: Sequence[str]
    """Of the files that may be installed of it."""
    extra: str
    """Which extra brings it; empty = none, it is always there."""


def locked_packages(root: Path = ROOT) -> Sequence[Locked]:
    """Each once, of the least extra that brings it. Raises `ValueError` for a package without a hash."""
    found: dict[str, Locked] = {}
    for extra, lock in LOCKS.items():
        text = (root / lock).read_text(encoding="utf-8")
        packages = [_locked(match, extra) for match in _PACKAGE.finditer(text)]
        if len(packages) != len(re.findall(r"^\w", text, re.MULTILINE)):
            raise ValueError(f"{lock} has a line that is no package with version and hashes; make lock writes it anew")
        found = {package.name: package for package in packages} | found
    return sorted(found.values(), key=lambda package: package.name)


def _locked(match: re.Match[str], extra: str) -> Locked:
    hashes = _HASH.findall(match["hashes"])
    return Locked(match["name"], match["version"], match["marker"] or "", hashes, extra)
