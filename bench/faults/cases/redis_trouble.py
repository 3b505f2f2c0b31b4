"""Redis dies, freezes, is full, locked, slow, or forgets; requests are served all the same."""

import asyncio
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.faults.asking import Asker, Tally
from bench.faults.case import Figure, at_least, at_most, between, cases_of, exactly, none
from bench.faults.general import REDIS_PASSWORD
from bench.faults.inside import look
from bench.faults.proxy import Replica
from bench.faults.world import World, config, model
from tests.redis_server import RedisServer

case = cases_of("Redis")

_RATE = 50.0
_BEFORE_S = 1.0
_AFTER_S = 1.0
_BACK_S = 20.0
SLOWEST_S = 2.0
"""On a machine that everything shares; an operation has 0.1 s, and Redis is left alone after a few."""


async def ask_mixed(asker: Asker, until: Callable[[], bool]) -> Tally:
    """A steady mix. What is cached already is one request, whole; so the others are."""
    return await asker.offer(_RATE, until, lambda number: {**_mixed(number), "stream": False})


def _mixed(number: int) -> Mapping[str, Any]:
    """In turn: a request that is cached already, one that is new to the cache, one that may not be cached."""
    return ({"temperature": 0, "number": -1}, {"temperature": 0, "seed": number}, {"temperature": 1})[number % 3]


async def uses_redis(replica: Replica) -> bool:
    """Does the worker that answers use it?"""
    stores = (await replica.status())["stores"]
    return bool(stores["endpoint_state"]["state"] == "ok" and stores["cache"]["store"]["state"] == "ok")


def lost(replica: Replica) -> int:
    """How often it was said that Redis is not used, or not written."""
    return len(replica.log("store unavailable")) + len(replica.log("store takes no writes"))


async def troubled(
    world: World,
    begin: Callable[[RedisServer], object],
    end: Callable[[RedisServer], object] = lambda _: None,
    during_s: float = 4.0,
    options: tuple[str, ...] = (),
    lines: tuple[int, int] = (1, 1),
) -> list[Figure]:
    """50 requests a second before, while and after; `lines`: how often the log may say that it lost something."""
    server, well = await world.redis(*options), await world.provider()
    replica, asker = await world.proxy(config(model(well), redis_url=server.url, cache=True))
    over = asyncio.Event()
    asking = asyncio.create_task(ask_mixed(asker, over.is_set))
    await asyncio.sleep(_BEFORE_S)
    await asyncio.to_thread(begin, server)
    await asyncio.sleep(during_s)
    await asyncio.to_thread(end, server)
    ended = time.monotonic()
    back_s = await back(replica, ended)
    await asyncio.sleep(_AFTER_S)
    over.set()
    tally = await asking
    last = [one.headers.get("x-llmproxy-cache") for one in tally.asked[-12:]]
    (inside,) = (await look(replica, frozenset([server.port]))).values()
    return [
        none(f"failed of {len(tally.asked)}", tally.failed(), tally.errors()),
        at_most("slowest", tally.slowest_s(), SLOWEST_S, "s"),
        at_most("in use again after", back_s, 5.0, "s"),
        at_least("hits of the last 12", last.count("hit"), 2),
        between(lines[0], "log lines about it", lost(replica), lines[1]),
        at_most("connections to it", inside.to_redis, 33),
    ]


async def back(replica: Replica, since: float) -> float:
    """Wait until it uses Redis; the seconds since then."""
    while not await uses_redis(replica):
        if time.monotonic() - since > _BACK_S:
            break
        await asyncio.sleep(0.05)
    return time.monotonic() - since


@case(
    "redis-killed",
    "`kill -9` of Redis under 50 requests a second, for 4 s",
    "no request fails; one log line; used again when it is there",
)
async def killed(world: World) -> list[Figure]:
    return await troubled(world, lambda server: server.kill(), lambda server: server.start())


@case(
    "redis-frozen",
    "SIGSTOP of Redis for 10 s, then SIGCONT",
    "no request fails, none waits for it longer than its time limits",
)
async def frozen(world: World) -> list[Figure]:
    return await troubled(world, lambda server: server.freeze(), lambda server: server.thaw(), during_s=10)


def _restart(server: RedisServer) -> None:
    server.kill()
    server.start()


@case("redis-restarted", "Redis is restarted, empty, three times", "no request fails on a stale connection")
async def restarted(world: World) -> list[Figure]:
    def thrice(server: RedisServer) -> None:
        for _ in range(3):
            _restart(server)
            time.sleep(0.7)

    return await troubled(world, thrice, during_s=1, lines=(0, 3))


@case(
    "redis-flushed",
    "FLUSHALL and SCRIPT FLUSH, ten times",
    "no request fails: what is gone is filled again",
)
async def flushed(world: World) -> list[Figure]:
    def often(server: RedisServer) -> None:
        for _ in range(10):
            server.command("FLUSHALL")
            server.command("SCRIPT", "FLUSH")
            time.sleep(0.2)

    return await troubled(world, often, during_s=1, lines=(0, 1))


@case("redis-full", "Redis is full (OOM)", "no request fails; what is there is read, nothing is written; one log line")
async def full(world: World) -> list[Figure]:
    def fill(server: RedisServer) -> None:
        server.command("SET", "filler", "x" * (2 << 20))
        server.command("CONFIG", "SET", "maxmemory", "1mb")

    def empty(server: RedisServer) -> None:
        server.command("CONFIG", "SET", "maxmemory", "0")
        server.command("DEL", "filler")

    return await troubled(world, fill, empty)


@case(
    "redis-misconf",
    "Redis cannot save to disk (MISCONF)",
    "no request fails; what is there is read, nothing is written; one log line",
)
async def misconf(world: World) -> list[Figure]:
    folders = []

    def begin(server: RedisServer) -> None:
        told = server.command("CONFIG", "GET", "dir")
        folders.append(Path((told[b"dir"] if isinstance(told, dict) else told[1]).decode()))
        shutil.rmtree(folders[0])
        server.command("CONFIG", "SET", "save", "1 1")
        server.command("SET", "filler", "x")
        server.command("BGSAVE")

    def end(server: RedisServer) -> None:
        server.command("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
        server.command("CONFIG", "SET", "save", "")
        folders[0].mkdir()

    return await troubled(world, begin, end, during_s=6)


@case(
    "redis-read-only",
    "Redis becomes a replica (READONLY), then a master again",
    "no request fails; it is written again soon",
)
async def read_only(world: World) -> list[Figure]:
    return await troubled(
        world,
        lambda server: server.command("REPLICAOF", "127.0.0.1", "1"),
        lambda server: server.command("REPLICAOF", "NO", "ONE"),
    )


@case(
    "redis-password",
    "a wrong password at the start; later a password that is set while it serves",
    "it starts and serves without; one log line each time, which says what is wrong and not the password",
)
async def password(world: World) -> list[Figure]:
    server, well = await world.redis("requirepass right-password"), await world.provider()
    server.password = "right-password"  # noqa: S105 - nobody's
    general = {"redis_host": "127.0.0.1", "redis_port": server.port, "redis_password": REDIS_PASSWORD}
    replica, asker = await world.proxy(config(model(well), **general, cache=True))
    tally = await asker.many(200, at_once=4)
    await asyncio.sleep(1)
    lines = replica.log("store unavailable")

    def lock(other: RedisServer) -> None:
        other.command("CONFIG", "SET", "requirepass", REDIS_PASSWORD)
        other.password = REDIS_PASSWORD
        other.command("CLIENT", "KILL", "TYPE", "normal")

    def unlock(other: RedisServer) -> None:
        other.command("CONFIG", "SET", "requirepass", "")
        other.password = None

    return [
        none("wrong at the start: failed of 200", tally.failed(), tally.errors()),
        exactly("wrong at the start: log lines", len(lines), 1, str(lines)[:300]),
        exactly("that speak of the password", sum("password" in line["reason"] for line in lines), len(lines)),
        *await troubled(world, lock, unlock),
    ]
