"""All attacks at once against one proxy, while a well-behaved client asks for a group of its own.

    make attack                    about a minute and a half
    make attack ARGS='--seconds 20'

The exit code is 0 when every request of the well-behaved client was answered, with a p99 below 250 ms, in 512 MiB, and
resident memory came back to within 20 % of what it was; else 1. Only Linux has the /proc that memory is read from.
"""

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from bench.attack.neighbour import Asked, Neighbour
from bench.attack.provider import KINDS
from bench.servers.children import Child, Children, answers
from bench.servers.processes import cpu_s, family, rss_bytes, starved_s
from tests.free_port import free_port

MIB = 1 << 20
ALLOWED_BYTES = 512 * MIB
WORST_P99_MS = 250.0
BACK_WITHIN = 0.2
_GIVE_UP_BYTES = 4 * ALLOWED_BYTES
_FILES = 4096
"""That the proxy may open: 2,016 connections of clients, which the crowds fill."""

_RATE = 20.0
_WARM_S = 5.0
_LOOK_S = 0.1
_REST_S = 45.0
"""How long is waited for memory to come back."""


def configuration(well: str, hostile: str) -> dict[str, Any]:
    """A group for the well-behaved client, and one for each kind of hostile provider."""
    groups = {"well": well, **{kind: f"{hostile}/{kind}" for kind in KINDS}}
    return {
        "model_groups": [
            {"model_group": name, "models": [{"model": name, "params": {"api_key": "sk", "base_url": f"{url}/v1"}}]}
            for name, url in groups.items()
        ],
        "general_settings": {
            "cache": True,
            "cache_params": {"max_bytes": 8 * MIB},
            "passthrough_group": "refuse",
            "max_wait": 5,
            "request_timeout": 30,
        },
    }  # fmt: skip


class Watch:
    """Resident memory of the proxy, all processes together."""

    def __init__(self, proxy: Child) -> None:
        self._proxy = proxy
        self.peak_bytes = 0
        self.gave_up = False

    def now(self) -> int:
        """0 = the proxy has gone."""
        with suppress(OSError):
            return rss_bytes(family(self._proxy.pid))
        return 0

    def cpu(self) -> float:
        """Seconds it has used."""
        with suppress(OSError):
            return cpu_s(family(self._proxy.pid))
        return 0.0

    def starved(self) -> float:
        """Seconds for which it could not run because others did."""
        with suppress(OSError):
            return starved_s(family(self._proxy.pid))
        return 0.0

    async def run(self) -> None:
        """Until it is cancelled. A proxy that would take the machine along is ended."""
        while not self.gave_up:
            self.peak_bytes = max(self.peak_bytes, self.now())
            if self.peak_bytes > _GIVE_UP_BYTES:
                self.gave_up = True
                self._proxy.stop()
            await asyncio.sleep(_LOOK_S)


class Outcome(Struct, frozen=True):
    """What was seen."""

    calm: Asked
    attacked: Asked
    direct: Asked
    """The well-behaved client's provider, asked directly meanwhile: what of it all is the machine's."""
    before_bytes: int
    peak_bytes: int
    after_bytes: int
    back_s: float | None
    """From the end of the attacks until memory was back; None = it did not come back."""
    cores: float
    """That the proxy used while it was attacked."""
    attacked_s: float
    starved_s: float
    """Seconds of that time in which it could have run, and others had the processors."""
    lost: int
    """Workers that ended or were silent."""
    crowds: Mapping[str, Mapping[str, int]]

    def failures(self) -> list[str]:
        """Sentences; none = it passed."""
        checks = {
            f"{self.attacked.asked - self.attacked.answered} well-behaved requests were not answered": (
                self.attacked.answered < self.attacked.asked
            ),
            f"p99 is {self.attacked.percentile(99):.0f} ms, at most {WORST_P99_MS:.0f} are allowed": (
                self.attacked.percentile(99) >= WORST_P99_MS
            ),
            f"{self.peak_bytes / MIB:.0f} MiB were used, {ALLOWED_BYTES / MIB:.0f} are allowed": (
                self.peak_bytes > ALLOWED_BYTES
            ),
            f"memory did not come back within {_REST_S:.0f} s": self.back_s is None,
            f"{self.lost} workers were lost": self.lost > 0,
        }
        return [told for told, failed in checks.items() if failed]


async def attack(children: Children, folder: Path, seconds: float, only: str) -> Outcome:
    """Start everything, attack, and wait for memory to come back."""
    well, hostile, port = free_port(), free_port(), free_port()
    python = [sys.executable, "-m"]
    good = children.start(
        "provider", [*python, "bench.servers.provider", f"--port={well}", "--tokens=10", "--pace=500"]
    )
    bad = children.start("hostile", [*python, "bench.attack.provider", f"--port={hostile}"], {"PYTHONPATH": "src:."})
    path = folder / "llmproxy.yaml"
    path.write_text(yaml.safe_dump(configuration(f"http://127.0.0.1:{well}", f"http://127.0.0.1:{hostile}")))
    limited = ["/bin/sh", "-c", f'ulimit -n {_FILES}; exec "$@"', "sh"]
    command = [*limited, *python, "entrypoints.http", "--config", str(path), "--port", str(port)]
    proxy = children.start("llmproxy", command, {"PYTHONPATH": "src"})
    good.wait_until(lambda: answers(f"http://127.0.0.1:{well}"))
    bad.wait_until(lambda: answers(f"http://127.0.0.1:{hostile}/refuse/v1/models"))
    proxy.wait_until(lambda: answers(f"http://127.0.0.1:{port}/health/live"))

    watch, neighbour = Watch(proxy), Neighbour(port, "well")
    calm = await neighbour.ask(_RATE, _WARM_S)
    before = watch.now()
    watching = asyncio.create_task(watch.run())
    used, starved = watch.cpu(), watch.starved()
    command = [*python, "bench.attack.clients", f"--port={port}", f"--seconds={seconds}", f"--only={only}"]
    attackers = children.start("attackers", command, {"PYTHONPATH": "src:."})
    attacked, direct = await asyncio.gather(neighbour.ask(_RATE, seconds), Neighbour(well, "well").ask(_RATE, seconds))
    cores, starved = (watch.cpu() - used) / seconds, watch.starved() - starved
    await _until(lambda: attackers.ended, 30)
    began = time.monotonic()
    asking = asyncio.create_task(neighbour.ask(2, _REST_S))
    back = await _until(lambda: 0 < watch.now() <= before * (1 + BACK_WITHIN), _REST_S)
    back_s = time.monotonic() - began if back else None
    asking.cancel()
    watching.cancel()
    lost = sum(proxy.said.count(f'"event":"{event}"') for event in ("worker lost", "worker silent", "worker failed"))
    lines = [line for line in attackers.said.splitlines() if line.startswith("{")]
    return Outcome(
        calm, attacked, direct, before, watch.peak_bytes, watch.now(), back_s, cores, seconds, starved,
        lost + watch.gave_up, json.loads(lines[-1]) if lines else {},
    )  # fmt: skip


async def _until(true: Any, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_LOOK_S)
    return True


def report(outcome: Outcome) -> str:
    """For people."""
    lines = ["what became of the attacks:"]
    lines += [f"  {name:<38} {_counted(seen)}" for name, seen in outcome.crowds.items()]
    seen = {
        "well-behaved, before": outcome.calm,
        "well-behaved, attacked": outcome.attacked,
        "its provider, directly": outcome.direct,
    }
    for name, asked in seen.items():
        lines.append(
            f"{name}: {asked.asked} asked, {asked.answered} answered, {asked.tried_again} tried again, "
            f"p50 {asked.percentile(50):.1f}, p99 {asked.percentile(99):.1f}, worst {asked.percentile(100):.1f} ms"
            f"{' ' + str(asked.problems) if asked.problems else ''}"
        )
    back = "not back" if outcome.back_s is None else f"back after {outcome.back_s:.1f} s"
    lines.append(
        f"memory: {outcome.before_bytes / MIB:.0f} MiB before, {outcome.peak_bytes / MIB:.0f} at its peak, "
        f"{outcome.after_bytes / MIB:.0f} after: {back}; {outcome.cores:.2f} cores, "
        f"for which it waited {outcome.starved_s:.1f} s"
    )
    if outcome.starved_s > outcome.attacked_s / 4:
        lines.append("the machine was busy with something else: the times say little about the proxy")
    return "\n".join([*lines, *(f"FAILED: {each}" for each in outcome.failures())])


def _counted(seen: Mapping[str, int]) -> str:
    return ", ".join(f"{what} {count}" for what, count in sorted(seen.items(), key=lambda pair: -pair[1])) or "nothing"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="how long it is attacked")
    parser.add_argument("--only", default="", help="a part of the names of those that are to attack")
    parser.add_argument("--log", type=Path, help="where the proxy's log is kept; without it it is not")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory(prefix="llmproxy-attack-") as folder, Children(Path(folder)) as children:
        try:
            outcome = asyncio.run(attack(children, Path(folder), options.seconds, options.only))
        finally:
            if options.log is not None:
                for log in Path(folder).glob("*-llmproxy.log"):
                    options.log.write_bytes(log.read_bytes())
    print(report(outcome))
    return 1 if outcome.failures() else 0


if __name__ == "__main__":
    sys.exit(main())
