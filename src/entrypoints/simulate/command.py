"""`llmproxy simulate FILE`: what the routing of a configuration does with traffic, in virtual time."""

import argparse
import os
import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from entrypoints.config.load import ConfigError, load_settings
from entrypoints.simulate import options
from entrypoints.simulate.report.figures import Report, Source, report_of
from entrypoints.simulate.report.text import print_comparison, print_report
from entrypoints.simulate.report.timeline import timeline_svg
from entrypoints.simulate.run import play
from entrypoints.simulate.scenario import Scenario, ScenarioError, scenario_of
from entrypoints.simulate.traffic import Arrival, Mix, by_chance, of_trace
from entrypoints.wiring.groups import model_groups

_RATE, _MINUTES, _TOKENS = 5.0, 60.0, "1000,200"
_MOST_MINUTES = 7 * 24 * 60.0
_MANY: Mapping[str, Any] = MappingProxyType({"action": "append", "default": []})
_HELP = {
    "--tokens": f"of a request, each N or LEAST-MOST ({_TOKENS})",
    "--limits": "requests and tokens a minute, each N or none; STYLE openai, azure, none, ptu[:RATIO] (as in the file)",
    "--latency": "ms until the first byte, and for each token of the answer (300+20)",
    "--outage": "KIND connect (refused), 503 or timeout (connect)",
    "--429": "nothing but 429s; AFTER is what retry-after says (nothing)",
}
_SECRET_NAME = re.compile(r"os\.environ/(\w*(?:KEY|TOKEN|SECRET|PASSWORD)\w*)", re.IGNORECASE)


def main(arguments: Sequence[str], prog: str = "python -m entrypoints.simulate.command") -> int:
    """Plays one scenario. The exit code is 0, 2 for a mistake in a file or the options, 130 where it is broken off."""
    parser = _parser(prog)
    given = parser.parse_args(arguments)
    if given.trace is not None and given.rate is not None:
        parser.error("--rate and --trace do not go together; valid: one of them (--speed makes a trace faster)")
    if given.trace is None and given.speed != 1.0:
        parser.error("--speed is for a trace; valid: --trace CSV with it, or --rate alone")
    try:
        report = simulated(given.file, given, os.environ)
        others = [simulated(file, given, os.environ) for file in given.compare]
        _write(given, report)
    except ConfigError as error:
        print(*error.mistakes, sep="\n", file=sys.stderr)
        return 2
    except ScenarioError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{prog}: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print_report(report, sys.stdout)
    if others:
        print_comparison([report, *others], sys.stdout)
    return 0


def simulated(file: Path, given: argparse.Namespace, environ: Mapping[str, str]) -> Report:
    """The report of what the options ask for, with that configuration. Raises `ConfigError`, `ScenarioError` and
    `OSError`."""
    settings = load_settings(file, _with_keys(file, environ))
    troubles = [*given.outage, *given.storm]
    scenario = scenario_of(
        model_groups(settings), given.model, given.limits, given.latency, troubles, streams=given.stream
    )
    arrivals, length_s, traffic = _traffic(given, scenario)
    with _progress() as told:
        played = play(settings, scenario, arrivals, length_s, given.seed, told)
    return report_of(Source(str(file), given.seed, traffic, round(length_s / 60, 3)), scenario, played)


def _traffic(given: argparse.Namespace, scenario: Scenario) -> tuple[Iterable[Arrival], float, str]:
    """The requests, for how many seconds they come, and what they are in words."""
    dice = random.Random(f"{given.seed} arrivals")  # noqa: S311 - repeatable on purpose
    mix = Mix(scenario.groups, dice)
    if given.trace is None:
        rate, length_s = given.rate or _RATE, 60 * (given.minutes or _MINUTES)
        return by_chance(rate, length_s, given.tokens, mix, dice), length_s, f"{rate:g} requests a second"
    arrivals = of_trace(given.trace, given.speed, None if given.minutes is None else 60 * given.minutes, mix)
    length_s = 60 * given.minutes if given.minutes is not None else max(1.0, arrivals[-1].at_s)
    speed = "" if given.speed == 1.0 else f" at {given.speed:g} times its speed"
    return arrivals, length_s, f"{len(arrivals):,} requests of {given.trace.name}{speed}"


def _with_keys(file: Path, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment, with something for each key that the file takes from it: nobody is asked, so none is needed."""
    names = _SECRET_NAME.findall(file.read_text(encoding="utf-8", errors="replace"))
    return {**{name: f"simulated-{name}" for name in names}, **environ}


def _write(given: argparse.Namespace, report: Report) -> None:
    if given.json is not None:
        given.json.write_bytes(report.as_json())
    if given.svg is not None:
        given.svg.write_text(timeline_svg(report), encoding="utf-8")


@contextmanager
def _progress() -> Iterator[Callable[[float], None]]:
    """A bar on the terminal, nothing elsewhere; to be told the part that is over."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    # Only here: nothing that goes to a file or a pipe waits for it.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("simulating", total=1.0)
        yield lambda part: bar.update(task, completed=part)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Plays traffic through the routing of a configuration, in virtual time: an hour takes seconds, and "
        "no network, no key and no cent. Exit code: 0 played; 2 a mistake in the file or the options.",
        epilog="docs/simulate.md explains the options and the report.",
        allow_abbrev=False,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the YAML configuration")
    flags: list[tuple[str, dict[str, Any]]] = [
        (
            "--model",
            {"type": options.share, "metavar": "NAME[:SHARE]", **_MANY, "help": "a group to ask for (the first)"},
        ),
        ("--rate", {"type": options.positive, "metavar": "R", "help": f"requests a second on average ({_RATE:g})"}),
        ("--minutes", {"type": _minutes, "metavar": "M", "help": f"how long they come ({_MINUTES:g}; a trace: all)"}),
        ("--tokens", {"type": options.tokens, "metavar": "IN,OUT", "default": options.tokens(_TOKENS)}),
        ("--trace", {"type": Path, "metavar": "CSV", "help": "requests: TIMESTAMP,ContextTokens,GeneratedTokens"}),
        (
            "--speed",
            {"type": options.positive, "metavar": "X", "default": 1.0, "help": "how fast a trace is played (1)"},
        ),
        ("--stream", {"action": "store_true", "help": "answers are streamed"}),
        ("--seed", {"type": int, "metavar": "N", "default": 0, "help": "the same seed, the same result (0)"}),
        ("--limits", {"type": options.limits, "metavar": "[EP=]RPM/TPM[:STYLE]", **_MANY}),
        ("--latency", {"type": options.latency, "metavar": "[EP=]FIRST+TOKEN", **_MANY}),
        ("--outage", {"type": options.outage, "metavar": "EP@FROM..TO[:KIND]", **_MANY}),
        ("--429", {"type": options.storm, "metavar": "EP@FROM..TO[:AFTER]", "dest": "storm", **_MANY}),
        ("--compare", {"type": Path, "metavar": "OTHER", **_MANY, "help": "the same with another configuration"}),
        ("--json", {"type": Path, "metavar": "FILE", "help": "write the report as JSON"}),
        ("--svg", {"type": Path, "metavar": "FILE", "help": "write the timeline as a picture"}),
    ]
    for flag, given in flags:
        parser.add_argument(flag, **{"help": _HELP.get(flag), **given})
    return parser


def _minutes(text: str) -> float:
    minutes = options.positive(text)
    if minutes > _MOST_MINUTES:
        raise argparse.ArgumentTypeError(f"'{text}' is not valid; valid: a number of minutes up to {_MOST_MINUTES:g}")
    return minutes
