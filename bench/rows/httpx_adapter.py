"""`upstream_client: httpx`, httpx over http1: throughput beside nginx, and 500 connections beside the provider."""

from bench.results import Round, Row
from bench.servers.payloads import question
from bench.servers.subjects import direct
from bench.world import Plan, World

_OF_NGINX = round(2_000 / 59_644, 3)
"""The budget's 2,000 requests/s, of what nginx as a reverse proxy gave on the same machine."""


def measure(world: World, plan: Plan) -> Row:
    instant, slow = world.instant_provider(), world.provider(0.5)
    client = {"upstream_client": "httpx"}
    busy, theirs = world.llmproxy(instant, "httpx", **client), world.nginx(instant)
    many, provider = world.llmproxy(slow, "httpx, 500 connections", **client), direct(slow)
    rounds: list[Round] = [
        *world.saturate_in_turn([busy, theirs], question(), 64, 4),
        *world.saturate_in_turn([many, provider], question(), 500, 5, rounds=2),
    ]
    row = plan.row(rounds)
    checks = (
        row.rate_of(busy.name, theirs.name, _OF_NGINX, "64 connections: requests/s, of nginx's"),
        row.rate_of(
            many.name, provider.name, 0.9, "500 connections, 0.5 s provider: requests/s, of the provider's own"
        ),
    )
    return row.judged(*checks)


PLAN = Plan(
    name="httpx-adapter",
    title="The httpx adapter",
    about_s=58,
    needs=("wrk", "nginx"),
    measure=measure,
)
