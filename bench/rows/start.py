"""From the command to the first answer of a model."""

import time

from bench.results import Check, Round, Row
from bench.servers import llmproxy
from bench.servers.children import post
from bench.servers.payloads import question
from bench.servers.subjects import PATH, Subject
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
        first_answer(Subject(name=llmproxy.NAME, url=f"{url}{PATH}", child=child))
        rounds.append(
            Round(subject=llmproxy.NAME, round=number, values={"start_s": round(time.perf_counter() - began, 3)})
        )
        world.children.stop(child)
    row = plan.row(rounds)
    check = Check(
        what="first answer", unit="s", measured=row.median(llmproxy.NAME, "start_s"), budget=1.2, at_most=True
    )
    return row.judged(check)


def first_answer(subject: Subject) -> None:
    """Ask until there is a good answer. Raises `RuntimeError` when its process ends, or there is none in time."""
    deadline = time.monotonic() + _LIMIT_S
    while (seen := post(subject.url, subject.asked(question()), subject.headers))[0] != 200:
        has_ended = subject.child is not None and subject.child.ended
        if has_ended or time.monotonic() > deadline:
            why = f"it ended: {subject.child.said[-300:]}" if has_ended and subject.child else f"in {_LIMIT_S:.0f} s"
            raise RuntimeError(f"no answer of {subject.name}, at last {seen[0]}: {seen[1][:300]!r}; {why}")
        time.sleep(_PAUSE_S)


PLAN = Plan(name="start", title="Start to first answer", about_s=12, needs=("nginx",), measure=measure)
