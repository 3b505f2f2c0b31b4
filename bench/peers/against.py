"""Another commit of ours, and nginx, beside what is here: one run, in turn, and what counts is requests/s a core."""

from collections.abc import Callable

from bench.peers.commits import source_of
from bench.peers.rows import Peers
from bench.peers.subjects import NGINX, OURS, REFERENCE, ours
from bench.report import figure
from bench.results import Check, Row
from bench.rows.many_connections import CONNECTIONS, LATENCY_S
from bench.servers.payloads import question
from bench.world import Plan, World

_SLACK = 0.05
_P99_SLACK = 0.1
"""By so much what is here may be worse than the commit."""


def plans(commit: str) -> tuple[Plan, ...]:
    """The rows against that commit, which is made ready. Raises `ValueError` where git knows none such."""
    then, source = source_of(commit)
    both = Peers((ours(), ours(then, source), REFERENCE))

    def saturated(body: bytes) -> Callable[[World, Plan], Row]:
        def measure(world: World, plan: Plan) -> Row:
            row = both.saturated(world, plan, world.instant_provider(), body, 64, 5, 4)
            return row.judged(_beside(row, then, "rps_per_core", at_most=False))

        return measure

    def many_connections(world: World, plan: Plan) -> Row:
        row = both.saturated(world, plan, world.provider(LATENCY_S), question(), CONNECTIONS, 8, 3)
        return row.judged(_beside(row, then, "p99_ms", at_most=True), _beside(row, then, "rps_per_core", at_most=False))

    def streams(world: World, plan: Plan) -> Row:
        row = both.streams(world, plan)
        return row.judged(_beside(row, then, "cpu_cores", at_most=True), _beside(row, then, "gap_p99_ms", at_most=True))

    rows: tuple[tuple[str, str, float, Callable[[World, Plan], Row]], ...] = (
        ("chat", "64 connections, not cacheable", 110, saturated(question())),
        ("hits", "64 connections, cache hits in memory", 110, saturated(question(temperature=0))),
        ("connections", "1,500 connections, 0.5 s provider", 130, many_connections),
        ("streams", "1,000 streams at 30 events/s", 160, streams),
    )
    return tuple(
        Plan(
            name=f"against-{name}",
            title=f"{title}, beside {then}",
            about_s=about_s,
            needs=("wrk", "nginx", "/proc"),
            measure=measure,
        )
        for name, title, about_s, measure in rows
    )


_NAMES = {"rps_per_core": "requests/s a core", "p99_ms": "p99", "cpu_cores": "CPU", "gap_p99_ms": "p99 of the gaps"}


def _beside(row: Row, then: str, value: str, *, at_most: bool) -> Check:
    """What is here beside the commit, and both beside nginx."""
    slack = _P99_SLACK if value.endswith("p99_ms") else _SLACK
    here, before = row.ratio(OURS, NGINX, value), row.ratio(then, NGINX, value)
    return Check(
        what=f"{_NAMES[value]}, times {then}'s",
        unit="×",
        measured=row.ratio(OURS, then, value),
        budget=1 + slack if at_most else 1 - slack,
        at_most=at_most,
        note=f"{figure(row.median(OURS, value), '')} to {figure(row.median(then, value), '')}; "
        f"of nginx's {figure(here, '')} and {figure(before, '')}",
    )
