"""`python -m release.licences`: writes docs/licences.md, and fails where a licence is not known or not allowed."""

import sys
from collections.abc import Mapping, Sequence
from importlib import metadata

from release.locked import ROOT, Locked, locked_packages

ALLOWED = frozenset(
    {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0"}
)  # what may be used, changed and sold with a notice; MPL-2.0 asks for the source of its own files alone
PAGE = ROOT / "docs/licences.md"

_SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""What packages say in words of their own: SPDX's name for it."""
_READ = {
    "async-timeout": "Apache-2.0", "backports-zstd": "PSF-2.0", "colorama": "BSD-3-Clause", "tzdata": "Apache-2.0",
    "dependency-injector": "BSD-3-Clause", "uvloop": "MIT OR Apache-2.0",
}  # fmt: skip
"""Read in their files, as they are not installed everywhere, or their metadata says less."""


def licence_of(name: str) -> str:
    """An SPDX expression; empty = not known."""
    if name in _READ:
        return _READ[name]
    try:
        told = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return ""
    text = str(told.get("License-Expression") or "") or _first_line(str(told.get("License") or ""))
    if text not in _SPDX and not is_allowed(text):
        groups = [each.rpartition(":: ")[2] for each in told.get_all("Classifier", ()) if each.startswith("License ::")]
        text = groups[0] if len(groups) == 1 else text
    return _SPDX.get(text, text)


def is_allowed(expression: str) -> bool:
    """May it be used? All that it joins with AND, or one that it joins with OR, must be allowed."""
    if " AND " in expression:
        return all(map(is_allowed, expression.split(" AND ")))
    return any(each.strip("() ") in ALLOWED for each in expression.split(" OR "))


def page(licences: Mapping[str, str], packages: Sequence[Locked]) -> str:
    """docs/licences.md."""
    lines = [
        "# Licences",
        "",
        "LLMProxy is under the MIT licence. What it installs beside itself, at the locked versions; `make licences`",
        f"writes this page, and fails for a licence that is none of {', '.join(sorted(ALLOWED))}.",
        "",
        "| package | version | licence | with the extra |",
        "|---|---|---|---|",
        *(f"| {each.name} | {each.version} | {licences[each.name]} | {each.extra} |" for each in packages),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    packages = locked_packages()
    licences = {package.name: licence_of(package.name) for package in packages}
    PAGE.write_text(page(licences, packages), encoding="utf-8")
    refused = [f"{name}: {licence or 'not known'}" for name, licence in licences.items() if not is_allowed(licence)]
    for line in refused:
        print(f"licence not allowed: {line}", file=sys.stderr)  # noqa: T201 - a command
    return 1 if refused else 0


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0].strip()


if __name__ == "__main__":
    sys.exit(main())
