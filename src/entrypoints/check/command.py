"""`llmproxy check FILE`: every mistake of a configuration, or the routes that it comes to."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from entrypoints.check.report import Found, as_json, print_routes
from entrypoints.check.routes import routes_of
from entrypoints.config.load import ConfigError, load_settings
from entrypoints.config.reading.mistakes import Report
from entrypoints.config.settings import Settings


def main(arguments: Sequence[str], prog: str = "python -m entrypoints.check.command") -> int:
    """The exit code is 0 for a valid file, 2 for one with mistakes, 1 where a pinged endpoint does not serve."""
    options = _parse(arguments, prog)
    found, settings = check(options.file, os.environ)
    if settings is not None and options.ping:
        found = _pinged(found, settings)
    if options.format == "json":
        print(as_json(found))
    else:
        _print(found)
    if found.mistakes:
        return 2
    return 1 if any(answer.serves is False for answer in found.answers or ()) else 0


def check(path: Path, environ: Mapping[str, str]) -> tuple[Found, Settings | None]:
    """What is found without asking anybody; the settings are None where there is a mistake."""
    report = Report(path)
    try:
        settings = load_settings(path, environ, report=report)
    except ConfigError as error:
        return Found(str(path), error.mistakes, report.warnings), None
    return Found(str(path), (), report.warnings, routes_of(settings, report.variables)), settings


def _pinged(found: Found, settings: Settings) -> Found:
    # Only here: what speaks HTTP takes longer to import than a file takes to be checked.
    import asyncio  # noqa: PLC0415

    from msgspec.structs import replace  # noqa: PLC0415

    from entrypoints.check.ping.ask import ask_all  # noqa: PLC0415

    loop = asyncio.new_event_loop()
    try:
        return replace(found, answers=loop.run_until_complete(ask_all(settings)))
    finally:
        # asyncio.run() would wait for the lookup of a name that hangs, and nobody waits for that any more.
        loop.close()


def _print(found: Found) -> None:
    """Mistakes and warnings on standard error, the table on standard output."""
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if found.mistakes:
        print(*found.mistakes, sep="\n", file=sys.stderr)
    else:
        print_routes(found, sys.stdout)


def _parse(arguments: Sequence[str], prog: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Says everything that is wrong with a configuration, or shows which endpoints serve which group. "
        "Exit code: 0 valid; 2 mistakes; 1 with --ping, when an endpoint does not serve.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the YAML configuration")
    parser.add_argument("--ping", action="store_true", help="ask each endpoint for its models; costs no tokens")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="json: one document, for machines")
    return parser.parse_args(arguments)
