"""The general checks: what must be so after every case, whatever was done to the proxy."""

import asyncio
import json
import time
from collections.abc import Iterable, Mapping

from bench.faults.asking import PROMPT
from bench.faults.inside import Inside, look
from bench.faults.proxy import CLIENT_KEY, Replica
from tests.redis_server import RedisServer

PROVIDER_KEY = "sk-canary-provider-key"
REDIS_PASSWORD = "sk-canary-redis-password"  # noqa: S105 - nobody's
CANARIES = (PROVIDER_KEY, CLIENT_KEY, REDIS_PASSWORD, PROMPT)
"""What may be seen in nothing that the proxy says or keeps."""

REST_S = 15.0
"""Within which nothing may be left of a case."""

MORE_FILES = 3
MOST_REDIS_CONNECTIONS = 33
"""The pool of a worker and the background's own connection (`adapters.stores.redis`)."""

_PAGES = ("/status", "/metrics", "/health", "/health/ready", "/v1/models", "/")


def leftovers(before: Mapping[int, Inside], now: Mapping[int, Inside]) -> list[str]:
    """Sentences about what is left in workers after a case; none = nothing is. A worker that was not there before is
    held against those that were."""
    if not now:
        return ["no worker answers"]
    left = []
    # One that is started later inherits some of the files that its parent has for those before.
    most_files = max(inside.files for inside in before.values()) + MORE_FILES
    for pid, inside in now.items():
        base = before.get(pid) or next(iter(before.values()))
        counts = {
            "requests in flight": inside.in_flight,
            "leases": inside.leases,
            "waiting requests": inside.waiting,
            "WebSockets": inside.sockets,
            "bytes held": inside.held_bytes,
            "connections of clients": inside.clients,
            "connections lent by the pool": inside.pool_lent,
            "connections to providers that the pool does not know": max(0, inside.to_providers - inside.pool_idle),
            **{f"tasks {what}": max(0, count - base.tasks.get(what, 0)) for what, count in inside.tasks.items()},
            "files": max(0, inside.files - most_files),
            "connections to Redis above its pool": max(0, inside.to_redis - MOST_REDIS_CONNECTIONS),
        }
        left += [f"{count} {what}" for what, count in counts.items() if count]
    return left


async def rest(
    replica: Replica, before: Mapping[int, Inside], redis_ports: frozenset[int] = frozenset(), within_s: float = REST_S
) -> list[str]:
    """Wait until nothing is left; what is left all the same."""
    deadline = time.monotonic() + within_s
    while True:
        left = leftovers(before, await look(replica, redis_ports))
        if not left or time.monotonic() > deadline:
            return left
        await asyncio.sleep(0.2)


async def canaries_in(
    replica: Replica, shown: Iterable[bytes], redis: Iterable[RedisServer] = (), allowed: Iterable[str] = ()
) -> list[str]:
    """Where a key or a prompt can be seen: log, pages, metrics, errors that clients were shown, values in Redis."""
    places = {"its log": replica.said.encode(), "errors": b"\n".join(shown)}
    if replica.is_running:
        for page in _PAGES:
            places[page] = (await replica.get(page)).body
    for server in redis:
        places["Redis"] = b"\n".join(await asyncio.to_thread(_values, server))
    found = set(CANARIES) - set(allowed)
    return [
        f"{canary} in {place}" for place, text in places.items() for canary in sorted(found) if canary.encode() in text
    ]


def _values(server: RedisServer) -> list[bytes]:
    """All names and values, whatever their kind."""
    found: list[bytes] = []
    for name in server.command("KEYS", "*"):
        kind = server.command("TYPE", name)
        words = {b"string": ("GET", name), b"hash": ("HGETALL", name), b"list": ("LRANGE", name, 0, -1)}
        value = server.command(*words.get(kind, ("DUMP", name)))
        parts = [each for pair in value.items() for each in pair] if isinstance(value, dict) else value
        found += [name, *(parts if isinstance(parts, list) else [parts])]
    return [each if isinstance(each, bytes) else str(each).encode() for each in found]


async def told_by_health(replica: Replica) -> str:
    """What is wrong with `/health`: its status, its code and the states of endpoints on `/status` say the same. Empty =
    nothing is."""
    for _ in range(5):  # a cooldown may end between the two pages
        answer = await replica.get("/health")
        told = json.loads(answer.body)
        resting = {
            group["model_group"]: [
                endpoint["state"] == "cooling" or endpoint["rate_limited_s"] > 0 for endpoint in group["endpoints"]
            ]
            for group in told.get("groups", ())
        }
        states = {"unavailable" if all(each) else "degraded" if any(each) else "ok" for each in resting.values()}
        right = "unavailable" if states == {"unavailable"} else "ok" if states == {"ok"} else "degraded"
        if told["status"] == right and answer.status == (503 if right == "unavailable" else 200):
            return ""
        await asyncio.sleep(0.1)
    return f"/health says {answer.status} {told['status']} where endpoints are {resting}"
