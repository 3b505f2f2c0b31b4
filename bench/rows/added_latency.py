"""1,000 requests a second, each sent when it is due: what the proxy adds to the provider's latency."""

from bench.results import Check, Row
from bench.servers.payloads import question
from bench.servers.subjects import direct
from bench.world import Plan, World

RATE = 1000


def measure(world: World, plan: Plan) -> Row:
    origin = world.instant_provider()
    ours, provider = world.llmproxy(origin), direct(origin)
    world.steady(ours, 0, [question()], RATE, 2)
    rounds = [
        world.steady(subject, number, [question()], RATE, world.seconds(9))
        for number in world.rounds()
        for subject in ((ours, provider) if number % 2 else (provider, ours))
    ]
    row = plan.row(rounds)
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
    needs=("vegeta", "nginx"),
    measure=measure,
)
