"""A body of 2 MB, as an image has: the CPU that a request costs us."""

from bench.results import Check, Row
from bench.servers.payloads import question
from bench.world import Plan, World

_BODY_BYTES = 2_000_000


def measure(world: World, plan: Plan) -> Row:
    origin = world.provider()
    ours, theirs = world.llmproxy(origin), world.nginx(origin)
    rounds = world.saturate_in_turn([ours, theirs], question(padding=_BODY_BYTES), 4, 4)
    row = plan.row(rounds)
    check = Check(
        what="CPU a request",
        unit="ms",
        measured=row.median(ours.name, "cpu_ms_per_request"),
        budget=3,
        at_most=True,
        note=f"nginx {row.median(theirs.name, 'cpu_ms_per_request'):.2f} ms",
    )
    return row.judged(check)


PLAN = Plan(name="big-body", title="2 MB body", about_s=32, needs=("wrk", "nginx", "/proc"), measure=measure)
