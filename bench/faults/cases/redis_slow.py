"""Redis answers late, or something else than was put there."""

import time

from bench.faults.asking import OK
from bench.faults.case import Figure, at_least, at_most, cases_of, exactly, none
from bench.faults.cases.redis_trouble import SLOWEST_S, ask_mixed, lost, troubled
from bench.faults.inside import look
from bench.faults.world import World, config, model
from tests.redis_server import RedisServer

case = cases_of("Redis")


@case(
    "redis-paused",
    "CLIENT PAUSE 5000; all connections cut, ten times; 50 ms more to every answer",
    "no request fails; a cut connection costs none",
)
async def paused(world: World) -> list[Figure]:
    def pause_and_cut(server: RedisServer) -> None:
        server.command("CLIENT", "PAUSE", "5000")

    def cut(server: RedisServer) -> None:
        for _ in range(10):
            server.command("CLIENT", "KILL", "TYPE", "normal")
            time.sleep(0.1)

    first = await troubled(world, pause_and_cut, cut, during_s=6, lines=(1, 2))
    return [*first, *await _late(world, 0.05, expects_use=True)]


async def _late(world: World, delay_s: float, *, expects_use: bool) -> list[Figure]:
    """Redis behind a way that takes so long."""
    server, well = await world.redis(), await world.provider()
    way = world.slow_way(server, delay_s)
    replica, asker = await world.proxy(config(model(well), redis_url=f"redis://127.0.0.1:{way}/0", cache=True))
    until = time.monotonic() + 4
    tally = await ask_mixed(asker, lambda: time.monotonic() > until)
    hits = sum(one.headers.get("x-llmproxy-cache") == "hit" for one in tally.asked)
    name = f"{delay_s * 1000:.0f} ms: hits"
    return [
        none(f"{delay_s * 1000:.0f} ms: failed of {len(tally.asked)}", tally.failed(), tally.errors()),
        at_most(f"{delay_s * 1000:.0f} ms: slowest", tally.slowest_s(), SLOWEST_S, "s"),
        at_least(name, hits, 20) if expects_use else none(name, hits),
        at_most(f"{delay_s * 1000:.0f} ms: log lines about it", lost(replica), 1 if expects_use else 2),
    ]


@case(
    "redis-late",
    "150 ms more to every answer of Redis, which is more than an operation may take",
    "no request fails; Redis is left alone",
)
async def late(world: World) -> list[Figure]:
    return await _late(world, 0.15, expects_use=False)


@case(
    "redis-busy-pool",
    "400 cacheable requests at a time over its 32 connections, with 10 ms to every answer",
    "those that get no turn within 20 ms do without the cache, which is not held against Redis",
)
async def busy_pool(world: World) -> list[Figure]:
    server, well = await world.redis(), await world.provider()
    way = world.slow_way(server, 0.01)
    replica, asker = await world.proxy(config(model(well), redis_url=f"redis://127.0.0.1:{way}/0", cache=True))
    tally = await asker.many(2000, at_once=400, temperature=0, stream=False)
    (inside,) = (await look(replica, frozenset([server.port, way]))).values()
    lines = replica.log("store unavailable") + replica.log("store takes no writes")
    asker.close()
    return [
        none("failed of 2,000", tally.failed(), tally.errors()),
        at_most("connections to Redis", inside.to_redis, 33),
        none(
            "log lines that hold that against Redis",
            sum(line["reason"] != "timeout" for line in lines),
            str(lines),
        ),
    ]


@case(
    "redis-poisoned",
    "an entry of the cache under another's name, cut, made up, of another type",
    "each is a miss, and no client sees it",
)
async def poisoned(world: World) -> list[Figure]:
    server, well = await world.redis(), await world.provider()
    _, asker = await world.proxy(config(model(well), redis_url=server.url, cache=True))

    async def ask() -> list[str]:
        asked = [await asker.ask(number, temperature=0, stream=False) for number in (1, 2)]
        return [one.headers["x-llmproxy-cache"] if one.outcome == OK else one.outcome for one in asked]

    first = await ask()
    names = sorted(name for name in server.command("KEYS", "llmproxy:cache:*"))
    entries = [server.command("GET", name) for name in names]
    states = []
    for bad in ((entries[1], entries[0][:-1]), (b"\x80\x04\x95junk", b""), (entries[0] + b"x", bytes(len(entries[1])))):
        for name, value in zip(names, bad, strict=True):
            server.command("SET", name, value)
        states += await ask()
    for name in names:
        server.command("DEL", name)
        server.command("LPUSH", name, "x")
    states += await ask()
    return [
        exactly("entries", len(names), 2, str(first)),
        exactly("misses for 8 poisoned", states.count("miss"), 8, str(states)),
    ]
