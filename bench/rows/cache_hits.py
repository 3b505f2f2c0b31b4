"""Answers from the cache, in memory and in Redis: how many, and how late at 1,000 a second.

The budget's rates are those of the machine on which nginx as a reverse proxy gave 59,644 requests/s; here they are
taken as parts of what nginx gives in the same run.
"""

import json

from bench.results import Check, Round, Row
from bench.servers import redis
from bench.servers.children import post
from bench.servers.payloads import question
from bench.servers.subjects import Subject
from bench.world import Plan, World

_NGINX_RPS = 59_644
_BUDGETS_RPS = {"memory": 15_000, "redis": 7_000}
_RATE = 1000
_QUESTIONS = 50


def measure(world: World, plan: Plan) -> Row:
    origin = world.instant_provider()
    nginx = world.nginx(origin)
    stores = (
        world.llmproxy(origin, "memory", cache=True),
        world.llmproxy(origin, "redis", cache=True, redis_url=redis.start(world.children)),
    )
    bodies = _bodies()
    for store in stores:
        _warm(store, bodies)
    rounds = world.saturate_in_turn([*stores, nginx], bodies[0], 64, 4)
    late = [
        _renamed(world.steady(store, number, bodies, _RATE, world.seconds(6)))
        for number in world.rounds()
        for store in stores
    ]
    row = plan.row([*rounds, *late])
    checks = [check for store in stores for check in _checks(row, store.name)]
    return row.judged(*checks)


def _checks(row: Row, store: str) -> tuple[Check, Check]:
    budget = _BUDGETS_RPS[store]
    rate = row.rate_of(store, "nginx", round(budget / _NGINX_RPS, 3), f"{store}: requests/s, of nginx's")
    late = Check(
        what=f"{store}: p99 at 1,000/s",
        unit="ms",
        measured=row.median(f"{store} at {_RATE}/s", "p99_ms"),
        budget=2,
        at_most=True,
        note=f"p50 {row.median(f'{store} at {_RATE}/s', 'p50_ms'):.2f} ms",
    )
    return rate, late


def _bodies() -> list[bytes]:
    asked = json.loads(question(temperature=0))
    return [json.dumps({**asked, "seed": seed}).encode() for seed in range(_QUESTIONS)]


def _warm(store: Subject, bodies: list[bytes]) -> None:
    for body in bodies * 2:
        status, _ = post(store.url, body, store.headers)
        if status != 200:
            raise RuntimeError(f"{store.name} answered {status}")


def _renamed(one: Round) -> Round:
    return Round(
        subject=f"{one.subject} at {_RATE}/s", round=one.round, values=one.values, errors=one.errors, curve=one.curve
    )


PLAN = Plan(
    name="cache-hits",
    title="Cache hits, memory and Redis",
    about_s=100,
    needs=("wrk", "nginx", "redis-server"),
    measure=measure,
)
