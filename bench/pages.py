"""Writes the charts, docs/figures.md and the README's lines from the results: no figure is written by hand."""

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

from bench import peer_table
from bench.charts import Bar, Line, bar_chart, percentile_chart
from bench.report import NOISY_CORES, figure, table
from bench.results import Kept, kept
from bench.servers.children import ROOT
from bench.world import PACE

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
_BLOCK = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
_REFERENCES = ("nginx", "direct")
_IN_README = ("throughput", "many-connections", "added-latency", "cache-hits", "streams", "memory", "start", "workers")


def rewrite(rows: Sequence[str], peer_rows: Sequence[str], results: Path, root: Path = ROOT) -> None:
    """Draw the charts into the results' folder; put tables and charts between the markers of docs/figures.md, and a
    line for each row between those of the README."""
    measured, beside = kept(rows, results), kept(peer_rows, results)
    if not measured and not beside:
        return
    page = root / "docs/figures.md"
    pictures = [Path(os.path.relpath(path, page.parent)) for path in draw([*measured, *beside], results)]
    _fill(page, block(measured, beside, pictures))
    _fill(root / "README.md", summary(measured, beside))


def _fill(page: Path, told: str) -> None:
    text = page.read_text(encoding="utf-8")
    page.write_text(_BLOCK.sub(lambda _: told, text), encoding="utf-8")


def summary(measured: Sequence[Kept], beside: Sequence[Kept]) -> str:
    """A line for each row that users may care about, with the markers."""
    shown = [one for one in measured if one.row.name in _IN_README and one.row.checks]
    lines = [f"- {one.row.title}: {_checks(one)}" for one in shown]
    rates = next((one.row for one in beside if one.row.name == "peers-throughput"), None)
    if rates is not None:
        told = [f"{subject} {figure(rates.median(subject, 'rps'), '')}" for subject in rates.subjects]
        lines.append(f"- Beside others, requests/s with 64 connections, one worker each: {', '.join(told)}")
    return "\n".join([BEGIN, _when_and_where([*measured, *beside]), "", *lines, END])


def _checks(one: Kept) -> str:
    return ", ".join(
        f"{check.what} **{figure(check.measured, check.unit)}**{'' if check.met else ' ✗'}" for check in one.row.checks
    )


def block(measured: Sequence[Kept], beside: Sequence[Kept], pictures: Sequence[Path]) -> str:
    """What stands between the markers of docs/figures.md, which it includes."""
    parts = [BEGIN]
    if measured:
        parts += [_where(measured), "", table(measured), ""]
    if beside:
        parts += [
            "Beside others, in the same run on the same machine, each with one worker:",
            "",
            peer_table.table(beside),
            "",
        ]
        parts += [_where(beside), ""] if not measured else []
    parts += [f"![{picture.stem.replace('-', ' ')}]({picture.as_posix()})" for picture in pictures]
    return "\n".join([*parts, END])


def draw(measured: Sequence[Kept], folder: Path) -> list[Path]:
    """The charts that can be drawn from what was measured."""
    by_name = {one.row.name: one for one in measured}
    charts: dict[str, str] = {}
    rates = by_name.get("peers-throughput") or by_name.get("throughput")
    if rates is not None:
        charts["throughput"] = _rates(rates)
    late = by_name.get("added-latency")
    if late is not None:
        charts["latency"] = percentile_chart("Latency at 1,000 requests/s, from when each was due", _lines(late))
    gaps = by_name.get("streams")
    if gaps is not None:
        nominal = (1000 / PACE, f"nominal: {1000 / PACE:.1f} ms")
        charts["stream-gaps"] = percentile_chart("Gap between two events, 1,000 streams at once", _lines(gaps), nominal)
    paths = []
    for name, svg in charts.items():
        paths.append(folder / f"{name}.svg")
        paths[-1].write_text(svg, encoding="utf-8")
    return paths


def _rates(one: Kept) -> str:
    bars = []
    for subject in one.row.subjects:
        rps = one.row.median(subject, "rps")
        if not math.isnan(rps):  # a subject that could not do it has none
            bars.append(Bar(subject, rps, f"{rps:,.0f}/s", subject in _REFERENCES))
    return bar_chart("Requests/s, 64 connections, one worker", sorted(bars, key=lambda bar: -bar.value))


def _lines(one: Kept) -> list[Line]:
    return [
        Line(subject, one.row.curve(subject), subject in _REFERENCES)
        for subject in one.row.subjects
        if one.row.curve(subject)
    ]


def _where(measured: Sequence[Kept]) -> str:
    others = max(one.row.busy_cores for one in measured)
    noise = (
        f" Others used up to {others:.1f} cores meanwhile: these figures are too low." if others > NOISY_CORES else ""
    )
    return (
        f"{_when_and_where(measured)} `make bench` measures yours; "
        f"[bench/README.md](../bench/README.md) says how, and how far to trust it.{noise}"
    )


def _when_and_where(measured: Sequence[Kept]) -> str:
    machine = max((one.machine for one in measured), key=lambda machine: machine.measured)
    return (
        f"Measured on {machine.measured[:10]}: {machine.cores} cores of {machine.cpu}, shared with load and provider; "
        f"{machine.python.split(',')[0]}; commit {machine.commit or 'unknown'}."
    )
