"""1,000 streams at 30 events a second: do all arrive whole, how evenly, and for how much CPU."""

from bench.results import Check, Row
from bench.servers.processes import counted_here
from bench.servers.subjects import direct
from bench.world import PACE, Plan, World

STREAMS = 1000
STEADY_S = 9
_RAMP_S = 2


def tokens(world: World) -> int:
    """Events of a stream, so that all are open together for the steady time."""
    return round((world.seconds(STEADY_S) + _RAMP_S) * PACE)


def measure(world: World, plan: Plan) -> Row:
    count = tokens(world)
    origin = world.provider(tokens=count)
    ours, provider = world.llmproxy(origin), direct(origin)
    rounds = [
        world.streamed(subject, number, STREAMS, count) for number in world.rounds() for subject in (ours, provider)
    ]
    row = plan.row(rounds)
    checks = [
        Check(
            what="streams complete",
            unit="",
            measured=min(one.values["complete"] for one in rounds if one.subject == ours.name),
            budget=STREAMS,
            at_most=False,
        ),
        Check(
            what="p99 of the gap between events",
            unit="ms",
            measured=row.median(ours.name, "gap_p99_ms"),
            budget=45,
            at_most=True,
            note=f"direct {row.median(provider.name, 'gap_p99_ms'):.1f} ms, nominal {1000 / PACE:.1f} ms",
        ),
    ]
    if counted_here():
        cores = row.median(ours.name, "cpu_cores")
        checks.append(Check(what="CPU", unit="cores", measured=cores, budget=0.8, at_most=True))
    return row.judged(*checks)


PLAN = Plan(
    name="streams",
    title="1,000 streams at 30 events/s",
    about_s=80,
    needs=(),
    measure=measure,
)
