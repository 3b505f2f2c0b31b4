"""`python -m bench [--only ROW[,ROW...]] [--quick]`, `python -m bench peers [--peer NAME=COMMAND]`, or
`python -m bench against COMMIT`: see bench/README.md."""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from bench import pages, report
from bench.instructions import PLAN as INSTRUCTIONS
from bench.machine import this_machine
from bench.needs import missing
from bench.peers import against, commands, installing
from bench.peers.rows import plans as peer_plans
from bench.peers.subjects import PEERS
from bench.progress import Progress
from bench.results import FOLDER, Row, keep
from bench.rows import (
    added_latency,
    big_body,
    cache_hits,
    httpx_adapter,
    many_connections,
    memory,
    sockets,
    start,
    streams,
    throughput,
    workers,
)
from bench.servers.children import Children, DidNotStart
from bench.servers.processes import busy_cores
from bench.world import Plan, World

OUR_PLANS: tuple[Plan, ...] = (
    throughput.PLAN,
    many_connections.PLAN,
    added_latency.PLAN,
    cache_hits.PLAN,
    streams.PLAN,
    sockets.PLAN,
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
        except (OSError, RuntimeError, ValueError, DidNotStart) as error:
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
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.what != "pages":
        try:
            rows = run(
                _chosen(_plans(options, parser), options.only, parser),
                installing.versions() if options.what == "peers" else {},
                quick=options.quick,
            )
        except KeyboardInterrupt:
            print("\nstopped; rows measured before are kept", file=sys.stderr)
            return 130
        print(report.summary(rows))
    else:
        rows = []
    if not options.quick and options.what != "against":
        pages.rewrite([plan.name for plan in OUR_PLANS], [plan.name for plan in peer_plans(PEERS)], FOLDER)
    return 0 if all(row.status in ("pass", "not available") for row in rows) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures LLMProxy against its budget.")
    parser.add_argument("what", nargs="?", choices=("rows", "peers", "against", "pages"), default="rows")
    parser.add_argument("commit", nargs="?", help="of `against`: the commit that is measured beside what is here")
    parser.add_argument("--only", metavar="ROW[,ROW...]", help="these rows alone")
    parser.add_argument("--quick", action="store_true", help="one short round each; nothing is kept")
    parser.add_argument("--without", metavar="NAME[,NAME...]", default="", help="of `peers`: not these")
    parser.add_argument(
        "--peer", metavar="NAME=COMMAND", action="append", default=[], help="of `peers`: one more; bench/README.md"
    )
    return parser


def _plans(options: argparse.Namespace, parser: argparse.ArgumentParser) -> tuple[Plan, ...]:
    """The rows that are asked for; what they need is installed."""
    if bool(options.commit) is not (options.what == "against"):
        parser.error("a commit, and only `against` takes one: python -m bench against COMMIT")
    try:
        if options.what == "against":
            return against.plans(options.commit)
        more = [commands.parsed(text).peer() for text in options.peer]
    except ValueError as error:
        parser.error(str(error))
    if options.what != "peers":
        return OUR_PLANS
    without = options.without.split(",")
    for name, why in installing.install(without).items():
        print(f"{name} is left out: it {why}")
    return peer_plans([peer for peer in (*PEERS, *more) if peer.name not in without])


if __name__ == "__main__":
    sys.exit(main())
