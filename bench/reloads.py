"""Many reloads of a proxy with two workers under a steady load, mistakes among them: no request may fail.

    make reloads                                     a thousand reloads at 200 requests a second, some minutes
    make reloads ARGS='--reloads 100 --rate 50'

Every other request is a stream that takes about 0.3 s, so that reloads come in the midst of many. Weights, keys, names
of endpoints and policies change with each reload; every tenth configuration has a mistake, or asks for what needs a
restart, and must change nothing. The exit code is 0 when every request was answered at its first try, every reload had
the verdict that it should have, and the memory of the proxy is within 20 % of what it was after the first tenth.
"""

import argparse
import asyncio
import contextlib
import io
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from bench.attack.neighbour import Neighbour
from bench.load.distribution import percentile
from bench.servers.children import Children, answers
from bench.servers.processes import family, rss_bytes
from entrypoints.reload import command
from tests.free_port import free_port

MIB = 1 << 20
GROUP = "well"
GROWS_BY = 0.2
_SLICE_S = 5.0
_BAD_EVERY = 10


class Outcome(Struct, frozen=True):
    """What was seen."""

    reloads: int
    refused: int
    """Of configurations that had to be."""
    wrong: list[str]
    """Verdicts that should have been others."""
    reload_ms: list[float]
    asked: int
    answered: int
    tried_again: int
    problems: dict[str, int]
    latencies_ms: list[float]
    lost: int
    early_bytes: int
    """Resident memory of the proxy after the first tenth of the reloads."""
    late_bytes: int

    def failures(self) -> list[str]:
        """Sentences; none = it passed."""
        checks = {
            f"{self.asked - self.answered} requests failed: {self.problems}": self.answered < self.asked,
            f"{self.tried_again} requests had to be tried again": self.tried_again > 0,
            f"{self.lost} workers were lost": self.lost > 0,
            "memory grew": self.late_bytes > self.early_bytes * (1 + GROWS_BY),
        }
        return [*(told for told, failed in checks.items() if failed), *self.wrong]


def configuration(origin: str, port: int, number: int) -> dict[str, Any]:
    """The configuration of one reload; every `_BAD_EVERY`th has a mistake."""
    models = [
        {
            "model": "m",
            "weight": 1 + (number + each) % 3,
            "params": {"api_key": f"sk-{each}-{number // (5 * each) if each else 0}", "base_url": f"{origin}/v1"},
            **({"id": f"renamed-{number}"} if each == number % 3 else {}),
        }
        for each in range(3)
    ]
    general: dict[str, Any] = {"bind_port": port, "workers": 2, "max_wait": number % 7, "num_retries": number % 4}
    if is_bad(number):
        general |= {"workers": 3} if number % (2 * _BAD_EVERY) else {"max_wait": "a while"}
    groups = [{"model_group": GROUP, "models": models[:: 1 if number % 2 else -1]}]
    return {"model_groups": groups, "general_settings": general}


def is_bad(number: int) -> bool:
    """Is that configuration to be refused?"""
    return number % _BAD_EVERY == 5


class Reloads:
    """One after the other."""

    def __init__(self, path: Path, origin: str, port: int) -> None:
        self._path = path
        self._origin = origin
        self._port = port
        self.refused = 0
        self.wrong: list[str] = []
        self.took_ms: list[float] = []

    def write(self, number: int) -> None:
        """In one step, as careful editors do."""
        beside = self._path.with_suffix(".new")
        beside.write_text(yaml.safe_dump(configuration(self._origin, self._port, number)), encoding="utf-8")
        beside.rename(self._path)

    async def run(self, first: int, beyond: int) -> None:
        """Those numbers."""
        for number in range(first, beyond):
            self.write(number)
            began = time.monotonic()
            code, said = await asyncio.to_thread(self._command)
            self.took_ms.append((time.monotonic() - began) * 1000)
            self.refused += code == 2
            if code != (2 if is_bad(number) else 0):
                self.wrong.append(f"reload {number} ended with {code}: {said}")

    def _command(self) -> tuple[int, str]:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = command.main(["--port", str(self._port)])
        return code, said.getvalue().strip()


async def reload_under_load(children: Children, folder: Path, count: int, rate: float) -> Outcome:
    """Start everything, and reload while requests come."""
    upstream, port = free_port(), free_port()
    python = [sys.executable, "-m"]
    provider = children.start(
        "provider", [*python, "bench.servers.provider", f"--port={upstream}", "--tokens=30", "--pace=100"]
    )
    path = folder / "llmproxy.yaml"
    reloads = Reloads(path, f"http://127.0.0.1:{upstream}", port)
    reloads.write(0)
    proxy = children.start("llmproxy", [*python, "entrypoints.http", "--config", str(path)], {"PYTHONPATH": "src"})
    provider.wait_until(lambda: answers(f"http://127.0.0.1:{upstream}"))
    proxy.wait_until(lambda: '"ready"' in proxy.said)

    neighbour, phases = Neighbour(port, GROUP), []

    async def keep_asking(until: asyncio.Task[None]) -> None:
        while not until.done():
            phases.append(await neighbour.ask(rate, _SLICE_S))

    memory = []
    for first, beyond in ((0, count // 10), (count // 10, count)):
        reloading = asyncio.create_task(reloads.run(first, beyond))
        await keep_asking(reloading)
        await reloading
        memory.append(rss_bytes(family(proxy.pid)))
    problems: dict[str, int] = {}
    for phase in phases:
        for problem, times in phase.problems.items():
            problems[problem] = problems.get(problem, 0) + times
    return Outcome(
        count,
        reloads.refused,
        reloads.wrong,
        sorted(reloads.took_ms),
        sum(phase.asked for phase in phases),
        sum(phase.answered for phase in phases),
        sum(phase.tried_again for phase in phases),
        problems,
        sorted(each for phase in phases for each in phase.latencies_ms),
        sum(proxy.said.count(f'"event":"{event}"') for event in ("worker lost", "worker silent", "worker failed")),
        *memory,
    )


def report(outcome: Outcome) -> str:
    """For people."""
    took, waited = outcome.reload_ms, outcome.latencies_ms
    lines = [
        f"{outcome.reloads} reloads, {outcome.refused} of them refused as they had to be: "
        f"p50 {percentile(took, 50):.0f}, p99 {percentile(took, 99):.0f}, worst {took[-1]:.0f} ms",
        f"{outcome.asked} requests, {outcome.answered} answered, {outcome.tried_again} tried again: "
        f"p50 {percentile(waited, 50):.0f}, p99 {percentile(waited, 99):.0f}, worst {waited[-1]:.0f} ms",
        f"memory: {outcome.early_bytes / MIB:.0f} MiB after the first tenth, {outcome.late_bytes / MIB:.0f} at the end",
    ]
    return "\n".join([*lines, *(f"FAILED: {each}" for each in outcome.failures())])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--reloads", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Children(Path(name)) as children:
        outcome = asyncio.run(reload_under_load(children, Path(name), options.reloads, options.rate))
    print(report(outcome))
    return 1 if outcome.failures() else 0


if __name__ == "__main__":
    sys.exit(main())
