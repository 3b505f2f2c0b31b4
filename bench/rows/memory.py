"""Resident memory of all processes: idle, for each open stream, and whether it stays level under load."""

import time

from bench.results import Check, Round, Row
from bench.rows.streams import STREAMS
from bench.servers.payloads import question
from bench.servers.processes import rss_bytes
from bench.servers.subjects import Subject
from bench.world import MB, PACE, Plan, World

_LOADS = 4
_SETTLE_S = 1.0


def measure(world: World, plan: Plan) -> Row:
    idle = _look(world, world.llmproxy(world.instant_provider()), "idle")
    count = 6 * PACE
    crowded = world.llmproxy(world.provider(tokens=count))
    before = _look(world, crowded, "before streams")
    open_streams = world.streamed(crowded, 1, STREAMS, count)
    per_stream_kb = (open_streams.values["rss_mb"] - before.values["rss_mb"]) * MB / STREAMS / 1000
    level = _under_load(world)
    settled, last = level[1].values["rss_mb"], level[-1].values["rss_mb"]
    checks = (
        Check(what="idle, all processes", unit="MB", measured=idle.values["rss_mb"], budget=120, at_most=True),
        Check(
            what="for each open stream",
            unit="kB",
            measured=per_stream_kb,
            budget=60,
            at_most=True,
            note=f"{open_streams.values['rss_mb']:.0f} MB with {STREAMS:,} streams open",
        ),
        Check(
            what="growth under load after the warm-up",
            unit="%",
            measured=(last / settled - 1) * 100,
            budget=3,
            at_most=True,
            note=f"{settled:.0f} MB, then {last:.0f} MB",
        ),
    )
    return plan.row([idle, before, open_streams, *level]).judged(*checks)


def _look(world: World, subject: Subject, when: str, number: int = 1) -> Round:
    world.progress.step(when)
    time.sleep(_SETTLE_S)
    return Round(subject=when, round=number, values={"rss_mb": round(rss_bytes(subject.pids()) / MB, 1)})


def _under_load(world: World) -> list[Round]:
    """Memory after each of several loads. The first fills pools and caches."""
    subject = world.llmproxy(world.instant_provider())
    looks = []
    for number in range(1, _LOADS + 1):
        load = world.saturated(subject, number, question(), 64, world.seconds(6))
        look = _look(world, subject, "after load", number)
        looks.append(
            Round(
                subject=look.subject,
                round=number,
                values={**look.values, "requests": load.values["requests"]},
                errors=load.errors,
            )
        )
    return looks


PLAN = Plan(
    name="memory",
    title="Memory",
    about_s=50,
    needs=("wrk", "nginx", "/proc"),
    measure=measure,
)
