"""1,000 requests a second, each sent when it is due: what the proxy adds to the provider's latency."""

import msgspec

from bench.results import Check, Row
from bench.servers.payloads import question
from bench.servers.subjects import direct
from bench.world import Plan, World

RATE = 1000
_BY_WRK = "direct, wrk with 1 connection"
"""Beside what our generator sees of the provider: the difference is its own share, which is in both its figures."""


def measure(world: World, plan: Plan) -> Row:
    origin = world.instant_provider()
    ours, provider = world.llmproxy(origin), direct(origin)
    world.steady(ours, 0, [question()], RATE, 2)
    rounds = [
        world.steady(subject, number, [question()], RATE, world.seconds(9))
        for number in world.rounds()
        for subject in ((ours, provider) if number % 2 else (provider, ours))
    ]
    by_wrk = world.saturated(msgspec.structs.replace(provider, name=_BY_WRK), 1, question(), 1, 2)
    row = plan.row([*rounds, msgspec.structs.replace(by_wrk, curve=())])
    checks = tuple(
        Check(
            what=f"added at {percentile}",
            unit="ms",
            measured=row.difference(ours.name, provider.name, f"{percentile}_ms"),
            budget=budget_ms,
            at_most=True,
            note=f"{row.median(ours.name, f'{percentile}_ms'):.2f} ms, "
            f"direct {row.median(provider.name, f'{percentile}_ms'):.2f} ms",
        )
        for percentile, budget_ms in (("p50", 0.4), ("p99", 1.0))
    )
    return row.judged(*checks)


PLAN = Plan(
    name="added-latency",
    title="Added latency at a steady 1,000 requests/s",
    about_s=68,
    needs=("wrk", "nginx"),
    measure=measure,
)
