"""`python -m bench [--only ROW[,ROW...]] [--quick]`, or `python -m bench peers`: see bench/README.md."""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from bench import peers, readme, report
from bench.instructions import PLAN as INSTRUCTIONS
from bench.machine import this_machine
from bench.needs import missing
from bench.peers import installing
from bench.progress import Progress
from bench.results import FOLDER, Row, keep
from bench.rows import (
    added_latency,
    big_body,
    cache_hits,
    httpx_adapter,
    many_connections,
    memory,
    start,
    streams,
    throughput,
    workers,
)
from bench.servers.children import Children
from bench.servers.processes import busy_cores
from bench.world import Plan, World

OUR_PLANS: tuple[Plan, ...] = (
    throughput.PLAN,
    many_connections.PLAN,
    added_latency.PLAN,
    cache_hits.PLAN,
    streams.PLAN,
    memory.PLAN,
    start.PLAN,
    big_body.PLAN,
    httpx_adapter.PLAN,
    workers.PLAN,
    INSTRUCTIONS,
)

_LOOK_S = 0.5


def run(plans: Sequence[Plan], others: Mapping[str, str], *, quick: bool) -> list[Row]:
    """Measure the rows one after the other; each starts and ends all that it needs. Nothing quick is kept."""
    progress = Progress(sum(plan.about_s for plan in plans) * (0.35 if quick else 1))
    machine = this_machine(others)
    rows = []
    for plan in plans:
        progress.row(plan.title, plan.about_s)
        busy = round(busy_cores(_LOOK_S), 2)
        row = msgspec.structs.replace(_measured(plan, progress, quick=quick), busy_cores=busy)
        rows.append(row)
        progress.done(report.lines(row))
        if not quick:
            keep(row, machine)
    return rows


def _measured(plan: Plan, progress: Progress, *, quick: bool) -> Row:
    lacking = missing(plan.needs)
    if lacking:
        return Row(name=plan.name, title=plan.title, reason=lacking)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="llmproxy-bench-") as folder, Children(Path(folder)) as children:
        try:
            row = plan.measure(World(children, Path(folder), progress, quick=quick), plan)
        except (OSError, RuntimeError, ValueError, *peers.TROUBLE) as error:
            row = Row(name=plan.name, title=plan.title, reason=_told(error, folder))
    return msgspec.structs.replace(row, ran_s=round(time.monotonic() - began, 1))


def _told(error: Exception, folder: str) -> str:
    return f"{type(error).__name__}: {error}".replace(folder, "")[:600]


def _chosen(plans: Sequence[Plan], only: str | None, parser: argparse.ArgumentParser) -> list[Plan]:
    if only is None:
        return list(plans)
    names = only.split(",")
    known = {plan.name: plan for plan in plans}
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names]


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code is 0 when every row that could be measured met its budget, 1 when one did not, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures LLMProxy against its budget.")
    parser.add_argument("what", nargs="?", choices=("rows", "peers", "readme"), default="rows")
    parser.add_argument("--only", metavar="ROW[,ROW...]", help="these rows alone")
    parser.add_argument("--quick", action="store_true", help="one short round each; nothing is kept")
    options = parser.parse_args(arguments)
    if options.what != "readme":
        with_peers = options.what == "peers"
        plans = _chosen(peers.PLANS if with_peers else OUR_PLANS, options.only, parser)
        if with_peers:
            for name, why in installing.install().items():
                print(f"{name} is left out: it {why}")
        try:
            rows = run(plans, installing.versions() if with_peers else {}, quick=options.quick)
        except KeyboardInterrupt:
            print("\nstopped; rows measured before are kept", file=sys.stderr)
            return 130
        print(report.summary(rows))
    else:
        rows = []
    if not options.quick:
        readme.rewrite([plan.name for plan in OUR_PLANS], [plan.name for plan in peers.PLANS], FOLDER)
    return 0 if all(row.status in ("pass", "not available") for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
