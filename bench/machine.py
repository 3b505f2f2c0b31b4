"""Where something was measured, without saying whose machine it is."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from msgspec import Struct

from bench import python_build
from bench.servers import nginx
from bench.servers.children import ROOT
from entrypoints.config.settings import GeneralSettings

_PACKAGES = ("litestar", "msgspec", "uvloop", "httptools", "httpx", "redis", "hiredis")


class Machine(Struct, frozen=True, kw_only=True):
    """Processor, system, versions, and the state of the source."""

    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    """The name of its build."""
    commit: str
    """The commit measured; `+` at its end = with changes that are not committed."""
    upstream_client: str
    """The default, which all rows use but the one that names another."""
    versions: Mapping[str, str]
    measured: str
    """UTC, ISO 8601."""


def this_machine(others: Mapping[str, str]) -> Machine:
    """The one we are on. `others` = versions that are measured besides."""
    return Machine(
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        system=f"{platform.system()} {platform.release().partition('-')[0]} {platform.machine()}",
        python=python_build.name(),
        commit=_commit(),
        upstream_client=GeneralSettings().upstream_client,
        versions={**_versions(), **others},
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return _said(["sysctl", "-n", "machdep.cpu.brand_string"]) or platform.processor() or "unknown"


def _commit() -> str:
    name = _said(["git", "rev-parse", "--short=12", "HEAD"])
    return f"{name}+" if name and _said(["git", "status", "--porcelain", "--", "src"]) else name


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    programs = {
        "nginx": [nginx.installed() or "nginx", "-v"],
        "wrk": ["wrk", "-v"],
        "redis-server": ["redis-server", "--version"],
    }
    for name, command in programs.items():
        number = re.search(r"\d+\.\d+\.\d+", _said(command))
        if number is not None:
            found[name] = number.group()
    return found


def _said(command: list[str]) -> str:
    """What a program prints; empty where it is not there."""
    if shutil.which(command[0]) is None:
        return ""
    run = subprocess.run(  # noqa: S603 - commands of our own
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=20
    )
    failed = run.returncode != 0 and command[0] == "git"  # wrk tells its version and fails
    return "" if failed else (run.stdout or run.stderr).strip()
