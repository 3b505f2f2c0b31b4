"""`python -m bench.soak [--minutes 20] [--rate 150] [--plant-leak KIND] [--aborted-streams N]
[--dropped-sockets N]`; README.md says more.

The exit code is 1 where something leaks or a client saw what nothing explains, else 0.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.soak import report
from bench.soak.aborted import abort_all, abort_stream, told
from bench.soak.dropped import drop_socket
from bench.soak.leaks import KINDS
from bench.soak.load import Load
from bench.soak.mix import Kind
from bench.soak.proxy import SoakedProxy
from bench.soak.run import soak
from bench.soak.verdict import compare, conclude, judge
from bench.soak.world import World
from bench.wire import Client

RESULTS = Path(__file__).parents[1] / "results"
_STRAIN_S = 1.0
_TELL_EVERY_S = 10.0


class Progress:
    """Now and then a line; on a terminal one that is written over."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, line: str) -> None:
        """Say it, unless something was said just before."""
        now = time.monotonic()
        if now - self._last < (1.0 if sys.stderr.isatty() else _TELL_EVERY_S):
            return
        self._last = now
        print(line, end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)


async def run(options: argparse.Namespace) -> bool:
    """Did it pass?"""
    async with World() as world:
        with tempfile.TemporaryDirectory() as folder:
            proxy = SoakedProxy(
                Path(folder), world.config(options.upstream_client), world.providers["alpha"].port, options.plant_leak
            )
            try:
                await proxy.start()
                if options.aborted_streams:
                    return await _aborted(world, proxy, abort_stream, options.aborted_streams, options)
                if options.dropped_sockets:
                    return await _aborted(world, proxy, drop_socket, options.dropped_sockets, options)
                return await _soaked(world, proxy, options)
            finally:
                await proxy.stop()


async def _aborted(world: World, proxy: SoakedProxy, kind: Kind, count: int, options: argparse.Namespace) -> bool:
    passed, lines, everything = told(await abort_all(world, proxy, kind, count, Progress()))
    print("\n".join(lines))
    name = options.name or ("soak-aborted" if kind is abort_stream else "soak-dropped")
    _written(report.write(options.results, name, {**_about(options), **everything}))
    return passed


async def _soaked(world: World, proxy: SoakedProxy, options: argparse.Namespace) -> bool:
    load = Load(Client(proxy.port), options.rate, seed=options.seed)
    soaked = await soak(world, proxy, load, options.minutes * 60, Progress())
    findings = judge(soaked.judged)
    grown = compare(soaked.before, soaked.after, soaked.requests)
    errors = [f"{line} x{n}" for line, n in proxy.log_counts.items() if _is_alarming(line)]
    for line in errors:
        load.outcomes.unexpected.append(f"log: {line}: {list(proxy.last_lines)[:3]}")
    failures = load.failures + len(errors) + bool(load.skipped)
    if load.skipped:
        load.outcomes.unexpected.append(f"{load.skipped} arrivals left out: too many were under way")
    if load.latest_s > _STRAIN_S:
        print(
            f"The load came up to {load.latest_s:.1f} s late: this machine has too much else to do for a good result."
        )
    rss = report.typical(soaked.judged, "rss")
    verdict = conclude(findings, grown, failures, soaked.requests, soaked.judged_s, rss)
    about = _about(options) | {
        "arrivals": load.outcomes.arrivals,
        "latest_arrival_s": round(load.latest_s, 2),
        "log": dict(proxy.log_counts.most_common(50)),
    }
    print("\n".join([*report.outcome_lines(load.outcomes), "", *report.table(findings), "", *verdict.sentences]))
    _written(
        report.write(
            options.results,
            options.name or "soak",
            report.results(soaked, findings, verdict, load.outcomes, about),
            report.charts(soaked, findings, f"{options.minutes:g} min at {options.rate:g}/s: {verdict.sentences[0]}"),
        )
    )
    return verdict.passed


def _is_alarming(line: str) -> bool:
    """Is it one of the log's lines that no injected fault explains?"""
    return line.startswith("no log line") or "internal error" in line


def _about(options: argparse.Namespace) -> dict[str, object]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "minutes": options.minutes,
        "rate": options.rate,
        "upstream_client": options.upstream_client or "default",
        "planted_leak": options.plant_leak,
        "seed": options.seed,
    }


def _written(paths: Sequence[Path]) -> None:
    print("written:", *paths)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak", description="Does the proxy grow under mixed traffic?"
    )
    parser.add_argument("--minutes", type=float, default=20, help="of load; half of it, at most 10, warm up")
    parser.add_argument("--rate", type=float, default=150, help="arrivals a second")
    parser.add_argument("--seed", type=int, default=1, help="of the traffic")
    parser.add_argument("--plant-leak", choices=KINDS, help="make the worker leak, to see that it is found")
    parser.add_argument("--upstream-client", help="what the proxy speaks to providers with; default: the proxy's")
    parser.add_argument("--aborted-streams", type=int, metavar="N", help="instead of a soak: abort N streams")
    parser.add_argument(
        "--dropped-sockets", type=int, metavar="N", help="instead of a soak: open N WebSockets, and drop them"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    parser.add_argument("--name", help="of the results; default: soak, soak-aborted or soak-dropped")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(run(_options(None))) else 1)
