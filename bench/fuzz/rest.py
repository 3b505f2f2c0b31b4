"""What the proxy holds while nobody asks it anything, before and after."""

import asyncio
import time

from bench.servers.processes import family
from bench.soak.probe import REST_PATH
from bench.soak.proxy import SoakedProxy
from bench.soak.samples import read_connections, read_processes

Rest = dict[str, float]

_REST_S = 75.0
"""At most: idle connections to a provider are closed within a minute."""
_CALM_S = 2.0

_ALLOWED = {
    "rss": 16e6,
    "live_malloc_without_cache": 4e6,
    **dict.fromkeys(("tasks", "fds", "client_connections", "upstream_connections", "pool_lent"), 0),
    **dict.fromkeys(("in_flight", "held_bytes", "sockets"), 0),
}
"""How much more there may be after than before."""


async def rest_of(proxy: SoakedProxy, provider_port: int) -> Rest:
    """Once all has ended and what is only remembered is forgotten."""
    proxy.let_go()
    until = time.monotonic() + _REST_S
    while time.monotonic() < until and read_connections(proxy.port, [provider_port])["upstream_connections"]:  # noqa: ASYNC110
        await asyncio.sleep(1)
    await asyncio.sleep(_CALM_S)
    await proxy.look(REST_PATH)
    told = await proxy.look(REST_PATH)
    proxy.let_go()
    await asyncio.sleep(_CALM_S)
    found = read_processes(family(proxy.pid)) | read_connections(proxy.port, [provider_port])
    found |= told["metrics"] | {"pool_lent": told["types"]["pool_lent"]}
    found["live_malloc_without_cache"] = found["live_malloc"] - found["cache_bytes"]
    return {name: found[name] for name in (*_ALLOWED, "live_malloc", "cache_bytes", "owners", "buckets")}


def grown(before: Rest, after: Rest) -> Rest:
    """By how much, where that is more than it may."""
    return {name: after[name] - before[name] for name, most in _ALLOWED.items() if after[name] - before[name] > most}
