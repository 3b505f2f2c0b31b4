"""The proxy under soak: a process of its own, its log read and counted, its insides asked for."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bench.servers.children import ROOT
from bench.soak.leaks import PROVIDER_PORT_VARIABLE
from bench.soak.probe import PATH
from bench.soak.worker import LEAK_VARIABLE
from bench.wire import Client
from tests.free_port import free_port

START_S = 20
STOP_S = 60
_LAST_LINES = 50


class SoakedProxy:
    """From `start()` to `stop()`."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], provider_port: int, leak: str | None = None) -> None:
        self.port = free_port()
        self._path = folder / "llmproxy.yaml"
        self._path.write_text(yaml.safe_dump(dict(settings), sort_keys=False), encoding="utf-8")
        self._environ = {**os.environ, "PYTHONPATH": "src:.", PROVIDER_PORT_VARIABLE: str(provider_port)}
        if leak is not None:
            self._environ[LEAK_VARIABLE] = leak
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._client = Client(self.port)
        self.log_counts: Counter[str] = Counter()
        """Lines by level and event."""
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        """Of those above `warning`, and what is no log line at all."""

    @property
    def pid(self) -> int:
        """Of the process that owns the port; workers are its children."""
        assert self._process is not None  # noqa: S101 - started
        return self._process.pid

    async def start(self) -> None:
        """Returns when it answers; raises `RuntimeError` with what it said."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.soak.worker", "--config", str(self._path), "--port", str(self.port),
            cwd=ROOT, env=self._environ, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._reading = asyncio.create_task(self._read_log())
        async with asyncio.timeout(START_S):
            while self._process.returncode is None:
                try:
                    await self._client.ask("GET", PATH, {})
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    return
        raise RuntimeError(f"the proxy did not start: {list(self.last_lines)}")

    async def stop(self) -> int:
        """Its exit code; kills it when it does not end."""
        assert self._process is not None  # noqa: S101 - started
        self._client.close()
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()

    async def look(self, path: str = PATH) -> dict[str, Any]:
        """What the probe tells."""
        told: dict[str, Any] = json.loads((await self._client.ask("GET", path, {})).body)
        return told

    def let_go(self) -> None:
        """Keep no connection to it."""
        self._client.close()

    async def _read_log(self) -> None:
        assert self._process is not None and self._process.stderr is not None  # noqa: S101 - started
        async for raw in self._process.stderr:
            line = raw.decode("utf-8", "replace").rstrip()
            try:
                told = json.loads(line)
                level, event = told["level"], told["event"]
            except (ValueError, KeyError, TypeError):
                level, event = "no log line", line[:80]
            self.log_counts[f"{level}: {event}"] += 1
            if level not in ("debug", "info", "warning"):
                self.last_lines.append(line)
