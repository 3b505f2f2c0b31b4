"""Offers a fraction of a group's rate limits for a while, and counts what the clients and the providers saw.

    PYTHONPATH=src:. .venv/bin/python bench/rate_limits.py openai requests 1.3 [--seconds 20] [--spare]

Three simulated providers that enforce 600 requests (or 60,000 tokens) a minute each, in front of them the real proxy.
OpenAI's limits begin full, so they are used up first; Azure's windows need no such thing.
"""

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

from simulator import ProviderSettings, SimulatedProvider
from tests.integration.harness import Proxy, config, endpoint

PER_SECOND = 30
QUESTION = {"model": "gpt", "max_tokens": 50, "messages": [{"role": "user", "content": "x" * 120}]}


async def ask(http: aiohttp.ClientSession, proxy: Proxy, statuses: Counter[int], waits: list[float]) -> None:
    began = time.perf_counter()
    async with http.post(f"{proxy.url}/v1/chat/completions", json=QUESTION) as reply:
        await reply.read()
    statuses[reply.status] += 1
    waits.append(time.perf_counter() - began)


async def use_up(http: aiohttp.ClientSession, proxy: Proxy) -> None:
    tasks = [asyncio.create_task(ask(http, proxy, Counter(), [])) for _ in range(1900)]
    await asyncio.wait(tasks, timeout=25)
    for task in tasks:
        task.cancel()
    await asyncio.sleep(0.5)


async def offer(
    http: aiohttp.ClientSession, proxy: Proxy, rate: float, seconds: float
) -> tuple[Counter[int], list[float]]:
    """Open loop: a request is sent when its time has come, whether or not others are answered."""
    statuses: Counter[int] = Counter()
    waits: list[float] = []
    began, tasks = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(ask(http, proxy, statuses, waits)))
    await asyncio.wait(tasks, timeout=60)
    return statuses, sorted(waits)


def model_of(style: str, provider: SimulatedProvider) -> dict[str, Any]:
    if style == "openai":
        return endpoint(provider)
    params = {"azure_endpoint": provider.url, "api_version": "2024-10-21", "api_key": "k"}
    return {"model": "gpt-sim", "params": params}


async def run(style: str, kind: str, factor: float, seconds: float, with_spare: bool) -> None:
    limit = {"rpm": 600} if kind == "requests" else {"tpm": 60_000}
    providers = [
        SimulatedProvider(ProviderSettings(name=f"p{i}", latency_s=0.3, header_style=style, **limit)) for i in range(3)
    ]
    spare = SimulatedProvider(ProviderSettings(name="spare", latency_s=0.3))
    for provider in (*providers, spare):
        await provider.start()
    models = [model_of(style, provider) for provider in providers]
    if with_spare:
        models.append(endpoint(spare, weight=0))
    with tempfile.TemporaryDirectory() as folder:
        proxy = Proxy(Path(folder), config(models))
        await proxy.start()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            if style == "openai":
                await use_up(http, proxy)
            before = [(p.counts().received, p.counts().limited) for p in providers]
            statuses, waits = await offer(http, proxy, PER_SECOND * factor, seconds)
            after = [(p.counts().received, p.counts().limited) for p in providers]
        await proxy.stop()
    for provider in (*providers, spare):
        await provider.stop()
    calls = sum(a[0] - b[0] for a, b in zip(after, before, strict=True))
    limited = sum(a[1] - b[1] for a, b in zip(after, before, strict=True))
    print(f"{style} {kind} at {factor:.0%}: clients {dict(statuses)}; upstream {calls} calls, {limited} answered 429")
    p50, p99 = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
    print(f"  p50 {p50:.2f} s, p99 {p99:.2f} s; spare {spare.counts().received} calls")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("style", choices=["openai", "azure"])
    parser.add_argument("kind", choices=["requests", "tokens"])
    parser.add_argument("factor", type=float, help="of the group's capacity, such as 0.9 or 1.3")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--spare", action="store_true", help="add a fallback endpoint without limits")
    options = parser.parse_args()
    asyncio.run(run(options.style, options.kind, options.factor, options.seconds, options.spare))


if __name__ == "__main__":
    main()
