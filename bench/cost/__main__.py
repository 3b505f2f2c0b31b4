"""`python -m bench.cost --traces DIR`: what tiers and the cache save on the two public traces of Azure's LLM services.

The exit code is 1 where the proxy misses what docs/cost.md says of it, 2 where a trace is missing, else 0.
"""

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.cost.lines import Line, lines_of
from bench.cost.market import LIST, settings_of
from bench.cost.report import CostReport, as_json, judged, print_tables, write_into
from bench.machine import this_machine
from bench.servers.children import ROOT
from entrypoints.simulate.scenario import ScenarioError
from entrypoints.simulate.traffic import Arrival, Mix, of_trace
from entrypoints.wiring.groups import model_groups

TRACES = (
    ("conversation", "AzureLLMInferenceTrace_conv.csv"),
    ("code", "AzureLLMInferenceTrace_code.csv"),
)
WHERE = "https://github.com/Azure/AzurePublicDataset (Azure LLM Inference Dataset 2023, CC-BY 4.0)"
COMMAND = "make bench-cost ARGS='--traces DIR'"


def main(arguments: Sequence[str] | None = None) -> int:
    """Plays both traces in every way."""
    given = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 150)
    lines: list[Line] = []
    try:
        for name, file in TRACES:
            arrivals = _arrivals(given.traces / file, given.minutes)
            for line in lines_of(f"{name}, {len(arrivals):,} requests", arrivals):
                lines.append(line)
                with_cache = ", with the cache" if line.cached else ""
                print(f"{name}, {line.limits or 'no'} limits, {line.way}{with_cache}", file=sys.stderr, flush=True)
    except FileNotFoundError as error:
        print(f"bench.cost: {error.filename} is not there; download the traces from {WHERE}", file=sys.stderr)
        return 2
    except ScenarioError as error:
        print(f"bench.cost: {error}", file=sys.stderr)
        return 2
    machine = this_machine({})
    report = CostReport(command=COMMAND, measured=machine.measured, commit=machine.commit, lines=lines)
    print_tables(report, console)
    if given.minutes is None:
        (ROOT / "bench/results/cost.json").write_bytes(as_json(report))
        write_into(ROOT / "docs/cost.md", report)
    wrong = judged(lines)
    print(*wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


def _arrivals(file: Path, minutes: float | None) -> list[Arrival]:
    groups = [(group, 1.0) for group in model_groups(settings_of([LIST], 0.0))]
    return of_trace(file, 1.0, None if minutes is None else 60 * minutes, Mix(groups, random.Random(0)))  # noqa: S311


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description=f"The traces are at {WHERE}.")
    parser.add_argument("--traces", type=Path, required=True, metavar="DIR", help="the folder they are in")
    parser.add_argument("--minutes", type=float, metavar="M", help="only so many of each, and nothing is kept")
    return parser


if __name__ == "__main__":
    sys.exit(main())
