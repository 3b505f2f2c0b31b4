"""What must hold when all is over: nothing is left, the log is in order, and no canary got anywhere."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from bench.chaos.questions import CLIENT_KEY, PROMPT
from bench.chaos.replicas import Replica
from bench.chaos.stage import Stage
from bench.wire import Client

CANARIES = ("sk-chaos-canary", PROMPT)
_SHOWN = 200
_REST_S = 20.0
_HEADERS = {"authorization": f"Bearer {CLIENT_KEY}"}


async def look(stage: Stage, folder: Path) -> list[str]:
    """Sentences, none = all is well. Ends the replicas."""
    wrong = list(stage.wrong)
    for replica in stage.replicas.values():
        wrong += [each async for each in _of_replica(replica)]
    wrong += [f"a canary in Redis: {each}" for each in await asyncio.to_thread(_in_redis, stage.redis.url)]
    for replica in stage.replicas.values():
        await replica.stop()
        wrong += [f"{replica.name} ended with {code}" for code in replica.exit_codes if code != 0]
    return wrong + await asyncio.to_thread(_in_logs, folder)


async def _of_replica(replica: Replica) -> Any:
    """Asks it what it holds, and whether it is well."""
    client = Client(replica.port)
    held: dict[str, Any] = {"not asked": 1}
    for _ in range(int(_REST_S)):
        told = (await client.ask("GET", "/status", _HEADERS)).body
        status = json.loads(told)
        held = {endpoint["id"]: endpoint["in_flight"] for group in status["groups"] for endpoint in group["endpoints"]}
        held = {name: number for name, number in held.items() if number}
        if status["held"]["bytes"]:
            held["held bytes"] = status["held"]["bytes"]
        if not held:
            break
        await asyncio.sleep(1.0)
    if held:
        yield f"{replica.name} still has {held}"
    for path in ("/status", "/metrics", "/health"):
        reply = await client.ask("GET", path, _HEADERS)
        if reply.status != 200:
            yield f"{replica.name} answers {reply.status} to {path}: {reply.body[:_SHOWN]!r}"
        if canary := _canary(reply.body.decode("utf-8", "replace")):
            yield f"a canary in {path} of {replica.name}: {canary}"
    client.close()


def _in_redis(url: str) -> list[str]:
    """In keys and values, also in those of the cache: no answer repeats its prompt."""
    found = []
    with redis.Redis.from_url(url, socket_timeout=10) as client:
        for key in client.scan_iter(count=1000):
            kind = client.type(key)
            value: Any = client.hgetall(key) if kind == b"hash" else client.get(key) if kind == b"string" else kind
            if canary := _canary(f"{key!r} {value!r}"):
                found.append(canary)
    return found


def _in_logs(folder: Path) -> list[str]:
    return [each for path in sorted(folder.rglob("*.log")) for each in _in_log(path)]


def _in_log(path: Path) -> Iterator[str]:
    """Of a replica each line must be JSON, and none may speak of a fault of the proxy's own."""
    is_replica = "replica" in path.name
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if canary := _canary(line):
            yield f"a canary in {path.name}: {canary}"
        if not is_replica:
            continue
        try:
            event = json.loads(line)["event"]
        except (ValueError, LookupError, TypeError):
            yield f"no log line in {path.name}: {line[:_SHOWN]}"
        else:
            if event == "internal error":
                yield f"{path.name}: {line[:1000]}"


def _canary(text: str) -> str:
    """What is around the first one; empty = there is none."""
    for canary in CANARIES:
        at = text.find(canary)
        if at >= 0:
            return text[max(0, at - _SHOWN // 2) : at + _SHOWN // 2]
    return ""


def in_reply(body: bytes) -> str:
    """A canary in what a client was answered; empty = none."""
    return _canary(body.decode("utf-8", "replace")) if b"canary" in body else ""
