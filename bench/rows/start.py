"""From the command to the first answer of a model."""

import time
from collections.abc import Mapping

from bench.results import Check, Round, Row
from bench.servers import llmproxy
from bench.servers.children import post
from bench.servers.payloads import question
from bench.servers.subjects import HEADERS, PATH
from bench.world import Plan, World

_LIMIT_S = 60
_PAUSE_S = 0.005


def measure(world: World, plan: Plan) -> Row:
    origin = world.instant_provider()
    rounds = []
    for number in world.rounds(5):
        world.progress.step(f"start {number}")
        began = time.perf_counter()
        child, url = llmproxy.launch(world.children, world.scratch, origin)
        first_answer(f"{url}{PATH}")
        rounds.append(
            Round(subject=llmproxy.NAME, round=number, values={"start_s": round(time.perf_counter() - began, 3)})
        )
        world.children.stop(child)
    row = plan.row(rounds)
    check = Check(
        what="first answer", unit="s", measured=row.median(llmproxy.NAME, "start_s"), budget=1.2, at_most=True
    )
    return row.judged(check)


def first_answer(url: str, headers: Mapping[str, str] = HEADERS, limit_s: float = _LIMIT_S) -> None:
    """Ask until there is a good answer. Raises `RuntimeError` when there is none in time."""
    deadline = time.monotonic() + limit_s
    while (asked := post(url, question(), headers))[0] != 200:
        if time.monotonic() > deadline:
            raise RuntimeError(f"no answer in {limit_s:.0f} s, at last {asked[0]}: {asked[1][:300]!r}")
        time.sleep(_PAUSE_S)


PLAN = Plan(name="start", title="Start to first answer", about_s=12, needs=("nginx",), measure=measure)
