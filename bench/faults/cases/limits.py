"""Providers that say 429, whole outages, and keys that are refused."""

import asyncio
import email.utils
import time
from collections.abc import Mapping
from typing import Any

from bench.faults.asking import OK, Tally
from bench.faults.case import Figure, at_least, at_most, between, cases_of, exactly, none
from bench.faults.general import PROVIDER_KEY
from bench.faults.world import World, config, model
from simulator import SimulatedProvider

case = cases_of("Limits and outages")

_OUTAGE_S = 15.0
_FLAPS = 10


def limited(**headers: str) -> Mapping[str, Any]:
    """A 429."""
    body = {"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}}
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"kind": "status", "status": 429, "headers": told, "body": body}


UNAVAILABLE: Mapping[str, Any] = {
    "kind": "status",
    "status": 503,
    "body": {"error": {"message": "The engine is down", "type": "server_error", "code": None}},
}


@case(
    "429-with-delay",
    "one of two endpoints says 429 with `retry-after: 3`",
    "it gets no request for 3 s, the other one serves all; then it serves again",
)
async def with_delay(world: World) -> list[Figure]:
    full, free = await world.failing(limited(retry_after="3"), "full", times=1), await world.provider("free")
    _, asker = await world.proxy(config(model(full), model(free)))
    began = time.monotonic()
    tally = await asker.offer(40, lambda: time.monotonic() - began > 5)
    first, *later = [record.started_s for record in full.records]
    pause = min(later, default=first) - first
    return [
        none(f"failed of {len(tally.asked)}", tally.failed(), tally.errors()),
        between(2.95, "seconds without a call", pause, 4.0, "s"),
        at_least("calls after that", len(later), 10),
    ]


@case(
    "429-odd-delays",
    "429 without a hint; with a delay of a day, negative, in letters, as a date",
    "without a hint and with junk 1 s and then twice as much; a longer delay than 300 s counts as 300 s; "
    "no endpoint is held against its health",
)
async def odd_delays(world: World) -> list[Figure]:
    date = email.utils.formatdate(time.time() + 20, usegmt=True)
    hints = {
        "none": {},
        "day": {"retry_after": "86400"},
        "negative": {"retry_after": "-1"},
        "letters": {"retry_after": "abc"},
        "date": {"retry_after": date},
    }
    models = []
    for name, headers in hints.items():
        models.append(model(await world.failing(limited(**headers), name), group=name))
    replica, _ = await world.proxy(config(*models, max_wait=0, num_retries=0))
    asked = [await world.asker(replica, group=name).ask() for name in hints]
    clocks = {id_.partition("/")[0]: seen["clock_s"] for id_, seen in (await replica.endpoints()).items()}
    states = [seen["state"] for seen in (await replica.endpoints()).values()]
    return [
        exactly("told 429 of 5", sum(one.status == 429 for one in asked), 5, str(asked)[:300]),
        at_most(
            "longest delay without a hint or with junk", max(clocks[n] for n in ("none", "negative", "letters")), 2, "s"
        ),
        between(295, "a day became", clocks["day"], 300, "s"),
        between(15, "the date in 20 s became", clocks["date"], 20.5, "s"),
        none("endpoints that cool", states.count("cooling")),
    ]


@case(
    "429-everywhere",
    "all endpoints say 429, for 7 s and 9 s",
    "the client is told 429 with the shorter delay; no endpoint is asked before its time",
)
async def everywhere(world: World) -> list[Figure]:
    one, two = await world.failing(limited(retry_after="7"), "a"), await world.failing(limited(retry_after="9"), "b")
    _, asker = await world.proxy(config(model(one), model(two), max_wait=0))
    first = await asker.ask()
    tally = await asker.many(300)
    delays = [float(each.headers.get("retry-after", -1)) for each in tally.asked]
    return [
        none("other than 429 of 301", tally.failed("429") + (first.status != 429), tally.errors()),
        at_most("retry-after", max(delays), 7, "s"),
        at_least("retry-after", min(delays), 5, "s"),
        exactly("calls of both endpoints", one.counts().received + two.counts().received, 2),
        at_most("p99", tally.percentile_ms(99), 250, "ms"),
    ]


async def _outage(
    world: World, down: Any, back: Any, providers: list[SimulatedProvider], rate: float
) -> tuple[Tally, Tally, int]:
    """The answers while all are down and in the 4 s after; and the calls while they were down."""
    _, asker = await world.proxy(config(*map(model, providers), max_wait=0))
    for provider in providers:
        down(provider)
    began = time.monotonic()
    while_down = await asker.offer(rate, lambda: time.monotonic() - began > _OUTAGE_S)
    calls = sum(provider.counts().received for provider in providers)
    back()
    after = time.monotonic()
    return while_down, await asker.offer(rate, lambda: time.monotonic() - after > 4), calls


@case(
    "503-storm",
    "all three endpoints say 503 for 15 s under 60 requests a second, then are well",
    "retries are bounded by a budget: at most 1.2 calls a request and 20; 2 s later 99 % are answered again",
)
async def storm(world: World) -> list[Figure]:
    providers = [await world.provider(name) for name in ("a", "b", "c")]

    def down(provider: SimulatedProvider) -> None:
        provider.set_faults([{"action": dict(UNAVAILABLE)}])

    def back() -> None:
        for provider in providers:
            provider.set_faults([])

    while_down, after, calls = await _outage(world, down, back, providers, 60)
    asked = len(while_down.asked)
    late = Tally(one for one in after.asked if one.at_s - after.asked[0].at_s > 2)
    return [
        at_most(f"calls for {asked} requests", calls, int(asked * 1.2) + 20),
        none("without a 502 or 503", while_down.failed("502", "503"), while_down.errors()),
        none(f"2 s after the end: failed of {len(late.asked)}", late.failed(), late.errors()),
    ]


@case(
    "all-refuse",
    "all endpoints refuse connections for 15 s, then are there",
    "an error after the retries and their backoff, and no wait beyond; answers within a second of their return",
)
async def all_refuse(world: World) -> list[Figure]:
    providers = [await world.provider(name) for name in ("a", "b")]
    down = lambda provider: provider.refuse(_OUTAGE_S)  # noqa: E731
    while_down, after, _ = await _outage(world, down, lambda: None, providers, 20)
    quick = Tally(one for one in while_down.asked if one.outcome != OK)
    ended = while_down.asked[0].at_s + _OUTAGE_S
    first_ok = min(
        (one.at_s + one.took_s for one in (*while_down.asked, *after.asked) if one.outcome == OK), default=1e9
    )
    late = Tally(one for one in after.asked if one.at_s - after.asked[0].at_s > 2)
    return [
        none("without a 502 or 503", quick.failed("502", "503"), quick.errors()),
        at_most("median until the error", quick.percentile_ms(50), 1000, "ms"),
        at_most("first answer after their return", first_ok - ended, 1.5, "s"),
        none(f"2 s after the end: failed of {len(late.asked)}", late.failed(), late.errors()),
    ]


@case(
    "flapping",
    "an endpoint that is there for a second and away for a second, for 20 s, beside one that is well",
    "no request fails; the one that comes and goes gets little",
)
async def flapping(world: World) -> list[Figure]:
    unsteady, well = await world.provider("unsteady"), await world.provider()
    _, asker = await world.proxy(config(model(unsteady), model(well)))

    async def flap() -> None:
        for _ in range(_FLAPS):
            unsteady.refuse(1)
            await asyncio.sleep(2)

    flaps = asyncio.create_task(flap())
    tally = await asker.offer(60, flaps.done)
    share = tally.by()["unsteady"] / len(tally.asked)
    return [
        none(f"failed of {len(tally.asked)}", tally.failed(), tally.errors()),
        at_most("answered by the one that comes and goes", share * 100, 30, "%"),
    ]


@case(
    "401",
    "one of two endpoints refuses the key that it is called with, and quotes it",
    "it is called once and rests for 5 minutes; the other serves; a client sees a 401 or the key never",
)
async def key_refused(world: World) -> list[Figure]:
    quoting = {"error": {"message": f"Incorrect API key provided: {PROVIDER_KEY}", "code": "invalid_api_key"}}
    action = {"kind": "status", "status": 401, "body": quoting}
    sick, well = await world.failing(action), await world.provider()
    alone = await world.failing(action, "alone")
    other_key = {"params": {"api_key": f"{PROVIDER_KEY}-2"}}
    models = (
        model(sick, 3),
        model(well, **other_key),
        model(alone, group="alone", params={"api_key": PROVIDER_KEY + "-3"}),
    )
    replica, asker = await world.proxy(config(*models))
    tally = await asker.many(200)
    told = await world.asker(replica, group="alone").ask()
    return [
        none("failed of 200", tally.failed(), tally.errors()),
        exactly("calls with the refused key", sick.counts().received, 1),
        exactly("without another endpoint: status", told.status, 502),
        none("answers with the key", int(PROVIDER_KEY.encode() in told.body)),
    ]


@case(
    "keep-alive-race",
    "an endpoint closes kept connections 0 to 5 ms after each reply without saying so",
    "no request fails: one that met a closing connection is sent once more on a new one",
)
async def keep_alive_race(world: World) -> list[Figure]:
    sick = await world.provider()
    rules = [{"every": 6, "skip": delay, "action": {"kind": "early_close_idle", "ms": delay}} for delay in range(6)]
    sick.set_faults(rules)
    _, asker = await world.proxy(config(model(sick), num_retries=0))
    tally = await asker.many(3000, at_once=8)
    return [none("failed of 3,000", tally.failed(), tally.errors())]
