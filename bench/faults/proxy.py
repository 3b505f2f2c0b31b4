"""`Replica`: a proxy as a process of its own, with its log, its pages and its workers."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bench.servers.children import ROOT
from bench.wire import Answer, Client, Cut
from tests.free_port import free_port

START_S = 30.0
STOP_S = 60.0
CLIENT_KEY = "sk-canary-client-key"
ASKS = {"authorization": f"Bearer {CLIENT_KEY}"}
"""What all clients of a run send besides."""


class Replica:
    """One proxy. `settings` are its configuration; `before` is what runs it, such as `prlimit`."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        environ: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self.settings = settings
        self._folder = folder
        self.path = folder / f"llmproxy-{self.port}.yaml"
        self.path.write_text(yaml.safe_dump(dict(settings), sort_keys=False), encoding="utf-8")
        self.log_path = folder / f"llmproxy-{self.port}.log"
        self._environ = {**os.environ, **(environ or {}), "PYTHONPATH": "src:."}
        self._before = list(before)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the process that owns the port; workers are its children."""
        assert self.process is not None  # noqa: S101 - started
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Has it been started, and not ended?"""
        return self.process is not None and self.process.poll() is None

    def launch(self) -> None:
        """Start it, or start it again on the same port, and do not wait. Its log goes on."""
        program = [sys.executable, "-m", "bench.faults.worker", "--config", str(self.path), "--port", str(self.port)]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - a command of our own
                [*self._before, *program], cwd=ROOT, env=self._environ,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0,
            )  # fmt: skip

    async def start(self) -> float:
        """Returns the seconds until it took requests; raises `RuntimeError` with what it said."""
        began = time.monotonic()
        self.launch()
        async with asyncio.timeout(START_S):
            while self.is_running:
                with contextlib.suppress(OSError, Cut, TimeoutError):
                    if (await self.get("/health/live")).status == 200:
                        return time.monotonic() - began
                await asyncio.sleep(0.02)
        raise RuntimeError(f"the proxy did not start: {self.said[-2000:]}")

    def send_signal(self, number: int) -> None:
        """To the process that owns the port."""
        if self.is_running:
            os.kill(self.pid, number)

    async def ended(self, seconds: float = STOP_S) -> int:
        """Its exit code; it is killed after so long."""
        assert self.process is not None  # noqa: S101 - started
        try:
            return await asyncio.to_thread(self.process.wait, seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return await asyncio.to_thread(self.process.wait)

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it, and wait for its exit code."""
        self.send_signal(number)
        return await self.ended()

    def kill(self) -> None:
        """As `kill -9` of all of its processes; it may be started again."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def workers(self) -> list[int]:
        """The processes that serve."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in children.read_text().split()] if children.exists() else []

    @property
    def said(self) -> str:
        """Both of its outputs so far, over all its starts."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log(self, event: str = "request") -> list[dict[str, Any]]:
        """Its log lines of one kind so far."""
        found = []
        for line in self.said.splitlines():
            with contextlib.suppress(ValueError):
                told = json.loads(line)
                if isinstance(told, dict) and told.get("event") == event:
                    found.append(told)
        return found

    async def get(self, path: str) -> Answer:
        """A page, on a connection of its own."""
        client = Client(self.port)
        try:
            return await client.ask("GET", path, ASKS)
        finally:
            client.close()

    async def status(self) -> dict[str, Any]:
        """`GET /status` of whichever worker answers."""
        told: dict[str, Any] = json.loads((await self.get("/status")).body)
        return told

    async def endpoints(self) -> dict[str, dict[str, Any]]:
        """The endpoints of `status`, by id."""
        groups = (await self.status())["groups"]
        return {endpoint["id"]: endpoint for group in groups for endpoint in group["endpoints"]}
