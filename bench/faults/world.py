"""`World`: what a case has at hand. All of it ends with the case, after the general checks."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from bench.faults import general
from bench.faults.asking import GROUP, Asker
from bench.faults.case import Figure, none
from bench.faults.inside import Inside, look, open_files
from bench.faults.proxy import Replica
from bench.faults.slow_way import slow_way
from simulator import ProviderSettings, SimulatedProvider
from tests.contracts.scripted_server import Script, ScriptedServer
from tests.redis_server import RedisServer, private_redis

SETTINGS: dict[str, Any] = {
    "connect_timeout": 0.5,
    "first_byte_timeout": 2,
    "stream_idle_timeout": 2,
    "request_timeout": 10,
    "cooldown_time": 1,
    "num_retries": 2,
    "max_wait": 2,
    "drain_timeout": 3,
    "log_format": "json",
}
"""Settings under which a minute sees what an hour would."""

Place = SimulatedProvider | ScriptedServer | str


def model(place: Place, weight: int = 1, group: str = GROUP, **changes: Any) -> dict[str, Any]:
    """An endpoint of the configuration. Its model is called like its group, so that bodies arrive as they were sent."""
    if isinstance(place, SimulatedProvider):
        place = f"{place.url}/v1"
    elif isinstance(place, ScriptedServer):
        place = place.url("/v1")
    params = {"api_key": general.PROVIDER_KEY, "base_url": place, **changes.pop("params", {})}
    return {"model": group, "weight": weight, "params": params, **changes}


def config(*models: Mapping[str, Any], **settings: Any) -> dict[str, Any]:
    """A configuration; models of one name are a group."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for each in models:
        groups.setdefault(each["model"], []).append(each)
    return {
        "model_groups": [{"model_group": name, "models": list(each)} for name, each in groups.items()],
        "general_settings": {**SETTINGS, **settings},
    }


async def until(true: Callable[[], bool], seconds: float = 10.0) -> float:
    """Wait until it is, or so long; the seconds that it took."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > seconds:
            break
        await asyncio.sleep(0.01)
    return time.monotonic() - began


class World:
    """One case's surroundings; `async with`."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self.replicas: dict[Replica, Mapping[int, Inside]] = {}
        """Those whose general checks are made, with what was in them before."""
        self._parents_files: dict[Replica, int] = {}
        self.askers: list[Asker] = []
        self.providers: list[SimulatedProvider] = []
        self.redis_servers: list[RedisServer] = []
        self.redis_ports: set[int] = set()
        """Where Redis is reached."""
        self.allowed_canaries: set[str] = set()
        self.worst_lag_ms = 0.0

    async def __aenter__(self) -> "World":
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="llmproxy-faults-")))
        return self

    async def __aexit__(self, *_: object) -> None:
        for asker in self.askers:
            asker.close()
        for replica in self.replicas:
            replica.kill()
            if replica.process is not None:
                await replica.ended()
        await self._stack.aclose()

    # What stands behind the proxy.

    async def provider(self, name: str = "well", **settings: Any) -> SimulatedProvider:
        """A simulated provider."""
        provider = await self._stack.enter_async_context(SimulatedProvider(ProviderSettings(name=name, **settings)))
        self.providers.append(provider)
        return provider

    async def failing(self, action: Mapping[str, Any], name: str = "sick", **rule: Any) -> SimulatedProvider:
        """One to which a fault happens, at every request unless the rule says otherwise."""
        provider = await self.provider(name)
        provider.set_faults([{"action": dict(action), **rule}])
        return provider

    async def scripted(self, *scripts: Script) -> ScriptedServer:
        """A server that does what scripts say, byte by byte."""
        return await self._stack.enter_async_context(ScriptedServer(*scripts))

    async def redis(self, *options: str) -> RedisServer:
        """A Redis of the case's own, started."""
        server = private_redis(*options)
        self._stack.callback(server.close)
        await asyncio.to_thread(server.start)
        self.redis_servers.append(server)
        self.redis_ports.add(server.port)
        return server

    def slow_way(self, server: RedisServer, delay_s: float) -> int:
        """The port of a way to it that delays every answer by so long."""
        port = self._stack.enter_context(slow_way(server.port, delay_s))
        self.redis_ports.add(port)
        return port

    async def entered(self, thing: Any) -> Any:
        """Whatever else is to end with the case."""
        return await self._stack.enter_async_context(thing)

    # The proxy, and those who ask it.

    async def proxy(
        self,
        settings: Mapping[str, Any],
        environ: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> tuple[Replica, Asker]:
        """A proxy that serves, and a client of it."""
        replica = Replica(self.folder, settings, environ, before)
        self.replicas[replica] = {}
        await replica.start()
        self.replicas[replica] = await look(replica, frozenset(self.redis_ports))
        self._parents_files[replica] = open_files(replica.pid)
        return replica, self.asker(replica)

    def asker(self, replica: Replica, **options: Any) -> Asker:
        """One more client: `group` and `headers` as `Asker` takes them."""
        asker = Asker(replica.port, **options)
        self.askers.append(asker)
        return asker

    # After the case.

    async def general_checks(self) -> list[Figure]:
        """What must be so after every case; those of proxies that run, and of the canaries also of the others."""
        for asker in self.askers:
            asker.close()
        shown = [error for asker in self.askers for error in asker.shown]
        seen: list[str] = []
        left: list[str] = []
        wrong: list[str] = []
        for replica, before in self.replicas.items():
            if replica.is_running:
                left += await general.rest(replica, before, frozenset(self.redis_ports))
                more = open_files(replica.pid) - self._parents_files[replica] - general.MORE_FILES
                left += [f"{more} files of the parent"] * (more > 0)
                wrong += filter(None, [await general.told_by_health(replica)])
                inside = await look(replica, frozenset(self.redis_ports))
                self.worst_lag_ms = max(self.worst_lag_ms, *(one.loop_lag_ms for one in inside.values()))
            seen += await general.canaries_in(replica, shown, self._answering_redis(), self.allowed_canaries)
            wrong += [f"the log has: {line}" for line in replica.log("internal error")[:1]]
            wrong += ["the log has a traceback"] * ("Traceback" in replica.said)
        return [
            none("left over", len(left), "; ".join(left)),
            none("canaries seen", len(seen), "; ".join(seen)),
            none("wrong in /health or log", len(wrong), "; ".join(wrong)),
        ]

    def _answering_redis(self) -> list[RedisServer]:
        found = []
        for server in self.redis_servers:
            try:
                server.command("PING")
            except Exception:  # noqa: S112 - it was killed, frozen or locked by the case
                continue
            found.append(server)
        return found
