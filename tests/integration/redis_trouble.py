"""What can go wrong with a Redis, and a proxy under steady traffic while it does: for the tests, and to be measured."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import aiohttp

from tests.integration.harness import Proxy
from tests.redis_server import RedisServer

RATE = 50
"""Requests a second."""

PASSWORD = "sk-canary-redis-password"
_FILLER_KEY = "filler"


class Trouble(NamedTuple):
    """One way for a Redis to fail."""

    name: str
    begin: Callable[[RedisServer], None]
    end: Callable[[RedisServer], None]
    noticed: bool | None = True
    """Must the proxy say that it lost something? What passes at once is not worth a line; None = that depends on how
    long it takes."""


class Answer(NamedTuple):
    """One request: when it was sent, in seconds since the trouble began, how long it took, and what came of it."""

    at_s: float
    took_s: float
    status: int
    cache: str


class Outcome(NamedTuple):
    """What the clients saw, and how long after the trouble's end the proxy used Redis again (seconds)."""

    answers: list[Answer]
    recovered_s: float


def _restart(server: RedisServer) -> None:
    server.kill()
    server.start()


def _flush(server: RedisServer) -> None:
    server.command("FLUSHALL")
    server.command("SCRIPT", "FLUSH")


def _fill(server: RedisServer) -> None:
    server.command("SET", _FILLER_KEY, "x" * (2 << 20))
    server.command("CONFIG", "SET", "maxmemory", "1mb")


def _empty(server: RedisServer) -> None:
    server.command("CONFIG", "SET", "maxmemory", "0")
    server.command("DEL", _FILLER_KEY)


def _lock(server: RedisServer) -> None:
    server.command("CONFIG", "SET", "requirepass", PASSWORD)
    server.password = PASSWORD
    server.command("CLIENT", "KILL", "TYPE", "normal")


def _unlock(server: RedisServer) -> None:
    server.command("CONFIG", "SET", "requirepass", "")
    server.password = None


def _crowd(server: RedisServer) -> None:
    server.command("CONFIG", "SET", "maxclients", "1")
    server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


TROUBLES = (
    Trouble("killed", lambda server: server.kill(), lambda server: server.start()),
    Trouble("frozen", lambda server: server.freeze(), lambda server: server.thaw()),
    Trouble("restarted", _restart, lambda _: None, noticed=None),
    Trouble("flushed", _flush, lambda _: None, noticed=False),
    Trouble("full", _fill, _empty),
    Trouble(
        "read-only",
        lambda server: server.command("REPLICAOF", "127.0.0.1", "1"),
        lambda server: server.command("REPLICAOF", "NO", "ONE"),
    ),
    Trouble("wrong password", _lock, _unlock),
    Trouble("paused", lambda server: server.command("CLIENT", "PAUSE", "1500"), lambda _: None),
    Trouble(
        "connections cut",
        lambda server: server.command("CLIENT", "KILL", "TYPE", "normal"),
        lambda _: None,
        noticed=False,
    ),
)


async def go_through(proxy: Proxy, server: RedisServer, trouble: Trouble, before_s: float, during_s: float) -> Outcome:
    """Offer `RATE` requests a second before, during and after the trouble, until Redis is in use again."""
    answers: list[Answer] = []
    tasks: list[asyncio.Task[None]] = []
    began_at = time.perf_counter() + before_s
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        offering = asyncio.ensure_future(_offer(http, proxy, began_at, answers, tasks))
        await asyncio.sleep(max(0.0, began_at - time.perf_counter()))
        await asyncio.to_thread(trouble.begin, server)
        await asyncio.sleep(during_s)
        await asyncio.to_thread(trouble.end, server)
        ended = time.perf_counter()
        async with asyncio.timeout(30):
            while not await _uses_redis(http, proxy):
                await asyncio.sleep(0.02)
        recovered_s = time.perf_counter() - ended
        await asyncio.sleep(0.5)
        offering.cancel()
        await asyncio.gather(*tasks)
    return Outcome(answers, recovered_s)


async def _offer(
    http: aiohttp.ClientSession, proxy: Proxy, zero: float, answers: list[Answer], tasks: list[asyncio.Task[None]]
) -> None:
    began = time.perf_counter()
    number = 0
    while True:
        await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
        tasks.append(asyncio.create_task(_ask(http, proxy, zero, number, answers)))
        number += 1


async def _ask(http: aiohttp.ClientSession, proxy: Proxy, zero: float, number: int, answers: list[Answer]) -> None:
    """In turn: one that is cached already, one that is new to the cache, one that may not be cached."""
    content: dict[str, Any] = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}]}
    content |= ({"temperature": 0}, {"temperature": 0, "seed": number}, {"temperature": 1})[number % 3]
    began = time.perf_counter()
    try:
        async with http.post(f"{proxy.url}/v1/chat/completions", json=content) as reply:
            await reply.read()
            status, cache = reply.status, reply.headers.get("x-llmproxy-cache", "")
    except aiohttp.ClientError:
        status, cache = 0, ""
    answers.append(Answer(began - zero, time.perf_counter() - began, status, cache))


async def _uses_redis(http: aiohttp.ClientSession, proxy: Proxy) -> bool:
    async with http.get(f"{proxy.url}/status") as reply:
        stores = (await reply.json())["stores"]
    return bool(stores["endpoint_state"]["state"] == "ok" and stores["cache"]["store"]["state"] == "ok")
