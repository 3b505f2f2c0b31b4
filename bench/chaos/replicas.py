"""The replicas: processes with two workers each, that are killed, restarted and reloaded while they serve."""

import asyncio
import contextlib
import io
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import yaml

from bench.chaos.controls import Controls
from bench.chaos.replica import CONTROLS_VARIABLE, PLANT_VARIABLE
from bench.servers.children import Child, Children, DidNotStart, answers
from bench.servers.processes import family
from entrypoints.reload import command
from tests.free_port import free_port

_STOP_S = 40.0
_STARTS = 5


class DidNotStop(Exception):
    """A replica went on long after `drain_timeout`."""


class Replica:
    """One, which may be another process after each restart."""

    def __init__(self, name: str, children: Children, folder: Path, planted: str | None) -> None:
        self.name = name
        self.port = free_port()
        self.controls = Controls(folder / f"{name}.controls")
        self.exit_codes: list[int] = []
        """Of processes that were told to end in order."""
        self._children = children
        self._path = folder / f"{name}.yaml"
        self._environ = {"PYTHONPATH": "src:.", CONTROLS_VARIABLE: str(self.controls.path)}
        if planted:
            self._environ[PLANT_VARIABLE] = planted
        self._child: Child | None = None

    @property
    def address(self) -> str:
        """As nginx says it."""
        return f"127.0.0.1:{self.port}"

    def write(self, settings: dict[str, Any]) -> None:
        """The configuration of the next start or reload, in one step as careful editors do."""
        beside = self._path.with_suffix(".new")
        beside.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        beside.rename(self._path)

    def launch(self) -> Child:
        """Start it and do not wait."""
        program = [sys.executable, "-m", "bench.chaos.replica", "--config", str(self._path), "--port", str(self.port)]
        self._child = self._children.start(self.name, program, self._environ)
        return self._child

    async def start(self) -> None:
        """Returns when it serves; raises `DidNotStart` with what it said."""
        child = self.launch()
        await asyncio.to_thread(child.wait_until, lambda: answers(f"http://{self.address}/health/live"))

    async def restart(self) -> None:
        """As systemd does it: SIGTERM, and a new process when the old one has ended."""
        await self.stop()
        await self.start()

    async def stop(self) -> None:
        """In order; raises `DidNotStop`."""
        child = self._running
        os.kill(child.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_S):
                while (code := child.exit_code) is None:  # noqa: ASYNC110 - a process tells nobody
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise DidNotStop(f"{self.name}: {child.said[-500:]}") from None
        self.exit_codes.append(code)

    async def kill(self) -> None:
        """As the kernel does when memory has run out; its workers end by themselves. Then start it again."""
        child = self._running
        os.kill(child.pid, signal.SIGKILL)
        while not child.ended:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for left in reversed(range(_STARTS)):
            try:
                await self.start()
            except DidNotStart:  # as long as a worker of the old one has the port
                if not left:
                    raise
            else:
                break

    def kill_a_worker(self, rng: random.Random) -> None:
        """SIGKILL to one of them."""
        workers = family(self._running.pid)[1:]
        if workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(workers), signal.SIGKILL)

    async def reload(self) -> tuple[int, str]:
        """As `llmproxy reload` does it: the exit code, and what was said."""
        return await asyncio.to_thread(self._reload)

    def _reload(self) -> tuple[int, str]:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = command.main(["--port", str(self.port)])
        return code, said.getvalue().strip()

    @property
    def _running(self) -> Child:
        if self._child is None:
            raise ValueError(f"{self.name} was never started")
        return self._child
