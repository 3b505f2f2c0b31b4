"""`python -m bench.instructions [--record] [--python PATH]`: how many instructions a request costs. A guard that times
nothing.

valgrind's cachegrind runs the application and counts every instruction; the count hardly depends on how busy the
machine is. `instructions.json` has what was recorded, by the name of the build of Python: other builds have other
counts and are never compared.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from application.observing.request_counts import MANY
from bench.instructions_driver import COUNTING, WORKS
from bench.report import lines
from bench.results import Check, Round, Row
from bench.servers.children import ROOT
from bench.world import Plan, World

RECORD = Path(__file__).parent / "instructions.json"
_BUILD = Path(__file__).parent / "python_build.py"
TOLERANCE = 1.05
METRICS_SHARES: Mapping[str, float] = {"chat": 0.02, "hit": 0.02}
"""So much of a request's instructions may be its counting for metrics."""
_TIMES = 200
_AT_A_TIME = 2
_LIMIT_S = 300
_COUNTED = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
_TOTAL = re.compile(r"I\s+refs:\s+([\d,]+)")


Counts = Mapping[str, int]
"""Instructions by kind of work."""


def build_of(python: str) -> str:
    """The name of that interpreter's build."""
    done = subprocess.run([python, str(_BUILD)], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    return done.stdout.strip()


def recorded(path: Path = RECORD) -> dict[str, Counts]:
    """By build; empty where nothing was recorded."""
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Counts]) if path.exists() else {}


def record(build: str, counts: Counts, path: Path = RECORD) -> None:
    """Keep the counts of this build, beside those of others."""
    text = msgspec.json.format(msgspec.json.encode(dict(sorted({**recorded(path), build: counts}.items()))), indent=2)
    path.write_bytes(text + b"\n")


def count_all(python: str = sys.executable, works: Sequence[str] = WORKS) -> Counts:
    """What one more request costs. Two runs at a time: that changes no count."""
    driver(python, works[0], 0)  # leaves compiled modules behind, or the first run would count the compiling
    runs = [(works[0], 0), *((work, _TIMES) for work in works)]
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        base, *totals = pool.map(lambda run: total(driver(python, *run, *_COUNTED)), runs)
    return {work: round((counted - base) / _TIMES) for work, counted in zip(works, totals, strict=True)}


def metrics_shares(counts: Counts) -> Mapping[str, float]:
    """What part of a request of each kind it is to count it."""
    return {kind: counts[work] / MANY / counts[kind] for work, kind in COUNTING.items()}


def print_metrics_shares(python: str) -> int:
    """The exit code is 1 where one is above its bound."""
    shares = metrics_shares(count_all(python, (*COUNTING.values(), *COUNTING)))
    for kind, share in shares.items():
        print(f"{kind:8} {share:.2%} of its instructions count it for metrics, at most {METRICS_SHARES[kind]:.1%}")
    return int(any(share > METRICS_SHARES[kind] for kind, share in shares.items()))


def total(said: str) -> int:
    """From what cachegrind printed. Raises `ValueError` with its words where it has no count."""
    found = _TOTAL.search(said)
    if found is None:
        raise ValueError(f"cachegrind told no count: {said.strip()[-600:]}")
    return int(found.group(1).replace(",", ""))


def checks(counts: Counts, known: Counts) -> list[Check]:
    """Each count beside the recorded one of the same build."""
    return [
        Check(
            what=f"{work}: instructions, of those recorded",
            unit="",
            measured=count / known[work],
            budget=TOLERANCE,
            at_most=True,
            note=f"{count:,} now, {known[work]:,} recorded",
        )
        for work, count in counts.items()
        if work in known
    ]


def judged(row: Row, build: str, counts: Counts, known: Mapping[str, Counts]) -> Row:
    """The row, compared with what was recorded for its build; not available where nothing was."""
    if build in known:
        return msgspec.structs.replace(row, title=f"{row.title} for {build}").judged(*checks(counts, known[build]))
    told = ", ".join(f"{work} {count:,}" for work, count in counts.items())
    reason = (
        f"nothing is recorded for {build}, only for {'; '.join(known) or 'no build'}. Counted: {told}. "
        "python -m bench.instructions --record keeps it"
    )
    return msgspec.structs.replace(row, reason=reason)


def driver(python: str, work: str, times: int, *under: str) -> str:
    """Run it, under that program, and return what went to standard error."""
    done = subprocess.run(  # noqa: S603 - a command of our own
        [*under, python, "-m", "bench.instructions_driver", work, str(times)],
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
    row = plan.row([Round(subject=work, round=1, values={"instructions": count}) for work, count in counts.items()])
    return judged(row, build_of(sys.executable), counts, recorded())


PLAN = Plan(
    name="instructions",
    title="Instructions a request, beside those recorded",
    about_s=90,
    needs=("valgrind",),
    measure=measure,
)


def main() -> int:
    """The exit code is 1 where more is needed than was recorded for the same build."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--record", action="store_true", help="keep the counts for this build of Python")
    parser.add_argument(
        "--python",
        metavar="PATH",
        default=sys.executable,
        help="the interpreter of an environment (make setup-dev VENV=)",
    )
    parser.add_argument("--metrics", action="store_true", help="what part of a request it is to count it, alone")
    options = parser.parse_args()
    if options.metrics:
        return print_metrics_shares(options.python)
    build, counts = build_of(options.python), count_all(options.python)
    for work, count in counts.items():
        print(f"{work:8} {count:>12,} instructions a request")
    if options.record:
        record(build, counts)
        print(f"recorded for {build}")
        return 0
    row = judged(Row(name=PLAN.name, title=PLAN.title), build, counts, recorded())
    print(lines(row))
    return 0 if row.status in ("pass", "not available") else 1


if __name__ == "__main__":
    sys.exit(main())
