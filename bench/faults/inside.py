"""`Inside`: what one worker holds at a moment, by its own word and the kernel's."""

import contextlib
import json
import socket
import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from bench.faults.proxy import ASKS, Replica
from bench.servers.processes import rss_bytes
from bench.soak.probe import CENSUS_PATH
from bench.wire import Client

_TRIES = 60
_ESTABLISHED = "01"


class Inside(Struct, frozen=True, kw_only=True):
    """One worker."""

    pid: int
    tasks: Mapping[str, int]
    """By what they run."""
    files: int
    """Open ones, but for sockets."""
    clients: int
    """Connections of clients, without the one that asks."""
    to_redis: int
    """Connections to Redis; in a cluster to the node that has most."""
    to_providers: int
    """All others that go out from here."""
    in_flight: int
    """Requests being answered."""
    leases: int
    """Attempts that hold an endpoint."""
    waiting: int
    """Requests that wait for a rate limit."""
    sockets: int
    """WebSockets."""
    held_bytes: int
    pool_lent: int
    """Connections to providers that are in use."""
    pool_idle: int
    loop_lag_ms: float
    """The worst since it was last asked."""
    rss: int
    """Resident memory in bytes."""


async def look(replica: Replica, redis_ports: frozenset[int] = frozenset()) -> dict[int, Inside]:
    """Each of its workers, by pid. Connections stay with one worker, so new ones are made until all have answered."""
    found: dict[int, Inside] = {}
    wanted = set(replica.workers())
    for _ in range(_TRIES):
        if wanted <= found.keys():
            break
        inside = await _one(replica, redis_ports)
        found[inside.pid] = inside
    return found


async def _one(replica: Replica, redis_ports: frozenset[int]) -> Inside:
    client = Client(replica.port)
    try:
        status = json.loads((await client.ask("GET", "/status", ASKS)).body)
        # Second, when the task that takes this very connection has ended.
        census = json.loads((await client.ask("GET", CENSUS_PATH, ASKS)).body)
        pid = int(census["metrics"]["pid"])
        ends = connections(pid)
    finally:
        client.close()
    metrics, types = census["metrics"], census["types"]
    ours = {replica.port}
    endpoints = [endpoint for group in status["groups"] for endpoint in group["endpoints"]]
    return Inside(
        pid=pid,
        tasks={name[len("task ") :]: int(count) for name, count in metrics.items() if name.startswith("task ")},
        files=open_files(pid),
        clients=sum(count for (here, _), count in ends.items() if here in ours) - 1,
        to_redis=max((_to(port, ends) for port in redis_ports), default=0),
        to_providers=sum(
            count for (here, there), count in ends.items() if here not in ours and there not in redis_ports
        ),
        in_flight=int(metrics["in_flight"]),
        leases=sum(int(endpoint["in_flight"]) for endpoint in endpoints),
        waiting=sum(int(group["waiting"]) for group in status["groups"]),
        sockets=int(metrics["sockets"]),
        held_bytes=int(metrics["held_bytes"]),
        pool_lent=int(types["pool_lent"]),
        pool_idle=int(types["pool_idle"]),
        loop_lag_ms=float(metrics["loop_lag_ms"]),
        rss=rss_bytes([pid]),
    )


def open_files(pid: int) -> int:
    """What the process has open, but for sockets."""
    return sum(not name.startswith("socket:") for name in _descriptors(pid))


def connections(pid: int) -> Mapping[tuple[int, int], int]:
    """Its established TCP connections, counted by the ports of this end and the other."""
    inodes = {name[len("socket:[") : -1] for name in _descriptors(pid) if name.startswith("socket:[")}
    found: Counter[tuple[int, int]] = Counter()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _ESTABLISHED and fields[9] in inodes:
                    found[_port(fields[1]), _port(fields[2])] += 1
    return found


def _to(port: int, ends: Mapping[tuple[int, int], int]) -> int:
    return sum(count for (_, there), count in ends.items() if there == port)


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _descriptors(pid: int) -> list[str]:
    names = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            names.append(str(entry.readlink()))
    return names


def reset_on_close(sock: socket.socket) -> None:
    """Close it with RST and not with FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
