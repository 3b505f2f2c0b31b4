"""The real proxy as a process of its own, as a user starts it. `composed.py` has the one that most tests use."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from simulator import SimulatedProvider
from tests.free_port import free_port

ROOT = Path(__file__).parents[2]
START_S = 20


def endpoint(provider: SimulatedProvider | str, **changes: Any) -> dict[str, Any]:
    """A model of the config for a provider (or a URL); `params` are merged, other keys stand beside them."""
    base = provider if isinstance(provider, str) else f"{provider.url}/v1"
    params = {"api_key": "sk-canary-upstream-key", "base_url": base, **changes.pop("params", {})}
    return {"model": "gpt-sim", "weight": 1, "params": params, **changes}


def config(models: Sequence[dict[str, Any]], group: str = "gpt", **general: Any) -> dict[str, Any]:
    """A config with one group."""
    return {"model_groups": [{"model_group": group, "models": list(models)}], "general_settings": general}


class Proxy:
    """A proxy that serves, however it runs."""

    url: str
    port: int

    async def start(self) -> None:
        """Returns when it answers."""
        raise NotImplementedError

    async def stop(self) -> int:
        """The exit code of the process that ends, 0 where none does."""
        raise NotImplementedError

    @property
    def output(self) -> str:
        """Standard output so far."""
        raise NotImplementedError

    @property
    def errors(self) -> str:
        """Standard error so far."""
        raise NotImplementedError

    def log(self, event: str = "request") -> list[dict[str, Any]]:
        """The log lines of one kind so far."""
        lines = [json.loads(line) for line in self.errors.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]


class ProxyProcess(Proxy):
    """`python -m entrypoints.http` with a config, until `stop()`."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._take_port()
        self._path = folder / f"llmproxy-{self.port}.yaml"
        self._path.write_text(yaml.safe_dump(dict(settings), sort_keys=False))
        self._environ = {**os.environ, **(environ or {}), "PYTHONPATH": "src"}
        self.process: asyncio.subprocess.Process | None = None

    def _take_port(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._out = self._folder / f"stdout-{self.port}.txt"
        self._err = self._folder / f"stderr-{self.port}.txt"

    async def start(self) -> None:
        """Returns when it answers."""
        for _ in range(3):
            if await self._answers():
                return
            if "is in use" not in self.errors:
                break
            self._take_port()  # somebody was faster: a client's own port can be any that is free
        raise RuntimeError(f"the proxy did not start: {self.errors}")

    async def _answers(self) -> bool:
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "entrypoints.http", "--config", str(self._path), "--port", str(self.port),
                cwd=ROOT, env=self._environ, stdout=out, stderr=err,
            )  # fmt: skip
        async with asyncio.timeout(START_S), aiohttp.ClientSession() as session:
            while self.process.returncode is None:
                try:
                    async with session.get(f"{self.url}/health/live"):
                        return True
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
        return False

    async def stop(self, how: int = signal.SIGTERM) -> int:
        """Signal it, and wait for its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(how)
        async with asyncio.timeout(60):
            return await self.process.wait()

    @property
    def output(self) -> str:
        """Standard output so far."""
        return self._out.read_text()

    @property
    def errors(self) -> str:
        """Standard error so far."""
        return self._err.read_text()

    def worker_pids(self) -> list[int]:
        """The processes that serve."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]


async def eventually(true: Any, seconds: float = 10.0) -> None:
    """Wait until `true()` is; fails after `seconds`, which is how long to wait and not how fast it must be."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)
