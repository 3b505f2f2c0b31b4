"""The whole of it: traffic, a worker killed, traffic, and the comparison."""

import asyncio
import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

from msgspec import Struct

from adapters.http.exchange.exchange_report import CLIENT_CLOSED_REQUEST
from bench.counts.agreement import Told, counted, counters, differences, told, total
from bench.counts.traffic import KEY, LEFT, Providers, Traffic
from bench.wire import Client
from tests.integration.harness import ProxyProcess

_AT_ONCE = 24
_PATIENCE_S = 300.0
_LOOK_EVERY_S = 0.3
_LOOKS_AFTER_DEATH = 5
_AUTHORIZED = {"authorization": f"Bearer {KEY}"}


class Outcome(Struct, frozen=True):
    """What was seen."""

    asked: int
    left: int
    """Clients that did not wait."""
    stayed: Counter[str]
    """The others, by the status they got."""
    metrics: Told
    """At the end."""
    status: dict[str, Any]
    """What `GET /status` said then."""
    workers: list[int]
    """Their process ids then."""
    log: list[dict[str, Any]]
    """The lines of requests that count."""
    received: dict[str, int]
    """By provider: the requests that came."""
    differences: list[str]
    """Sentences; none = all agree."""


class Watch:
    """Scrapes again and again, and notes what falls."""

    def __init__(self, proxy: ProxyProcess, providers: Providers) -> None:
        self._proxy = proxy
        self._providers = providers
        self._last: Told = {}
        self.fell: list[str] = []

    async def look(self) -> Told:
        """On a connection of its own, so at any worker."""
        metrics = told(await ask(self._proxy, "/metrics"))
        for key, value in self._last.items():
            if metrics.get(key, 0.0) < value - 1e-9:
                self.fell.append(f"{' '.join(key)} fell from {value:g} to {metrics.get(key, 0.0):g}")
        self._last = counters(metrics)
        return metrics

    async def until_quiet(self) -> Told:
        """All that was asked is over and told, by both workers. Raises `TimeoutError`."""
        before: Told = {}
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                metrics = await self.look()
                under_way = total(metrics, "llmproxy_in_flight_requests")
                under_way += sum(provider.counts().in_flight for provider in self._providers.by_name.values())
                is_told = total(metrics, "llmproxy_requests_total") == len(counted(self._proxy.log()))
                is_still = all(before.get(key) == value for key, value in metrics.items() if key[0] in _STILL)
                if before and is_told and is_still and not under_way and total(metrics, "llmproxy_workers") == 2:
                    return metrics
                before = metrics
                await asyncio.sleep(_LOOK_EVERY_S)


_STILL = ("llmproxy_requests_total", "llmproxy_attempts_total")


async def ask(proxy: ProxyProcess, path: str) -> str:
    """The body of the answer."""
    client = Client(proxy.port)
    try:
        reply = await client.ask("GET", path, {**_AUTHORIZED, "accept": "*/*"})
    finally:
        client.close()
    if reply.status != 200:
        raise RuntimeError(f"{path} answered {reply.status}: {reply.body[:300]!r}")
    return reply.body.decode()


async def count_and_kill(folder: Path, requests: int, seed: int) -> Outcome:
    """Half of the requests, the death of one worker, the other half."""
    async with Providers() as providers:
        proxy = ProxyProcess(folder, providers.config())
        try:
            await proxy.start()
            watch, traffic = Watch(proxy, providers), Traffic(proxy.port, seed)
            await traffic.ask(requests // 2, _AT_ONCE)
            await watch.until_quiet()
            os.kill(proxy.worker_pids()[0], signal.SIGKILL)
            for _ in range(_LOOKS_AFTER_DEATH):
                await watch.look()
            await watch.until_quiet()
            await traffic.ask(requests - requests // 2, _AT_ONCE)
            metrics = await watch.until_quiet()
            status = json.loads(await ask(proxy, "/status"))
            counts = {name: provider.counts() for name, provider in providers.by_name.items()}
            log, workers = counted(proxy.log()), proxy.worker_pids()
        finally:
            await proxy.stop()
    found = [*watch.fell, *differences(metrics, log, counts), *_of_clients(traffic, log)]
    received = {name: it.received for name, it in counts.items()}
    return Outcome(requests, traffic.left, traffic.stayed, metrics, status, workers, log, received, found)


def _of_clients(traffic: Traffic, log: list[dict[str, Any]]) -> list[str]:
    """What clients saw that stayed, beside the lines of their requests."""
    answered = (line for line in log if line["group"] not in LEFT and line["status"] != CLIENT_CLOSED_REQUEST)
    lines = Counter(str(line["status"]) for line in answered)
    return [
        f"status {status}: {lines[status]} lines of the log, {traffic.stayed[status]} clients that got it"
        for status in sorted(lines.keys() | traffic.stayed.keys())
        if lines[status] != traffic.stayed[status]
    ]
