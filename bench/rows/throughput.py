"""64 connections, an instant provider, nothing cached: the rate beside nginx as a reverse proxy."""

from bench.results import Row
from bench.servers.payloads import question
from bench.servers.subjects import direct
from bench.world import Plan, World

_OF_NGINX = 0.17
CONNECTIONS = 64


def measure(world: World, plan: Plan) -> Row:
    origin = world.instant_provider()
    ours, theirs = world.llmproxy(origin), world.nginx(origin)
    rounds = world.saturate_in_turn([ours, theirs, direct(origin)], question(), CONNECTIONS, 5)
    row = plan.row(rounds)
    check = row.rate_of(ours.name, theirs.name, _OF_NGINX, "requests/s, of nginx's")
    return row.judged(check)


PLAN = Plan(
    name="throughput",
    title="64 connections, instant provider, 1.1 kB reply, not cacheable",
    about_s=55,
    needs=("wrk", "nginx"),
    measure=measure,
)
