"""Everything that a run needs, and how it is made to fail: three sites of simulated providers, a real Redis, two
replicas of two workers each, and nginx with deploy/nginx.conf before them."""

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path
from typing import Any

from bench.chaos.controls import DOMAIN
from bench.chaos.faults import (
    CLOCK,
    DNS,
    LASTING_REDIS_FAULTS,
    REDIS,
    REFUSED,
    RELOAD_REFUSED,
    RELOADED,
    REPLICA_KILLED,
    REPLICAS,
    SITE_FAULTS,
    SITES,
    UNAUTHORIZED,
    WORKER_KILLED,
    Fault,
    key_of,
)
from bench.chaos.history import History
from bench.chaos.plants import NO_FAILOVER
from bench.chaos.questions import CLIENT_KEY, LONG, LONG_WORDS, WORDS
from bench.chaos.replicas import Replica
from bench.servers import front
from bench.servers.children import Children
from simulator import ProviderSettings, SimulatedProvider
from tests.redis_server import RedisServer, private_redis

NAMESPACE = "chaos"
_TOKENS_PER_SECOND = 120.0
_RELOADS = 5
_CLOCK_STEPS_S = (3600.0, -3600.0, 90.0, -90.0, 0.0)


class Stage:
    """`async with`; then `play` each fault."""

    def __init__(self, folder: Path, children: Children, seed: int, planted: str | None) -> None:
        self.history = History()
        self.wrong: list[str] = []
        """What the run itself saw that must not be, such as a reload with the wrong verdict."""
        self.replicas = {name: Replica(name, children, folder, planted) for name in REPLICAS}
        self.redis: RedisServer = private_redis()
        self.port = 0
        """Where clients ask: nginx's."""
        self.providers: dict[str, SimulatedProvider] = {}
        self._folder, self._children, self._planted = folder, children, planted
        self._rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._keys = dict.fromkeys(SITES, 0)
        self._generation = 0
        self._stack = AsyncExitStack()
        self._reloading = asyncio.Lock()

    async def __aenter__(self) -> "Stage":
        for site in SITES:
            for name, words in ((site, WORDS), (site + LONG, LONG_WORDS)):
                pace = None if words == LONG_WORDS else _TOKENS_PER_SECOND
                settings = ProviderSettings(name=name, answer_tokens=words, tokens_per_second=pace, latency_s=0.01)
                self.providers[name] = await self._stack.enter_async_context(SimulatedProvider(settings))
        self._stack.callback(self.redis.close)
        await asyncio.to_thread(self.redis.start)
        for replica in self.replicas.values():
            replica.write(self._settings())
        await asyncio.gather(*(replica.start() for replica in self.replicas.values()))
        ports = [replica.port for replica in self.replicas.values()]
        _, self.port = await asyncio.to_thread(front.start, self._children, self._folder, ports)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def play(self, faults: list[Fault]) -> None:
        """All of them, each when it is due; those of the replicas one after the other."""
        one_by_one = asyncio.Lock()

        async def one(fault: Fault) -> None:
            await asyncio.sleep(max(0.0, fault.at_s - self.history.now()))
            async with one_by_one if fault.target in REPLICAS else nullcontext():
                await self._strike(fault)

        await asyncio.gather(*map(one, faults))

    async def _strike(self, fault: Fault) -> None:
        stretch = self.history.begun(fault)
        if fault.target in SITES:
            await self._of_site(fault)
        elif fault.target == REDIS:
            await self._of_redis(fault)
        else:
            await self._of_replica(self.replicas[fault.target], fault.kind)
        stretch.until_s = self.history.now()

    async def _of_site(self, fault: Fault) -> None:
        site = fault.target
        providers = [self.providers[site], self.providers[site + LONG]]
        if fault.kind == DNS:
            self._resolve(site, gone=True)
        elif fault.kind == REFUSED:
            for provider in providers:
                provider.refuse(fault.seconds)
        else:
            for provider in providers:
                provider.set_faults([self._rule(fault, provider)])
        await asyncio.sleep(fault.seconds)
        self._resolve(site, gone=False)
        for provider in providers:
            provider.set_faults([])
        if fault.kind == UNAUTHORIZED:  # whoever operates it puts a new key in: else it would rest for minutes
            self._keys[site] += 1
            for replica in self.replicas.values():
                await self._reload(replica, is_refused=False)

    def _rule(self, fault: Fault, provider: SimulatedProvider) -> dict[str, Any]:
        action = dict(SITE_FAULTS[fault.kind].action or {})
        for measure in ("bytes_per_second", "bytes"):  # long answers do not take long either
            if measure in action:
                action[measure] *= provider.settings.answer_tokens // WORDS
        return {"action": action, "probability": fault.share}

    def _resolve(self, site: str, *, gone: bool) -> None:
        for replica in self.replicas.values():
            replica.controls.set_gone(site, gone=gone)

    async def _of_redis(self, fault: Fault) -> None:
        begin: dict[str, Callable[[], Any]] = {
            "killed": self.redis.kill,
            "frozen": self.redis.freeze,
            "restarted": self.redis.start,
            "flushed": lambda: self.redis.command("FLUSHALL"),
            "connections cut": lambda: self.redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"),
        }
        await asyncio.to_thread(begin[fault.kind])
        if fault.kind in LASTING_REDIS_FAULTS:
            await asyncio.sleep(fault.seconds)
            await asyncio.to_thread(self.redis.start if fault.kind == "killed" else self.redis.thaw)

    async def _of_replica(self, replica: Replica, kind: str) -> None:
        if kind == CLOCK:
            replica.controls.clock_s = self._rng.choice(_CLOCK_STEPS_S)
        elif kind == WORKER_KILLED:
            replica.kill_a_worker(self._rng)
        elif kind in (RELOADED, RELOAD_REFUSED):
            await self._reload(replica, is_refused=kind == RELOAD_REFUSED)
        else:
            async with self._reloading:
                await (replica.kill() if kind == REPLICA_KILLED else replica.restart())

    async def _reload(self, replica: Replica, *, is_refused: bool) -> None:
        async with self._reloading:
            good = self._settings()
            replica.write(good | {"general_settings": {"cooldown_time": "a while"}} if is_refused else good)
            code, said = await replica.reload()
            for _ in range(_RELOADS):
                if code != 1:
                    break
                await asyncio.sleep(1.0)  # a worker was being replaced: the proxy says that it may work later
                code, said = await replica.reload()
            if is_refused:
                replica.write(good)
            if code != (2 if is_refused else 0):
                self.wrong.append(f"{self.history.now():.1f} s: a reload of {replica.name} ended with {code}: {said}")

    def _settings(self) -> dict[str, Any]:
        """Other weights each time, and the keys of now."""
        self._generation += 1
        return {
            "general_settings": {
                "workers": 2,
                "num_retries": 0 if self._planted == NO_FAILOVER else 3,
                "cooldown_time": 2,
                "max_wait": 8,
                "connect_timeout": 1,
                "first_byte_timeout": 2,
                "stream_idle_timeout": 2,
                "request_timeout": 30,
                "drain_timeout": 20,
                "redis_url": self.redis.url,
                "cache": True,
                "cache_params": {"ttl": 60, "namespace": NAMESPACE},
                "api_keys": [CLIENT_KEY],
                "metrics": "keys",
                "plain_http_hosts": [f"*{DOMAIN}"],
                "log_format": "json",
            },
            "model_groups": [
                {"model_group": group, "models": [self._model(group, site) for site in SITES]}
                for group in ("chat", "long")
            ],
        }

    def _model(self, group: str, site: str) -> dict[str, Any]:
        provider = self.providers[site if group == "chat" else site + LONG]
        return {
            "id": f"{group}-{site}",
            "model": group,
            "weight": 1 + (self._generation + SITES.index(site)) % 3,
            "params": {
                "api_key": key_of(site, self._keys[site]),
                "base_url": f"http://{site}{DOMAIN}:{provider.port}/v1",
            },
        }
