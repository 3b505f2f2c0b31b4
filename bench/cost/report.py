"""The figures for a terminal, as JSON, and as the tables of docs/cost.md: no figure is written by hand."""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from bench.cost.lines import PROVISIONED, Line
from bench.cost.market import PER_HOUR, SPREAD, TIER_WAIT_S

BEGIN, END = "<!-- bench: cost -->", "<!-- /bench: cost -->"
_BLOCK = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
_MOST_ABOVE, _LEAST_USED = 5.0, 95.0
"""In percent."""
_HEADS = (
    "limits", "way", "cost", "saved", "above the optimum", "room used", "errors", "429s of providers", "wait p50, p99",
    "tiers",
)  # fmt: skip


class CostReport(Struct, frozen=True, kw_only=True):
    """`bench/results/cost.json`."""

    command: str
    measured: str
    """UTC, ISO 8601."""
    commit: str
    lines: Sequence[Line]


def as_json(report: CostReport) -> bytes:
    """The file."""
    return msgspec.json.format(msgspec.json.encode(report)) + b"\n"


def print_tables(report: CostReport, console: Console) -> None:
    """A table for each trace, with the cache and without."""
    for title, lines in _parts(report.lines):
        table = Table(title=title, title_justify="left")
        for number, head in enumerate(_HEADS):
            table.add_column(head, justify="left" if number < 2 else "right")
        for line in lines:
            table.add_row(*_cells(line))
        console.print(table)
        for told in _spreads(lines):
            console.print(told)


def as_markdown(report: CostReport) -> str:
    """What stands between the markers, which it includes."""
    told = [BEGIN, f"`{report.command}`, {report.measured[:10]}, commit {report.commit}.", ""]
    for title, lines in _parts(report.lines):
        told += [f"**{title}**", "", "| " + " | ".join(_HEADS) + " |", "|---|---|" + "--:|" * (len(_HEADS) - 2)]
        told += ["| " + " | ".join(_cells(line)) + " |" for line in lines]
        told += ["", *(f"- {each}" for each in _spreads(lines)), ""]
    return "\n".join([*told, END])


def write_into(page: Path, report: CostReport) -> None:
    """Put the tables between the markers of the page."""
    text = page.read_text(encoding="utf-8")
    page.write_text(_BLOCK.sub(lambda _: as_markdown(report), text), encoding="utf-8")


def _parts(lines: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    parts: dict[tuple[str, bool], list[Line]] = {}
    for line in lines:
        parts.setdefault((line.trace, line.cached), []).append(line)
    return [
        (f"{trace}, ${lines[0].list_price:.2f} at the list price{', with the cache' if cached else ''}", lines)
        for (trace, cached), lines in parts.items()
    ]


def _cells(line: Line) -> list[str]:
    outcome, above = line.outcome, line.above_optimum
    return [
        line.limits or "none",
        line.way,
        f"${outcome.cost:.2f}",
        f"{max(0.0, line.saved):.1f} %",
        "" if above is None else f"{above:.1f} %",
        "" if line.room_used is None else f"{line.room_used:.1f} %",
        f"{outcome.client_errors:,}",
        f"{outcome.provider_429s:,}",
        f"{outcome.wait_p50_s:g} s, {outcome.wait_p99_s:g} s",
        " : ".join(f"{share:g}" for share in outcome.tier_shares) if len(outcome.tier_shares) > 1 else "",
    ]


def _spreads(lines: Sequence[Line]) -> list[str]:
    """At which prices a way saves how much: the routing does not look at prices, so what it saves is in proportion."""
    told = []
    for line in lines:
        if line.way == PROVISIONED and not line.cached:
            rest = line.outcome.cost - PER_HOUR
            told.append(
                f"Provisioned capacity is ${PER_HOUR:g} an hour here. It saves something below "
                f"${line.list_price - rest:.2f}, and 30 % up to ${max(0.0, 0.7 * line.list_price - rest):.2f}."
            )
        if line.way == "tiers" and not line.cached:
            a_point = line.saved / (100 * SPREAD)
            told.append(
                f"{line.limits} limits: at a discount of N % tiers save {a_point:.3f} x N %, so 30 % from a discount "
                f"of {30 / a_point:.0f} % on, and 50 % from {50 / a_point:.0f} %."
            )
    return told


def judged(lines: Sequence[Line]) -> list[str]:
    """What is not as it should be of the proxy's own ways; empty = all is."""
    wrong = []
    for line in lines:
        if not line.way.startswith(("tiers", PROVISIONED)):
            continue
        name, above = f"{line.trace}, {line.limits} limits, {line.way}", line.above_optimum
        is_by_token, room_used = not line.way.startswith(PROVISIONED), line.room_used
        if above is not None and above > _MOST_ABOVE:
            wrong.append(f"{name}: {above:.1f} % above the optimum, more than {_MOST_ABOVE:g} %")
        if room_used is not None and room_used < _LEAST_USED:
            wrong.append(f"{name}: {room_used:.1f} % of the first tier used, less than {_LEAST_USED:g} %")
        if line.outcome.client_errors:
            wrong.append(f"{name}: {line.outcome.client_errors} errors to clients")
        if line.tier_wait_s and line.outcome.wait_p99_s >= TIER_WAIT_S:
            wrong.append(f"{name}: waits of {line.outcome.wait_p99_s:g} s at the 99th percentile")
        if is_by_token and not line.cached and not 30 <= line.saved <= 50:
            wrong.append(f"{name}: saves {line.saved:.1f} %, not 30 to 50 %")
    return wrong
