"""`python -m bench.simulate_agreement [NAME] [--minutes 4] [--seeds 20]`: does `llmproxy simulate` tell the truth?

The same requests, at the same times, go once for real (a proxy and simulated providers, each a process of its own, over
loopback) and once through the simulation; then both results stand side by side. The proxy's dice, which jitter
cooldowns, fall differently in every run: the simulation is played with many seeds, and its mean and range are told.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import yaml
from msgspec import Struct

from bench.servers.children import Child, Children, answers
from bench.servers.llmproxy import HERE
from entrypoints.config.load import load_settings
from entrypoints.config.settings import Settings
from entrypoints.simulate.options import Latency, Limits, Trouble, tokens
from entrypoints.simulate.report.figures import Report, Source, Waits, report_of
from entrypoints.simulate.run import play
from entrypoints.simulate.scenario import Scenario, scenario_of
from entrypoints.simulate.traffic import Arrival, Mix, by_chance
from entrypoints.simulate.world.clients import request_of
from entrypoints.wiring.groups import model_groups
from tests.free_port import free_port

_GROUP, _LATENCY_S, _TOKEN_S, _ANSWER = "agreement", 0.3, 0.02, 16


class Case(Struct, frozen=True):
    """One scenario: endpoints by name with weight and limits, requests a second, and when one of them is away."""

    endpoints: Mapping[str, tuple[int, Limits]]
    rate: float
    away: tuple[str, float, float] | None = None
    """Endpoint, from and until which part of the run its process is not there."""
    general: Mapping[str, Any] = {}
    streams: bool = False


_LIMITED = {
    "east": (3, Limits(240, None, "openai")),
    "west": (1, Limits(120, None, "azure")),
    "north": (2, Limits(None, 24_000, "openai")),
}
CASES = {
    "limits": Case(_LIMITED, rate=12.0, general={"max_wait": 10}),
    "streams": Case(_LIMITED, rate=12.0, general={"max_wait": 10}, streams=True),
    "silent": Case(
        {"east": (2, Limits(240, None, "openai")), "west": (1, Limits(60, None, "none"))},
        rate=5.0,
        general={"max_wait": 10},
    ),
    "outage": Case(
        {
            "east": (3, Limits(None, None)),
            "west": (1, Limits(120, None, "openai")),
            "north": (0, Limits(None, None)),
        },
        rate=6.0,
        away=("east", 0.25, 0.5),
        general={"cooldown_time": 10},
    ),
}


class Seen(Struct):
    """What one run came to; times in seconds."""

    answered: Counter[str]
    """By endpoint."""
    received_429s: int
    client_429s: int
    other_errors: int
    waited: Waits
    """What answers took beyond the provider's latency, where that was more than a tenth of a second."""
    cooldowns: list[tuple[str, float, float]]
    """Endpoint, from, until (the end, where it did not recover)."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CASES)} (all)")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    for name in given.names or CASES:
        compare(name, CASES[name], 60 * given.minutes, given.seeds)
    return 0


def compare(name: str, case: Case, length_s: float, seeds: int) -> None:
    """Plays one case both ways and prints what came of it."""
    with tempfile.TemporaryDirectory(prefix="llmproxy-agreement-") as folder, Children(Path(folder)) as children:
        ports = {endpoint: free_port() for endpoint in case.endpoints}
        config = Path(folder) / "llmproxy.yaml"
        config.write_text(yaml.safe_dump(_configuration(case, ports)), encoding="utf-8")
        settings = load_settings(config, {})
        scenario = _scenario(case, settings, length_s)
        dice = random.Random(7)  # noqa: S311 - repeatable on purpose
        arrivals = list(by_chance(case.rate, length_s, tokens(f"50-200,{_ANSWER}"), Mix(scenario.groups, dice), dice))
        reports = [_simulated(settings, scenario, arrivals, length_s, seed) for seed in range(seeds)]
        real = asyncio.run(_real(children, config, case, ports, arrivals, length_s))
    _print(name, case, len(arrivals), length_s, real, [_seen(report, case, length_s) for report in reports])


def _configuration(case: Case, ports: Mapping[str, int]) -> dict[str, Any]:
    models = [
        {
            "id": name,
            "model": _GROUP,
            "weight": weight,
            "params": {"api_key": f"sk-{name}", **_address(f"http://127.0.0.1:{ports[name]}", limits)},
        }
        for name, (weight, limits) in case.endpoints.items()
    ]
    groups = [{"model_group": _GROUP, "models": models}]
    return {"model_groups": groups, "general_settings": {"log_format": "json", "workers": 1, **case.general}}


def _address(origin: str, limits: Limits) -> dict[str, str]:
    if limits.style == "azure":
        return {"azure_endpoint": origin, "azure_deployment": _GROUP, "api_version": "2024-10-21"}
    return {"base_url": f"{origin}/v1"}


def _scenario(case: Case, settings: Settings, length_s: float) -> Scenario:
    troubles = []
    if case.away is not None:
        name, begin, end = case.away
        troubles.append(Trouble(name, begin * length_s, end * length_s, "connect"))
    limits = [(name, limit) for name, (_, limit) in case.endpoints.items()]
    latency = Latency(_LATENCY_S, _TOKEN_S if case.streams else 0.0)
    return scenario_of(model_groups(settings), [], limits, [(None, latency)], troubles, streams=case.streams)


def _simulated(
    settings: Settings, scenario: Scenario, arrivals: Sequence[Arrival], length_s: float, seed: int
) -> tuple[Report, list[float]]:
    played = play(settings, scenario, arrivals, length_s, seed)
    return report_of(Source("", seed, "", length_s / 60), scenario, played), played.outcomes.durations_s


def _seen(simulated: tuple[Report, list[float]], case: Case, length_s: float) -> Seen:
    report, durations_s = simulated
    return Seen(
        Counter({figures.endpoint: figures.requests for figures in report.endpoints}),
        report.totals.received_429s,
        report.totals.client_429s,
        report.totals.client_errors - report.totals.client_429s,
        _waited(durations_s, case),
        [(each.endpoint, each.from_s, each.until_s or length_s) for each in report.cooldowns],
    )


def _waited(durations_s: Sequence[float], case: Case) -> Waits:
    usual_s = _LATENCY_S + (_TOKEN_S * _ANSWER if case.streams else 0.0)
    beyond = [duration_s - usual_s for duration_s in durations_s]
    return Waits.of([seconds for seconds in beyond if seconds > 0.1])


async def _real(
    children: Children,
    config: Path,
    case: Case,
    ports: Mapping[str, int],
    arrivals: Sequence[Arrival],
    length_s: float,
) -> Seen:
    providers = {name: _provider(children, name, case, ports[name]) for name in case.endpoints}
    port = free_port()
    command = [HERE.python, "-m", "entrypoints.http", "--config", str(config), "--port", str(port)]
    proxy = children.start("llmproxy", command, {"PYTHONPATH": str(HERE.modules)})
    proxy.wait_until(lambda: answers(f"http://127.0.0.1:{port}/health/live"))
    seen = Seen(Counter(), 0, 0, 0, Waits(0, 0.0, 0.0, 0.0), [])
    durations_s: list[float] = []
    # One connection for each request that may run at once; nothing is retried, and nobody's proxy is asked.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=500)
    async with httpx.AsyncClient(trust_env=False, timeout=120, limits=limits) as client:
        began, began_unix = time.monotonic(), time.time()
        away = asyncio.ensure_future(_go_away(children, providers, case, ports, began, length_s))
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        asked = []
        for number, arrival in enumerate(arrivals):
            await asyncio.sleep(began + arrival.at_s - time.monotonic())
            asked.append(asyncio.ensure_future(_ask(client, url, (number, arrival), case, seen, durations_s)))
        await asyncio.gather(*asked)
        await away
        for name in case.endpoints:
            counts = (await client.get(f"http://127.0.0.1:{ports[name]}/_control/counts")).json()
            seen.received_429s += counts["limited"]
    seen.waited = _waited(durations_s, case)
    seen.cooldowns = _cooldowns(proxy.said, began_unix, length_s)
    return seen


def _provider(children: Children, name: str, case: Case, port: int) -> Child:
    limits = case.endpoints[name][1]
    command = [HERE.python, "-m", "simulator", "--name", name, "--port", str(port), "--latency", str(_LATENCY_S)]
    pace = 1 / _TOKEN_S if case.streams else None
    for option, value in (
        ("--tokens-per-second", pace),
        ("--rpm", limits.rpm),
        ("--tpm", limits.tpm),
        ("--header-style", limits.style),
    ):
        command += [] if value is None else [option, str(value)]
    child = children.start(name, command, {"PYTHONPATH": str(HERE.modules)})
    child.wait_until(lambda: answers(f"http://127.0.0.1:{port}/_control/counts"))
    return child


async def _go_away(
    children: Children,
    providers: Mapping[str, Child],
    case: Case,
    ports: Mapping[str, int],
    began: float,
    length_s: float,
) -> None:
    """End the process of the one that is away, and start another in its time."""
    if case.away is None:
        return
    name, begin, end = case.away
    await asyncio.sleep(began + begin * length_s - time.monotonic())
    await asyncio.to_thread(children.stop, providers[name])
    # It takes a moment to start.
    await asyncio.sleep(began + end * length_s - 0.5 - time.monotonic())
    await asyncio.to_thread(_provider, children, name, case, ports[name])


async def _ask(
    client: httpx.AsyncClient,
    url: str,
    numbered: tuple[int, Arrival],
    case: Case,
    seen: Seen,
    durations_s: list[float],
) -> None:
    began = time.monotonic()
    body = request_of(*numbered, began, streams=case.streams).body
    reply = await client.post(url, content=body, headers={"content-type": "application/json"})
    if reply.status_code == 200:
        seen.answered[reply.headers["x-llmproxy-endpoint"]] += 1
        durations_s.append(time.monotonic() - began)
    elif reply.status_code == 429:
        seen.client_429s += 1
    else:
        seen.other_errors += 1


def _cooldowns(log: str, began_unix: float, length_s: float) -> list[tuple[str, float, float]]:
    """From the first line that says that an endpoint cools to the one that says that it is back."""
    running: dict[str, float] = {}
    found = []
    for line in log.splitlines():
        told = json.loads(line) if line.startswith("{") else {}
        at_s = datetime.fromisoformat(told["time"]).timestamp() - began_unix if "time" in told else 0.0
        if told.get("event") == "endpoint cooling":
            running.setdefault(told["endpoint"], at_s)
        elif told.get("event") == "endpoint recovered" and told["endpoint"] in running:
            found.append((told["endpoint"], running.pop(told["endpoint"]), at_s))
    return found + [(endpoint, from_s, length_s) for endpoint, from_s in running.items()]


def _print(name: str, case: Case, requests: int, length_s: float, real: Seen, simulated: Sequence[Seen]) -> None:
    print(f"\n{name}: {requests} requests in {length_s / 60:g} minutes, {len(simulated)} seeds")
    print(f"  {'':34}{'real':>10}{'simulated':>12}{'range':>20}{'difference':>14}")
    for endpoint in case.endpoints:
        of = [100 * seen.answered[endpoint] / max(1, seen.answered.total()) for seen in (real, *simulated)]
        _row(f"share of {endpoint}, %", of, unit=" points", scale=1.0)
    total = max(1, requests)
    for label, of in (
        ("answered", [seen.answered.total() for seen in (real, *simulated)]),
        ("429s from providers", [seen.received_429s for seen in (real, *simulated)]),
        ("429s to clients", [seen.client_429s for seen in (real, *simulated)]),
        ("other errors to clients", [seen.other_errors for seen in (real, *simulated)]),
        ("requests that waited", [seen.waited.count for seen in (real, *simulated)]),
    ):
        _row(label, of, unit=" % of requests", scale=100 / total)
    _row("wait p50, s", [seen.waited.p50_s for seen in (real, *simulated)], unit=" s", scale=1.0)
    _row("wait p99, s", [seen.waited.p99_s for seen in (real, *simulated)], unit=" s", scale=1.0)
    for number, (endpoint, _, _) in enumerate(real.cooldowns):
        others = [seen.cooldowns[number] for seen in simulated if len(seen.cooldowns) > number]
        for label, place in (("from", 1), ("until", 2)):
            times = [float(each[place]) for each in (real.cooldowns[number], *others)]
            _row(f"cooldown {number + 1} of {endpoint} {label}, s", times, unit=" % of the run", scale=100 / length_s)
    counts = sorted({len(seen.cooldowns) for seen in simulated})
    print(f"  cooldowns: {len(real.cooldowns)} real, {' or '.join(map(str, counts))} simulated")
    sys.stdout.flush()


def _row(label: str, of: Sequence[float], unit: str, scale: float) -> None:
    """The first is the real one; the difference is that of the mean of the others."""
    real, others = of[0], of[1:]
    if not others:
        print(f"  {label:34}{real:>10.1f}{'none':>12}")
        return
    mean = sum(others) / len(others)
    between = f"{min(others):.1f} to {max(others):.1f}"
    print(f"  {label:34}{real:>10.1f}{mean:>12.1f}{between:>20}{(mean - real) * scale:>+8.2f}{unit}")


if __name__ == "__main__":
    sys.exit(main())
