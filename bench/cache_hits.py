"""Latency of cache hits at a steady rate, from memory and from Redis, as vegeta sees it.

    PYTHONPATH=src:. .venv/bin/python bench/cache_hits.py [--rate 1000] [--seconds 15] [--vegeta PATH]

vegeta sends each request when its time has come, whether or not others are answered, and counts from that time: a stall
shows in all requests that it delays. Its own share is in the figures.
"""

import argparse
import asyncio
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from adapters.provider import ProviderSettings, SimulatedProvider
from tests.integration.harness import Proxy, config, endpoint
from tests.redis_server import private_redis

QUESTIONS = 50
MESSAGES = [{"role": "user", "content": "x" * 400}]


def bodies() -> list[bytes]:
    return [
        json.dumps({"model": "gpt", "temperature": 0, "seed": seed, "messages": MESSAGES}).encode()
        for seed in range(QUESTIONS)
    ]


async def attack(vegeta: str, url: str, folder: Path, rate: int, seconds: float) -> Mapping[str, Any]:
    """vegeta's report, in its JSON: latencies in nanoseconds."""
    targets = []
    for number, body in enumerate(bodies()):
        path = folder / f"body-{number}.json"
        path.write_bytes(body)
        targets.append(f"POST {url}/v1/chat/completions\nContent-Type: application/json\n@{path}\n")
    listed = folder / "targets.txt"
    listed.write_text("\n".join(targets), encoding="utf-8")
    results = folder / "results.bin"
    options = [f"-rate={rate}", f"-duration={seconds}s", f"-targets={listed}", f"-output={results}"]
    loading = await asyncio.create_subprocess_exec(vegeta, "attack", *options)
    await loading.wait()
    told = await asyncio.create_subprocess_exec(
        vegeta, "report", "-type=json", str(results), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await told.communicate()
    report: Mapping[str, Any] = json.loads(out)
    return report


async def warm(url: str) -> None:
    async with aiohttp.ClientSession() as http:
        for body in bodies() * 2:
            async with http.post(
                f"{url}/v1/chat/completions", data=body, headers={"content-type": "application/json"}
            ) as reply:
                await reply.read()
                state = reply.headers.get("x-llmproxy-cache", "direct")
    if state not in ("hit", "direct"):
        raise RuntimeError(f"the cache was not warm: {state}")


def shown(name: str, report: Mapping[str, Any]) -> str:
    latencies = {key: value / 1e6 for key, value in report["latencies"].items()}
    return (
        f"{name:8} {report['requests']} requests at {report['rate']:.0f}/s, {report['success']:.2%} answered 200; "
        f"p50 {latencies['50th']:.2f}, p90 {latencies['90th']:.2f}, p99 {latencies['99th']:.2f}, "
        f"worst {latencies['max']:.1f} ms"
    )


async def measure(kind: str, options: argparse.Namespace) -> str:
    server = private_redis()
    server.start()
    stores: dict[str, Any] = {"redis": {"redis_url": server.url}, "memory": {}}[kind]
    try:
        async with SimulatedProvider(ProviderSettings()) as provider:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                proxy = Proxy(folder, config([endpoint(provider)], cache=True, log_level="error", **stores))
                await proxy.start()
                try:
                    await warm(proxy.url)
                    report = await attack(options.vegeta, proxy.url, folder, options.rate, options.seconds)
                finally:
                    await proxy.stop()
    finally:
        server.close()
    return shown(kind, report)


async def run(options: argparse.Namespace) -> None:
    for kind in ("memory", "redis"):
        print(await measure(kind, options), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--vegeta", default=shutil.which("vegeta"), help="the load generator's path")
    options = parser.parse_args()
    if options.vegeta is None:
        parser.error("vegeta is not on PATH: https://github.com/tsenart/vegeta")
    asyncio.run(run(options))


if __name__ == "__main__":
    main()
