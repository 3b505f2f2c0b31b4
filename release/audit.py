"""`python -m release.audit PIP_AUDIT`: known vulnerabilities of all locked packages.

0 = none is known, 1 = the database could not be asked (it may work later), 2 = there are some.
"""

import subprocess
import sys
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from release.locked import locked_packages

_DATABASES = ("pypi", "osv")
"""`pip-audit`'s names of those that it can ask; the second where the first does not answer."""


class Vulnerability(Struct):
    """One that is known."""

    id: str
    fix_versions: Sequence[str] = ()


class Package(Struct):
    """What a database says of a package."""

    name: str
    version: str = ""
    vulns: Sequence[Vulnerability] = ()
    skip_reason: str = ""
    """Why the database says nothing of it; empty = it was asked."""


class _Report(Struct):
    dependencies: Sequence[Package]


def main(pip_audit: str) -> int:
    """See the module."""
    asked = "".join(f"{package.name}=={package.version}\n" for package in locked_packages())
    for database in _DATABASES:
        options = ["--vulnerability-service", database, "--disable-pip", "--no-deps", "-f", "json", "-r", "/dev/stdin"]
        done = subprocess.run([pip_audit, *options], input=asked, capture_output=True, text=True, check=False)  # noqa: S603
        packages = _audited(done.stdout)
        if packages:
            print("\n".join(lines(packages)))  # noqa: T201 - a command
            return verdict(packages)
        why = done.stderr.strip().rpartition("\n")[2][:200] if done.returncode else "it knows none of the packages"
        print(f"{database} could not be asked: {why}", file=sys.stderr)  # noqa: T201
    print("NOT AUDITED: no database of vulnerabilities can be reached from here.", file=sys.stderr)  # noqa: T201
    return 1


def verdict(packages: Sequence[Package]) -> int:
    """The exit code. What the database does not know was not audited, so that nobody takes it for sound."""
    if any(package.vulns for package in packages):
        return 2
    return 1 if any(package.skip_reason for package in packages) else 0


def lines(packages: Sequence[Package]) -> Sequence[str]:
    """What is told of them."""
    skipped = [f"{package.name}: not audited, {package.skip_reason}" for package in packages if package.skip_reason]
    found = [
        f"{package.name} {package.version}: {each.id}, mended in {', '.join(each.fix_versions) or 'no version yet'}"
        for package in packages
        for each in package.vulns
    ]
    told = f"{len(packages) - len(skipped)} packages audited, {len(found)} known vulnerabilities"
    return [*skipped, *found, told]


def _audited(said: str) -> Sequence[Package]:
    """What `pip-audit` says in JSON; none where it says nothing of any package."""
    try:
        packages = msgspec.json.decode(said, type=_Report).dependencies
    except msgspec.DecodeError:
        return ()
    return () if all(package.skip_reason for package in packages) else packages


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
