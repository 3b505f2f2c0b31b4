"""1,500 connections, a provider that takes 0.5 s: what gets through, beside the provider asked directly."""

from bench.results import Check, Row
from bench.servers.payloads import question
from bench.servers.subjects import direct
from bench.world import Plan, World

CONNECTIONS = 1500
LATENCY_S = 0.5


def measure(world: World, plan: Plan) -> Row:
    origin = world.provider(LATENCY_S)
    ours, provider = world.llmproxy(origin), direct(origin)
    rounds = world.saturate_in_turn([ours, provider], question(), CONNECTIONS, 7)
    row = plan.row(rounds)
    through = row.rate_of(ours.name, provider.name, 0.95, "requests/s, of the provider's own")
    slowest = Check(
        what="p99",
        unit="ms",
        measured=row.median(ours.name, "p99_ms"),
        budget=700,
        at_most=True,
        note=f"direct {row.median(provider.name, 'p99_ms'):,.0f} ms",
    )
    return row.judged(through, slowest)


PLAN = Plan(
    name="many-connections",
    title="1,500 connections, 0.5 s provider",
    about_s=55,
    needs=("wrk",),
    measure=measure,
)
