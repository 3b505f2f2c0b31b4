"""`make faults`: all cases, or some; the exit code is 1 when one does not hold.

A whole run writes bench/results/faults.json, and docs/reliability.md from it.

make faults                          all, in about a quarter of an hour; writes the page
make faults ARGS='--only redis'      those with `redis` in their name; writes nothing
make faults ARGS='--list'            their names
"""

import argparse
import asyncio
import logging
import os
import resource
import sys
import time
import traceback
from pathlib import Path

from bench.faults import (
    cases,  # noqa: F401 - to be imported is what makes them cases
    page,
    results,
)
from bench.faults.case import Case, Figure, in_order
from bench.faults.results import Result, Results
from bench.faults.world import SETTINGS, World
from bench.machine import this_machine
from bench.servers.processes import busy_cores

CASE_S = 180.0
_FILES = 8192


async def tried(case: Case, logs: Path | None = None) -> Result:
    """One case and the general checks after it."""
    began = time.monotonic()
    figures: tuple[Figure, ...] = ()
    general: tuple[Figure, ...] = ()
    problem = ""
    async with World() as world:
        try:
            async with asyncio.timeout(CASE_S):
                figures = tuple(await case.run(world))
            async with asyncio.timeout(CASE_S):
                general = tuple(await world.general_checks())
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            problem = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"[:500]
        if logs is not None:
            for replica in world.replicas:
                (logs / f"{case.name}-{replica.port}.log").write_text(replica.said)
    return Result(
        part=case.part,
        name=case.name,
        title=case.title,
        expected=case.expected,
        figures=figures,
        general=general,
        problem=problem,
        took_s=round(time.monotonic() - began, 1),
        worst_lag_ms=round(world.worst_lag_ms, 1),
    )


def _told(result: Result) -> str:
    lines = [f"{'held' if result.held else 'FAILED'}  {result.name}  ({result.took_s:.1f} s)"]
    lines += [
        f"        {figure.what}: {figure.measured:g}{figure.unit} {figure.relation} {figure.bound:g}"
        for figure in result.figures
    ]
    lines += [f"    WRONG: {each}" for each in result.wrong()]
    return "\n".join(lines)


async def _try_all(chosen: list[Case], logs: Path | None) -> list[Result]:
    found = []
    for case in chosen:
        found.append(await tried(case, logs))
        print(_told(found[-1]), flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="a part of the names of those that are to be tried")
    parser.add_argument("--list", action="store_true", help="their names")
    parser.add_argument("--logs", type=Path, help="a folder for the logs of the proxies; without it they are not kept")
    parser.add_argument("--upstream-client", help="httpx instead of the default; writes nothing")
    options = parser.parse_args()
    if options.upstream_client:
        SETTINGS["upstream_client"] = options.upstream_client
    chosen = [case for case in in_order() if options.only in case.name]
    if options.list:
        print("\n".join(f"{case.name:<28} {case.title}" for case in chosen))
        return 0
    if not chosen:
        print(f"no case has {options.only!r} in its name; --list names them", file=sys.stderr)
        return 2
    if options.logs is not None:
        options.logs.mkdir(parents=True, exist_ok=True)
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # of providers whose clients have left
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard), hard))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    busy = busy_cores(1.0)
    began = time.monotonic()
    found = asyncio.run(_try_all(chosen, options.logs))
    held = sum(result.held for result in found)
    if not options.only and not options.upstream_client:
        results.keep(
            Results(
                command="make faults",
                machine=this_machine({}),
                busy_cores=round(busy, 2),
                took_s=round(time.monotonic() - began, 1),
                results=tuple(found),
            )
        )
        page.PAGE.write_text(page.page_of(results.kept()), encoding="utf-8")
    print(f"{held} of {len(found)} cases held, {time.monotonic() - began:.0f} s")
    return 0 if held == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
