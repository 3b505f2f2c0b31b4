"""Two workers are one proxy to whoever counts: what `/metrics` says is what the log and the provider say, whichever
worker is asked, and falls neither when one of them is killed nor when another takes its place."""

import asyncio
import os
import random
import signal
from collections.abc import Mapping

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from application.observing.error_types import error_type
from simulator.faults.rules import Rule, Status
from tests.integration.conftest import StartProvider, StartProxy
from tests.integration.harness import ProxyProcess, config, endpoint

OWN_PROCESS = True
ROUND = 1000
AT_ONCE = 24
PATIENCE_S = 180.0

Told = Mapping[tuple[str, ...], float]


def question(dice: random.Random) -> tuple[str, dict[str, object]]:
    """One of a mixture."""
    body: dict[str, object] = {"model": "gpt", "messages": [{"role": "user", "content": f"Hello {dice.randrange(50)}"}]}
    kind = dice.randrange(10)
    if kind < 3:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    elif kind < 5:
        body["temperature"] = 0
    elif kind == 5:
        return "embeddings", {"model": "gpt", "input": "Hello"}
    elif kind == 6:
        body["model"] = "nobody's"
    return "chat/completions", body


async def ask_many(proxy: ProxyProcess, dice: random.Random) -> None:
    questions = [question(dice) for _ in range(ROUND)]

    async def ask(http: aiohttp.ClientSession) -> None:
        while questions:
            path, body = questions.pop()
            async with http.post(f"{proxy.url}/v1/{path}", json=body) as reply:
                await reply.read()

    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(ask(http) for _ in range(AT_ONCE)))


async def scrape(proxy: ProxyProcess) -> Told:
    """On a connection of its own, so of any worker."""
    async with aiohttp.ClientSession() as http, http.get(f"{proxy.url}/metrics") as reply:
        assert reply.status == 200
        families = text_string_to_metric_families(await reply.text())
        return {
            (sample.name, *sorted(f"{name}={value}" for name, value in sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }


def counters(told: Told) -> Told:
    ends = ("_total", "_count", "_sum", "_bucket")
    return {key: value for key, value in told.items() if key[0].endswith(ends)}


def total(told: Told, name: str, *labels: str) -> float:
    """Of those that have all these labels."""
    return sum(value for key, value in told.items() if key[0] == name and set(labels) <= set(key[1:]))


class Watch:
    """Scrapes again and again, and sees to it that nothing falls."""

    def __init__(self, proxy: ProxyProcess) -> None:
        self._proxy = proxy
        self._last: Told = {}

    async def look(self) -> Told:
        told = await scrape(self._proxy)
        for key, value in self._last.items():
            assert told.get(key, 0.0) >= value - 1e-9, f"{key} fell"
        self._last = counters(told)
        return told

    async def until_quiet(self) -> Told:
        """All that was asked is over and told, by both."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                told = await self.look()
                lines = [line for line in self._proxy.log() if line["api"]]
                is_over = total(told, "llmproxy_requests_total") == len(lines)
                if is_over and total(told, "llmproxy_workers") == 2:
                    return told
                await asyncio.sleep(0.1)


async def test_counts_are_those_of_the_log_and_the_provider_though_a_worker_is_killed(
    start_provider: StartProvider, start_proxy: StartProxy
) -> None:
    busy = Status(status=503, body={"error": {"message": "busy", "type": "server_error"}})
    wrong = Status(status=400, body={"error": {"message": "no", "type": "invalid_request_error"}})
    shaky, well = await start_provider(), await start_provider()
    shaky.set_faults([Rule(action=busy, every=9), Rule(action=wrong, every=14)])
    settings = config(
        [endpoint(shaky, id="shaky"), endpoint(well, id="well")],
        workers=2, cache=True, cooldown_time=0.2, log_format="json",
    )  # fmt: skip
    proxy = await start_proxy(settings)
    assert isinstance(proxy, ProxyProcess)
    dice, watch = random.Random(1), Watch(proxy)

    await ask_many(proxy, dice)
    before = await watch.until_quiet()
    os.kill(proxy.worker_pids()[0], signal.SIGKILL)
    for _ in range(5):
        await watch.look()
    await watch.until_quiet()
    await ask_many(proxy, dice)
    told = await watch.until_quiet()

    lines = [line for line in proxy.log() if line["api"]]
    assert len(lines) == 2 * ROUND
    assert total(before, "llmproxy_requests_total") == ROUND
    for name in ("request_duration", "first_byte_duration", "overhead_duration"):
        assert total(told, f"llmproxy_{name}_seconds_count") == len(lines)
    for name, provider in (("shaky", shaky), ("well", well)):
        assert total(told, "llmproxy_attempts_total", f"endpoint={name}") == provider.counts().received
    wanted: dict[str, int] = {}
    for line in lines:
        if (kind := error_type(line["outcome"])) != "":
            wanted[kind] = wanted.get(kind, 0) + 1
    assert wanted.keys() >= {"client_unknown_model", "client_invalid_request"}
    assert {kind: total(told, "llmproxy_errors_total", f"error_type={kind}") for kind in wanted} == wanted
    assert total(told, "llmproxy_errors_total") == sum(wanted.values())
    for state in ("hit", "miss", "shared"):
        known = sum(line["cache"] == state for line in lines)
        assert total(told, "llmproxy_cache_requests_total", f"state={state}") == known
    for name in ("shaky", "well"):
        known = sum(line["endpoint"] == name for line in lines)
        assert total(told, "llmproxy_requests_total", f"endpoint={name}") == known
    assert total(told, "llmproxy_retries_total") == sum(max(0, line["attempts"] - 1) for line in lines)
    assert total(told, "llmproxy_worker_starts_total") == 3
    assert total(told, "llmproxy_in_flight_requests") == 0

    async with aiohttp.ClientSession() as http, http.get(f"{proxy.url}/status") as reply:
        status = await reply.json()
    # One that has replaced another looks back to its own start.
    assert status["recent"]["requests"] in (ROUND, len(lines))
    assert sum(each["attempts"] for each in status["groups"][0]["endpoints"]) == total(told, "llmproxy_attempts_total")
    assert {each["pid"] for each in status["proxy"]["workers"]} == set(proxy.worker_pids())
    assert [each["number"] for each in status["proxy"]["workers"]] == [1, 2]
    newest = sorted(lines, key=lambda line: line["time"])[-1]["request_id"]
    assert newest in [each["request_id"] for each in status["decisions"][:5]]
