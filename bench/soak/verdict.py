"""What the slopes mean: leak, flat, or not shown; and what may be said about a day.

A day is 864,000 requests (ten a second). It may add 20 MB of memory, 100 files, threads, tasks or connections, and one
object of a type for each hundred requests; the collector's types may not rise at all beyond that. A slope counts with
both ends of its 95 % interval:

leak        even the lower end is beyond the limit, and the rise is no chance (Mann-Kendall, p < 0.01; Holm over types)
flat        even the upper end is within the limit
not shown   the interval holds the limit: the run was too short, or too noisy, to tell

Resident memory that rises while the Python heap and malloc's bytes in use are flat, and rises less than a quarter as
fast in the second half as in the first, is fragmentation and not a leak.
"""

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from bench.soak.samples import Block, column
from bench.soak.slopes import FEWEST, Trend, rejected_by_holm, trend

DAY_REQUESTS = 864_000
DAY_S = 86_400
DAY_BYTES = 20e6
_DAY_COUNT = 100.0
_DAY_OBJECTS = DAY_REQUESTS / 100
_BLOCK_BYTES = 64
"""A block of the Python heap has 16 to 512 bytes; half the limit of bytes if it were of 32."""

_LEVEL = 0.01
_PERHAPS = 0.05
_PLATEAU = 0.25
_SEEN = 0.8
"""A type that is in fewer of the looks is a rare one: nothing accumulates."""

HEAP = ("live_blocks", "live_malloc")
MEMORY = ("rss", "uss")

DAY_LIMITS: Mapping[str, float] = {
    "rss": DAY_BYTES,
    "uss": DAY_BYTES,
    "live_malloc": DAY_BYTES,
    "live_blocks": DAY_BYTES / _BLOCK_BYTES,
    "fds": _DAY_COUNT,
    "threads": _DAY_COUNT,
    "tasks": _DAY_COUNT,
    "client_connections": _DAY_COUNT,
    "upstream_connections": _DAY_COUNT,
    "pool_lent": _DAY_COUNT,
    "pool_idle": _DAY_COUNT,
    "in_flight": _DAY_COUNT,
    "objects": _DAY_OBJECTS,
}
"""What a day's requests may add. Types of objects share the limit of `objects`. The proportional size (pss) is shown
and not judged: it changes when other processes that share a library start or end."""


POOLED = frozenset({"fds", "client_connections", "upstream_connections", "pool_idle"})
_CYCLES_S = 300.0
"""Idle connections live for up to a minute: in less time than this the slope of what counts them says nothing about a
leak. The rests do."""


class State(Enum):
    """What is known of one metric."""

    LEAK = "leak"
    FRAGMENTATION = "fragmentation"
    FLAT = "flat"
    NOT_SHOWN = "not shown"


class Finding(NamedTuple):
    """One metric: its trend per request, what a day's requests may add, and what follows."""

    metric: str
    trend: Trend
    day_limit: float
    state: State
    halves: tuple[float, float]
    """The slope in each half of the time."""


def judge(blocks: Sequence[Block]) -> list[Finding]:
    """All metrics that have a limit, types of objects last."""
    columns = {name: column(blocks, name) for name in _metrics(blocks)}
    trends = {name: trend(x, y) for name, (x, y) in columns.items()}
    types = [name for name in trends if name not in DAY_LIMITS]
    rising = {name: found.p_rising < _LEVEL for name, found in trends.items()}
    rising |= zip(types, rejected_by_holm([trends[name].p_rising for name in types], _LEVEL), strict=True)
    if blocks and blocks[-1].at_s - blocks[0].at_s < _CYCLES_S:
        rising |= dict.fromkeys(POOLED, False)
    findings = [
        Finding(name, found, limit_of(name), _state(found, limit_of(name), rising[name]), _halves(*columns[name]))
        for name, found in trends.items()
    ]
    heap_is_flat = all(finding.state is State.FLAT for finding in findings if finding.metric in HEAP)
    return [_excused(finding) for finding in findings] if heap_is_flat else findings


def limit_of(metric: str) -> float:
    """What a day's requests may add."""
    return DAY_LIMITS.get(metric, _DAY_OBJECTS)


def _metrics(blocks: Sequence[Block]) -> list[str]:
    seen = dict.fromkeys(name for block in blocks for name in block.values)
    looks = sum("objects" in block.values for block in blocks)
    types = [
        name
        for name in sorted(seen)
        if name.startswith("type ") and sum(name in block.values for block in blocks) >= max(FEWEST, looks * _SEEN)
    ]
    return [name for name in DAY_LIMITS if name in seen] + types


def _state(found: Trend, day_limit: float, rising: bool) -> State:
    if rising and found.low * DAY_REQUESTS > day_limit:
        return State.LEAK
    return State.FLAT if found.high * DAY_REQUESTS <= day_limit else State.NOT_SHOWN


def _halves(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    middle = len(x) // 2
    return trend(x[:middle], y[:middle]).slope, trend(x[middle:], y[middle:]).slope


def _excused(finding: Finding) -> Finding:
    """By the plateau it reached, where the heaps are flat."""
    first, second = finding.halves
    rose = finding.state is not State.FLAT and finding.trend.p_rising < _PERHAPS
    if finding.metric in MEMORY and rose and first > 0 and second < _PLATEAU * first:
        return finding._replace(state=State.FRAGMENTATION)
    return finding


class Rest(NamedTuple):
    """How much there is when nobody asks and the garbage is collected."""

    metrics: Mapping[str, float]
    types: Mapping[str, float]


REST_ALLOWS: Mapping[str, float] = {
    "tasks": 0,
    "fds": 2,
    "client_connections": 0,
    "upstream_connections": 0,
    "pool_lent": 0,
    "in_flight": 0,
    "sockets": 0,
    "held_bytes": 0,
}
"""By how much two rests may differ upwards."""

HEAP_NOISE: Mapping[str, float] = {"live_blocks": 3_000, "live_malloc": 1e6}
"""What the heaps may have more of at the second rest, besides their limit for the requests between the two: caches
replace entries by others. This is what finds small leaks in short runs: what requests under way hold, which blurs
the slope, is gone at a rest."""

_OBJECTS_DIFFER = 0.001


def compare(before: Rest, after: Rest, requests: float) -> list[str]:
    """What there is more of at the second rest than `requests` requests before; empty: nothing."""
    grown = [
        f"{name}: {before.metrics[name]:g} before, {after.metrics[name]:g} after"
        for name, allowed in REST_ALLOWS.items()
        if after.metrics[name] - before.metrics[name] > allowed
    ]
    grown += [
        f"{name}: {before.metrics[name]:,.0f} before, {after.metrics[name]:,.0f} after"
        for name, noise in HEAP_NOISE.items()
        if after.metrics[name] - before.metrics[name] > noise + requests * limit_of(name) / DAY_REQUESTS
    ]
    for name, count in after.types.items():
        more = count - before.types.get(name, count)
        if more > max(count * _OBJECTS_DIFFER, 10, requests * _DAY_OBJECTS / DAY_REQUESTS):
            grown.append(f"{name}: {before.types[name]:g} before, {count:g} after")
    return grown


class Verdict(NamedTuple):
    """The end of a soak."""

    passed: bool
    sentences: list[str]


def conclude(
    findings: Sequence[Finding],
    grown: Sequence[str],
    failures: int,
    requests: float,
    seconds: float,
    resident_bytes: float,
) -> Verdict:
    """In words. `requests` and `seconds` are those of the measured part; `resident_bytes` is its typical RSS."""
    leaks = [f for f in findings if f.state is State.LEAK]
    unclear = [f for f in findings if f.state is State.NOT_SHOWN and not f.metric.startswith("type ")]
    passed = not leaks and not grown and not failures
    sentences = ["PASS." if passed else "FAIL."]
    sentences += [f"LEAK: {_in_words(f)}." for f in leaks]
    sentences += [f"GREW between the two rests: {each}." for each in grown]
    if failures:
        sentences.append(f"{failures} outcomes that nothing injected explains.")
    if passed and unclear:
        names = ", ".join(f.metric for f in unclear)
        sentences.append(f"No leak was found; flatness of {names} is not shown: the run was too short or too noisy.")
    elif passed:
        sentences.append("No metric rises by more than its limit, with 95 % confidence each.")
    sentences += [
        f"{f.metric} rose and levelled off while the heaps stayed flat: fragmentation."
        for f in findings
        if f.state is State.FRAGMENTATION
    ]
    return Verdict(passed, sentences + _about_a_day(findings, requests, seconds, resident_bytes))


def _in_words(finding: Finding) -> str:
    found = finding.trend
    return (
        f"{finding.metric} rises by {found.slope:.3g} a request (95 %: {found.low:.3g} to {found.high:.3g}), "
        f"{found.slope * DAY_REQUESTS:.3g} in a day of {DAY_REQUESTS:,} requests; {finding.day_limit:.3g} are allowed"
    )


def _about_a_day(findings: Sequence[Finding], requests: float, seconds: float, resident_bytes: float) -> list[str]:
    rss = next((f.trend for f in findings if f.metric == "rss"), None)
    if rss is None or not seconds:
        return []
    said = []
    if math.isinf(rss.high):
        return ["Of a day nothing can be said: resident memory was too restless for the length of the run."]
    low_mb, high_mb = rss.low * DAY_REQUESTS / 1e6, rss.high * DAY_REQUESTS / 1e6
    if seconds < DAY_S:
        fits = "within" if high_mb <= DAY_BYTES / 1e6 else "not shown to be within"
        said.append(
            f"A day's {DAY_REQUESTS:,} requests would add {low_mb:.1f} to {high_mb:.1f} MB of resident memory, {fits} "
            f"the {DAY_BYTES / 1e6:.0f} MB allowed (accelerated, extrapolated: {requests:,.0f} requests, "
            f"{requests / DAY_REQUESTS:.1%} of a day's, were seen in {seconds / 60:.1f} min)."
        )
    day_bytes = rss.high * requests / seconds * DAY_S
    limit_bytes = resident_bytes / 10
    shown = "shown" if day_bytes <= limit_bytes else "not shown"
    if seconds >= DAY_S:
        said.append(f"24 h at this rate, in real time: at most {day_bytes / 1e6:.1f} MB a day; flat to 10 %: {shown}.")
    else:
        said.append(
            f"24 h at this rate in real time: flat to 10 % is {shown} by this run: the interval reaches "
            f"{day_bytes / 1e6:.0f} MB a day, 10 % of resident memory are {limit_bytes / 1e6:.0f} MB (extrapolated). "
            "What grows with time and not with requests, and takes hours to show, is beyond it; only a real run of "
            "24 h may be called a 24 h result."
        )
    return said
