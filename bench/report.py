"""Results in words: for a terminal, and as a Markdown table."""

import math
from collections.abc import Sequence

from bench.results import Check, Kept, Row

_MARKS = {True: "pass", False: "MISS"}
NOISY_CORES = 0.2
"""More than this in use by others makes figures doubtful."""


def lines(row: Row) -> str:
    """A row for the terminal."""
    head = f"{row.status.upper():14} {row.title}"
    if row.reason:
        return f"{head}\n    {row.reason}"
    told = [f"    {_MARKS[check.met]:5} {_line(check)}" for check in row.checks]
    if row.forgiven:
        told += [f"    {line}" for line in side_by_side(row)]
    if row.errors:
        told.append(f"    {row.errors} requests went wrong: {_errors(row)}")
    if row.busy_cores > NOISY_CORES:
        told.append(f"    others used {row.busy_cores:.1f} cores just before: these figures are too low")
    return "\n".join([head, *told])


def summary(rows: Sequence[Row]) -> str:
    """The last line of a run."""
    counts = {status: sum(row.status == status for row in rows) for status in ("pass", "miss", "failed")}
    absent = sum(row.status == "not available" for row in rows)
    return (
        f"\n{len(rows)} rows: {counts['pass']} within the budget, {counts['miss']} not, "
        f"{counts['failed']} with errors, {absent} not available"
    )


def table(kept: Sequence[Kept]) -> str:
    """The budget and what was measured, in Markdown."""
    told = ["| work | | budget | measured | |", "|---|---|---|---|---|"]
    for one in kept:
        row = one.row
        if row.reason:
            told.append(f"| {row.title} | | | not available: {_cell(row.reason)} | |")
        for number, check in enumerate(row.checks):
            title = row.title if number == 0 else ""
            note = f" ({check.note})" if check.note else ""
            verdict = "errors" if row.errors else "✓" if check.met else "✗"
            limit = f"{'≤' if check.at_most else '≥'} {figure(check.budget, check.unit)}"
            told.append(
                f"| {title} | {check.what} | {limit} | **{figure(check.measured, check.unit)}**{note} | {verdict} |"
            )
    return "\n".join(told)


def figure(value: float, unit: str) -> str:
    """With as many digits as mean something."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3
    return f"{value:,.{digits}f} {unit}".strip()


def _line(check: Check) -> str:
    limit = f"{'at most' if check.at_most else 'at least'} {figure(check.budget, check.unit)}"
    note = f"; {check.note}" if check.note else ""
    return f"{check.what}: {figure(check.measured, check.unit)} ({limit}{note})"


_COLUMNS = {
    "rps": "requests/s",
    "rps_per_core": "a core",
    "streams": "streams",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "gap_p99_ms": "gap p99 ms",
    "cpu_cores": "cores",
    "rss_mb": "MB",
    "start_s": "start s",
}


def side_by_side(row: Row) -> list[str]:
    """A table of the medians, a line for each subject; at its end what went wrong or why there is nothing."""
    medians = {subject: {value: row.median(subject, value) for value in _COLUMNS} for subject in row.subjects}
    shown = [value for value in _COLUMNS if any(not math.isnan(each[value]) for each in medians.values())]
    width = max((len(subject) for subject in medians), default=0) + 1
    told = [" ".join([" " * width, *(f"{_COLUMNS[value]:>11}" for value in shown)])]
    for subject, found in medians.items():
        cells = ["—" if math.isnan(found[value]) else figure(found[value], "") for value in shown]
        rounds = [one for one in row.rounds if one.subject == subject]
        failed = sum(sum(one.errors.values()) for one in rounds)
        remarks = [f"{failed:,} failed"] if failed else []
        remarks += [one.note for one in rounds if one.note]
        told.append(" ".join([f"{subject:{width}}", *(f"{cell:>11}" for cell in cells), *remarks]))
    return told


def _errors(row: Row) -> str:
    told = [
        f"{one.subject} round {one.round} {kind} {count}" for one in row.rounds for kind, count in one.errors.items()
    ]
    return ", ".join(told[:8])


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")[:200]
