"""The results of a soak: for people, as JSON, and as charts."""

import json
import platform
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from bench.machine import this_machine
from bench.soak.load import Outcomes
from bench.soak.run import Soaked
from bench.soak.samples import Block
from bench.soak.verdict import DAY_REQUESTS, Finding, State, Verdict
from bench.time_chart import Panel, time_chart

SHOWN = {
    "rss": "resident memory, all processes (bytes)",
    "pss": "proportional memory, all processes (bytes)",
    "uss": "memory of its own, all processes (bytes)",
    "live_malloc": "malloc: bytes in use after a collection",
    "live_blocks": "Python heap: blocks in use after a collection",
    "objects": "objects the collector knows, after a collection",
    "malloc": "malloc: bytes in use at any time",
    "python_blocks": "Python heap: blocks in use at any time",
    "fds": "open files",
    "tasks": "tasks",
    "threads": "threads",
    "upstream_connections": "connections to providers",
    "client_connections": "connections of clients",
    "pool_lent": "pool: connections lent out",
    "pool_idle": "pool: connections idle",
    "in_flight": "requests in flight",
    "cache_bytes": "cache (bytes)",
    "cache_entries": "cache (entries)",
    "owners": "owners of stored ids",
    "buckets": "rate limit buckets",
    "loop_lag_ms": "event loop: latest timer (ms)",
}


def typical(blocks: Sequence[Block], metric: str) -> float:
    """The median over the blocks; 0 where it was not measured."""
    found = [block.values[metric][1] for block in blocks if metric in block.values]
    return median(found) if found else 0.0


def table(findings: Sequence[Finding]) -> list[str]:
    """A line for each metric; of the types of objects those that leak, and how many there are of the others."""
    types = [finding for finding in findings if finding.metric.startswith("type ")]
    states = Counter(finding.state.value for finding in types)
    lines = [f"{'metric':28} {'slope a request':>16} {'95 % interval':>26} {'in a day':>24} {'allowed':>9}  state"]
    for finding in findings:
        found = finding.trend
        if finding in types and finding.state is not State.LEAK:
            continue
        interval = f"{found.low:.3g} to {found.high:.3g}"
        day = f"{found.low * DAY_REQUESTS:.3g} to {found.high * DAY_REQUESTS:.3g}"
        lines.append(
            f"{finding.metric[-28:]:28} {found.slope:16.3g} {interval:>26} {day:>24} {finding.day_limit:9.3g}"
            f"  {finding.state.value}"
        )
    counted = ", ".join(f"{count} {state}" for state, count in states.most_common())
    return [*lines, f"types of objects: {counted or 'none was counted often enough'}"]


def outcome_lines(outcomes: Outcomes) -> list[str]:
    """A line for each kind."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for (kind, outcome), count in outcomes.seen.items():
        kinds[kind][outcome] += count
    return [
        f"{kind:24} {sum(seen.values()):8}  " + ", ".join(f"{o} {n}" for o, n in seen.most_common())
        for kind, seen in kinds.items()
    ] + [f"!! {each}" for each in outcomes.unexpected]


def results(
    soaked: Soaked, findings: Sequence[Finding], verdict: Verdict, outcomes: Outcomes, about: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything, for `soak.json`."""
    return {
        **about,
        "machine": msgspec.to_builtins(this_machine({"libc": " ".join(platform.libc_ver())})),
        "passed": verdict.passed,
        "verdict": verdict.sentences,
        "warm_up_s": soaked.warm_up_s,
        "judged_s": soaked.judged_s,
        "judged_requests": soaked.requests,
        "proxy_cpu": round(soaked.cpu, 3),
        "findings": [
            {
                "metric": f.metric,
                "per_request": _finite(f.trend.slope),
                "low": _finite(f.trend.low),
                "high": _finite(f.trend.high),
                "p_rising": round(f.trend.p_rising, 5),
                "variance_widened": round(f.trend.widened, 2),
                "halves": f.halves,
                "day_limit": f.day_limit,
                "state": f.state.value,
            }
            for f in findings
        ],
        "rest_before": _plain(soaked.before.metrics),
        "rest_after": _plain(soaked.after.metrics),
        "outcomes": {f"{kind}: {outcome}": n for (kind, outcome), n in sorted(outcomes.seen.items())},
        "unexpected": outcomes.unexpected,
        "blocks": [
            {"at_s": round(b.at_s, 1), "requests": b.requests, **{n: b.values[n][1] for n in SHOWN if n in b.values}}
            for b in soaked.samples.blocks
        ],
    }


def _plain(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.startswith("type ")}


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def charts(soaked: Soaked, findings: Sequence[Finding], title: str) -> str:
    """All panels of one soak."""
    by_name = {finding.metric: finding for finding in findings}
    panels = [_panel(soaked, name, label, by_name.get(name)) for name, label in SHOWN.items()]
    return time_chart(title, panels, soaked.warm_up_s / 60)


def _panel(soaked: Soaked, name: str, label: str, finding: Finding | None) -> Panel:
    having = [block for block in soaked.samples.blocks if name in block.values]
    measured = [block for block in having if block.at_s >= soaked.warm_up_s]
    line = None
    if finding is not None and len(measured) > 1:
        slope = finding.trend.slope
        middle = median(b.values[name][1] - slope * b.requests for b in measured)
        ends = (measured[0], measured[-1])
        line = tuple((b.at_s / 60, middle + slope * b.requests) for b in ends)
        label = f"{label}: {finding.state.value}"
    return Panel(
        label,
        [block.at_s / 60 for block in having],
        [block.values[name][1] for block in having],
        [(block.values[name][0], block.values[name][2]) for block in having],
        None if line is None else (line[0], line[1]),
    )


def write(folder: Path, name: str, told: Mapping[str, Any], drawing: str | None = None) -> list[Path]:
    """`NAME.json` and `NAME.svg`; the paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / f"{name}.json"]
    written[0].write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if drawing is not None:
        written.append(folder / f"{name}.svg")
        written[1].write_text(drawing, encoding="utf-8")
    return written
