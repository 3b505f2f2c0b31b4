"""One worker and two: what a second process brings where load and provider share its cores."""

from bench.results import Check, Row
from bench.servers.payloads import question
from bench.world import Plan, World


def measure(world: World, plan: Plan) -> Row:
    origin = world.instant_provider()
    one, two = world.llmproxy(origin, "1 worker", workers=1), world.llmproxy(origin, "2 workers", workers=2)
    rounds = world.saturate_in_turn([one, two], question(), 64, 4)
    row = plan.row(rounds)
    check = Check(
        what="requests/s, of one worker's",
        unit="",
        measured=row.ratio(two.name, one.name, "rps"),
        budget=1.0,
        at_most=False,
        note=f"{row.median(two.name, 'rps'):,.0f} to {row.median(one.name, 'rps'):,.0f} requests/s, "
        f"{row.median(two.name, 'cpu_cores'):.2f} to {row.median(one.name, 'cpu_cores'):.2f} cores",
    )
    return row.judged(check)


PLAN = Plan(
    name="workers",
    title="Two workers beside one",
    about_s=32,
    needs=("wrk", "nginx"),
    measure=measure,
)
