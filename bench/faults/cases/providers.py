"""Providers that cannot be reached, break off, or are silent."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Mapping
from typing import Any

from bench.faults.asking import TOLD
from bench.faults.case import Figure, at_least, at_most, between, cases_of, exactly, none
from bench.faults.world import World, config, model
from tests.free_port import free_port

case = cases_of("Providers that break")

_EVENTS = 40


@case(
    "refused",
    "two of three endpoints refuse connections",
    "no request fails; of 16 requests at a time few meet a dead endpoint, and then one in each cooldown",
)
async def refused(world: World) -> list[Figure]:
    well = await world.provider()
    dead = [f"http://127.0.0.1:{free_port()}/v1" for _ in range(2)]
    replica, asker = await world.proxy(config(model(well), *map(model, dead)))
    tally = await asker.many(3000)
    calls = [seen["attempts"] for id_, seen in (await replica.endpoints()).items() if id_ != "group/1"]
    return [
        none("failed of 3,000", tally.failed(), tally.errors()),
        at_most("calls of a dead endpoint", max(calls), 20),
        at_most("p99", tally.percentile_ms(99), 500, "ms"),
    ]


@contextlib.contextmanager
def _black_hole() -> Any:
    """A port that takes no connection and refuses none: its queue of them is full."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listening.getsockname())
        yield listening.getsockname()[1]


@case(
    "black-hole",
    "an endpoint takes no connection and refuses none",
    "after connect_timeout (0.5 s) another one answers; it is tried once in each cooldown",
)
async def black_hole(world: World) -> list[Figure]:
    well = await world.provider()
    with _black_hole() as port:
        replica, asker = await world.proxy(config(model(f"http://127.0.0.1:{port}/v1", 3), model(well)))
        first = await asker.ask()
        tally = await asker.many(400, at_once=4)
        calls = (await replica.endpoints())["group/1"]["attempts"]
        asker.close()
    return [
        none("failed of 401", tally.failed() + (first.outcome != "ok"), tally.errors()),
        between(0.45, "the first took", first.took_s, 1.5, "s"),
        at_most("calls of the hole", calls, 5),
    ]


async def _elsewhere(world: World, action: Mapping[str, Any], count: int, **fields: Any) -> list[Figure]:
    """All are answered by the one that is well, and once only."""
    sick, well = await world.failing(action), await world.provider()
    _, asker = await world.proxy(config(model(sick), model(well), allowed_fails=1000))
    tally = await asker.many(count, **fields)
    asked = len(tally.asked)
    return [
        none(f"failed of {asked}", tally.failed(), tally.errors()),
        exactly("answered by the one that is well", tally.by()["well"], asked),
        exactly("calls of it", well.counts().received, asked),
        at_least("calls of the one that fails", sick.counts().received, asked // 2),
    ]


@case("reset-before-headers", "RST before the headers of a reply", "every request is answered by another endpoint")
async def reset_before_headers(world: World) -> list[Figure]:
    return await _elsewhere(world, {"kind": "reset"}, 400)


@case("reset-mid-body", "RST in the middle of a whole answer", "the client sees one whole answer of another endpoint")
async def reset_mid_body(world: World) -> list[Figure]:
    return await _elsewhere(world, {"kind": "reset", "when": "mid_body"}, 200, stream=False)


@case(
    "reset-mid-stream",
    "RST after 40 of 60 words of a stream",
    "an error event and no `[DONE]`; nothing is repeated elsewhere; a second endpoint is not asked",
)
async def reset_mid_stream(world: World) -> list[Figure]:
    sick = await world.provider("sick", answer_tokens=60)
    sick.set_faults([{"action": {"kind": "reset", "when": "mid_stream", "after_events": _EVENTS}}])
    well = await world.provider()
    replica, asker = await world.proxy(config(model(sick), model(well, weight=0), allowed_fails=1000))
    tally = await asker.many(50, at_once=5, stream=True)
    events = [one.body.count(b"data: ") for one in tally.asked]
    await asyncio.sleep(0.2)
    broken = sum(line["outcome"] == "stream_broken" for line in replica.log())
    return [
        none("not told of 50", tally.failed(TOLD), tally.errors()),
        none("calls of the other endpoint", well.counts().received),
        at_least("events before the error, at least", min(events) - 1, _EVENTS - 1),
        exactly("logged as stream_broken", broken, 50),
    ]


@case(
    "never-answers",
    "an endpoint takes the request and never answers",
    "after first_byte_timeout (2 s) another one answers",
)
async def never_answers(world: World) -> list[Figure]:
    sick, well = await world.failing({"kind": "hang"}), await world.provider()
    _, asker = await world.proxy(config(model(sick, 3), model(well), allowed_fails=1))
    first = await asker.ask()
    tally = await asker.many(100)
    return [
        none("failed of 101", tally.failed() + (first.outcome != "ok"), tally.errors()),
        between(1.8, "the first took", first.took_s, 3.0, "s"),
        none("calls still open there", sick.counts().in_flight),
    ]


@case(
    "silent-stream",
    "20 words of a stream, then silence",
    "after stream_idle_timeout (2 s) an error event; the connection to the endpoint is closed",
)
async def silent_stream(world: World) -> list[Figure]:
    sick = await world.failing({"kind": "hang", "when": "mid_stream", "after_events": 20})
    sick.change(answer_tokens=60)
    _, asker = await world.proxy(config(model(sick)))
    tally = await asker.many(20, at_once=20, stream=True)
    await asyncio.sleep(0.5)
    took = [one.took_s for one in tally.asked]
    return [
        none("not told of 20", tally.failed(TOLD), tally.errors()),
        at_least("the quickest took", min(took), 1.8, "s"),
        at_most("the slowest took", max(took), 4.0, "s"),
        none("calls still open there", sick.counts().in_flight),
    ]


@case(
    "dripping",
    "a reply of 1 byte a second; a stream of many small pieces",
    "dripped headers are cut at first_byte_timeout (2 s) and another endpoint answers; a slow stream "
    "that is never silent for long comes whole",
)
async def dripping(world: World) -> list[Figure]:
    sick, well = await world.failing({"kind": "slow", "bytes_per_second": 1}), await world.provider()
    slow = await world.failing({"kind": "chop", "bytes": 40, "delay_ms": 50}, "slow")
    replica, asker = await world.proxy(config(model(sick, 3), model(well), model(slow, group="slow")))
    headers = await asker.ask()
    others = world.asker(replica, group="slow")
    began = time.monotonic()
    body = await others.many(10, at_once=10, stream=True)
    return [
        exactly("dripped headers: answered elsewhere", float(headers.by == "well"), 1),
        at_most("it took", headers.took_s, 3.0, "s"),
        none("slow streams that failed of 10", body.failed(), body.errors()),
        at_least("a slow stream took", time.monotonic() - began, 1.5, "s"),
    ]
