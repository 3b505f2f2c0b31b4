"""`python -m bench.instructions [--record]`: how many instructions a request costs. A guard that times nothing.

valgrind's cachegrind runs the application and counts every instruction; the count hardly depends on how busy the
machine is. What was recorded for this minor version of Python is in `instructions.json`.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.instructions_driver import WORKS
from bench.results import Check, Round, Row
from bench.servers.children import ROOT
from bench.world import Plan, World

RECORD = Path(__file__).parent / "instructions.json"
TOLERANCE = 1.05
_TIMES = 200
_AT_A_TIME = 2
_LIMIT_S = 300
_COUNTED = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
_TOTAL = re.compile(r"I\s+refs:\s+([\d,]+)")


class Recorded(Struct, frozen=True, kw_only=True):
    """What requests cost with one minor version of Python."""

    python: str
    """The interpreter's version and how it was built: another build has other counts."""
    instructions: Mapping[str, int]


def interpreter() -> str:
    """Version, compiler and processor of this Python."""
    return f"{platform.python_version()} {platform.python_compiler()} {platform.machine()}"


def minor() -> str:
    """Such as `3.11`."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def recorded(path: Path = RECORD) -> dict[str, Recorded]:
    """By minor version of Python; empty where nothing was recorded."""
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Recorded]) if path.exists() else {}


def record(counts: Mapping[str, int], path: Path = RECORD) -> None:
    """Keep the counts for this Python, beside those of others."""
    known = {**recorded(path), minor(): Recorded(python=interpreter(), instructions=counts)}
    text = msgspec.json.format(msgspec.json.encode(dict(sorted(known.items()))), indent=2)
    path.write_bytes(text + b"\n")


def count_all() -> dict[str, int]:
    """Instructions that one more request costs, by kind of work. Two runs at a time: that changes no count."""
    driver(WORKS[0], 0)  # leaves compiled modules behind, or the first run would count the compiling
    runs = [(WORKS[0], 0), *((work, _TIMES) for work in WORKS)]
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        base, *totals = pool.map(lambda run: total(driver(*run, *_COUNTED)), runs)
    return {work: round((counted - base) / _TIMES) for work, counted in zip(WORKS, totals, strict=True)}


def total(said: str) -> int:
    """From what cachegrind printed. Raises `ValueError` with its words where it has no count."""
    found = _TOTAL.search(said)
    if found is None:
        raise ValueError(f"cachegrind told no count: {said.strip()[-600:]}")
    return int(found.group(1).replace(",", ""))


def checks(counts: Mapping[str, int], known: Recorded | None) -> list[Check]:
    """Each count beside the recorded one. Another build of Python has nothing to be compared with."""
    if known is None or known.python != interpreter():
        return []
    return [
        Check(
            what=f"{work}: instructions, of those recorded",
            unit="",
            measured=count / known.instructions[work],
            budget=TOLERANCE,
            at_most=True,
            note=f"{count:,} now, {known.instructions[work]:,} recorded; python -m bench.instructions --record "
            "if that is meant",
        )
        for work, count in counts.items()
        if work in known.instructions
    ]


def driver(work: str, times: int, *under: str) -> str:
    """Run it, under that program, and return what went to standard error."""
    done = subprocess.run(  # noqa: S603 - a command of our own
        [*under, sys.executable, "-m", "bench.instructions_driver", work, str(times)],
        cwd=ROOT,
        env={"PYTHONPATH": "src:.", "PYTHONHASHSEED": "0", "PATH": os.environ.get("PATH", os.defpath)},
        capture_output=True,
        text=True,
        check=False,
        timeout=_LIMIT_S,
    )
    if done.returncode:
        raise RuntimeError(f"the driver ended with {done.returncode}: {done.stderr.strip()[-600:]}")
    return done.stderr


def measure(world: World, plan: Plan) -> Row:
    world.progress.step("counting")
    counts = count_all()
    known = recorded().get(minor())
    row = plan.row([Round(subject=work, round=1, values={"instructions": count}) for work, count in counts.items()])
    compared = checks(counts, known)
    if not compared:
        why = "nothing is recorded" if known is None else "another build was recorded"
        told = ", ".join(f"{work} {count:,}" for work, count in counts.items())
        return msgspec.structs.replace(row, reason=f"{why} for Python {minor()}; counted: {told}")
    return row.judged(*compared)


PLAN = Plan(
    name="instructions",
    title="Instructions a request, beside those recorded",
    about_s=90,
    needs=("valgrind",),
    measure=measure,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--record", action="store_true", help="keep the counts for this version of Python")
    options = parser.parse_args()
    counts = count_all()
    for work, count in counts.items():
        print(f"{work:8} {count:>12,} instructions a request")
    if options.record:
        record(counts)


if __name__ == "__main__":
    main()
