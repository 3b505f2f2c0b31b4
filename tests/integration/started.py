"""A proxy as a process of its own, with its log, its workers and what it serves."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.integration.harness import ROOT, config, eventually

MODELS = [{"model": "m", "params": {"api_key": "sk-canary", "base_url": "http://127.0.0.1:9/v1"}}]
START_S = 60


class Started:
    """A proxy as a process, on a port of its own."""

    def __init__(
        self, folder: Path, name: str, port: int, *program: str, environ: dict[str, str] | None = None, **general: Any
    ) -> None:
        self.port = port
        self._err = folder / f"{name}.err"
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(config(MODELS, name, bind_port=port, log_format="json", **general)))
        with self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, *program, "--config", str(path)],
                cwd=ROOT, env={**os.environ, "PYTHONPATH": "src", **(environ or {})},
                stdout=subprocess.DEVNULL, stderr=err,
            )  # fmt: skip

    def log(self, event: str) -> list[dict[str, Any]]:
        lines = (json.loads(line) for line in self._err.read_text().splitlines() if line.startswith("{"))
        return [line for line in lines if line["event"] == event]

    async def ready(self) -> None:
        await eventually(lambda: self.log("ready") or self.process.poll() is not None, START_S)
        assert self.process.poll() is None, self._err.read_text()

    async def ended(self) -> int:
        return await asyncio.to_thread(self.process.wait, START_S)

    def workers(self) -> list[int]:
        pid = self.process.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    async def models(self) -> list[str]:
        """What it serves, asked on a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        try:
            async with asyncio.timeout(START_S):
                body = (await reader.read()).partition(b"\r\n\r\n")[2]
        finally:
            writer.close()
        return [each["id"] for each in json.loads(body)["data"]]
