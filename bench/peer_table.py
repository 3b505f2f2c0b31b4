"""The others beside us, as a Markdown table: a row of work each, a column for each subject."""

import math
from collections.abc import Sequence

from bench.report import figure
from bench.results import Kept, Row

OURS = "llmproxy"
_SHOWN = (
    ("peers-throughput", "64 connections, instant provider: requests/s", "rps"),
    ("peers-throughput", "the same, requests/s for each core that it takes", "rps_per_core"),
    ("peers-throughput", "memory meanwhile, MB", "rss_mb"),
    ("peers-many-connections", "1,500 connections, 0.5 s provider: requests/s", "rps"),
    ("peers-latency-100", "100 requests/s: p50, ms", "p50_ms"),
    ("peers-latency-100", "100 requests/s: p99, ms", "p99_ms"),
    ("peers-latency-1000", "1,000 requests/s: p50, ms", "p50_ms"),
    ("peers-latency-1000", "1,000 requests/s: p99, ms", "p99_ms"),
    ("peers-streams", "streams at 30 events/s carried whole and evenly (of 1,000)", "streams"),
    ("peers-streams", "CPU for these streams, cores", "cpu_cores"),
    ("peers-start", "start to first answer, s", "start_s"),
    ("peers-start", "memory when idle, MB", "rss_mb"),
)


def table(kept: Sequence[Kept]) -> str:
    """Medians, and in brackets what part or how many times of ours that is; what happened where there is none."""
    rows = {one.row.name: one.row for one in kept}
    subjects = list(dict.fromkeys(subject for row in rows.values() for subject in row.subjects))
    subjects.sort(key=lambda subject: subject != OURS)
    told = ["| work | " + " | ".join(subjects) + " |", "|---" * (len(subjects) + 1) + "|"]
    for name, title, value in _SHOWN:
        if name in rows and not all(math.isnan(rows[name].median(subject, value)) for subject in subjects):
            cells = [_cell(rows[name], subject, value) for subject in subjects]
            told.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(told)


def _cell(row: Row, subject: str, value: str) -> str:
    measured = row.median(subject, value)
    if math.isnan(measured):
        return next((one.note for one in row.rounds if one.subject == subject and one.note), "—")
    ours = row.median(OURS, value)
    failed = sum(sum(one.errors.values()) for one in row.rounds if one.subject == subject)
    times = f" ({figure(measured / ours, '')}×)" if subject != OURS and ours else ""
    return f"{figure(measured, '')}{times}" + (f", {failed:,} failed" if failed else "")
