"""How the proxy starts and stops, as a process: what it says and when, where it listens, whatever its streams are."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.free_port import free_port
from tests.integration.harness import ROOT, config

CONFIG = config([{"model": "m", "params": {"api_key": "sk-canary", "base_url": "http://127.0.0.1:9/v1"}}])
START_S = 60


class Started:
    """`python -m entrypoints.http`, its streams in files unless they are said to be something else."""

    def __init__(self, folder: Path, program: Sequence[str], **general: Any) -> None:
        self.port = free_port()
        self.out, self.err = folder / "out.txt", folder / "err.txt"
        path = folder / "llmproxy.yaml"
        path.write_text(yaml.safe_dump({**CONFIG, "general_settings": {"bind_port": self.port, **general}}))
        self._command = [sys.executable, *program, "--config", str(path)]

    def run(self, redirections: str, **options: Any) -> None:
        shell = f'exec "$@" >{self.out} 2>{self.err} {redirections}'
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", shell, "bash", *self._command],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": "src"},
            **options,
        )

    async def answers(self, host: str = "127.0.0.1") -> bytes:
        """The answer to GET /health/live, when there is one."""
        async with asyncio.timeout(START_S):
            while self.process.poll() is None:
                try:
                    reader, writer = await asyncio.open_connection(host, self.port)
                except OSError:
                    await asyncio.sleep(0.05)
                    continue
                return await ask(reader, writer)
        raise AssertionError(f"it ended: {self.err.read_text()}")

    async def until_said(self, path: Path, words: str) -> str:
        async with asyncio.timeout(START_S):
            while words not in (path.read_text() if path.exists() else ""):
                assert self.process.poll() is None, self.err.read_text()
                await asyncio.sleep(0.02)
        return path.read_text()

    async def stop(self, how: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return await asyncio.to_thread(self.process.wait, 60)

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.err.read_text().splitlines()]


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    try:
        return await reader.read()
    finally:
        writer.close()


@contextmanager
def start(
    folder: Path,
    redirections: str = "",
    program: Sequence[str] = ("-m", "entrypoints.http"),
    pass_fds: Sequence[int] = (),
    **general: Any,
) -> Iterator[Started]:
    started = Started(folder, program, **general)
    started.run(redirections, pass_fds=pass_fds)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
        started.process.wait()


async def test_with_json_lines_each_event_is_one_object_for_all_workers_and_ready_means_ready(tmp_path: Path) -> None:
    with start(tmp_path, bind_address="localhost", workers=2, log_format="json") as proxy:
        said = await proxy.until_said(proxy.out, "listens on")
        for host in ("127.0.0.1", "::1"):  # at once: no other try
            assert (await ask(*await asyncio.open_connection(host, proxy.port))).startswith(b"HTTP/1.1 200")
        assert await proxy.stop() == 0

    lines = [line for line in proxy.log() if line["event"] != "request"]
    assert [line["event"] for line in lines] == ["start", "configuration warning", "ready", "draining", "stop"]
    begun, warning, ready, draining, stopped = lines
    assert begun["workers"] == 2 and begun["config"].endswith("llmproxy.yaml")
    assert warning["level"] == "warning" and "workers" in warning["warning"]
    assert ready["url"] == f"http://localhost:{proxy.port}"
    assert ready["addresses"] == f"127.0.0.1:{proxy.port}, [::1]:{proxy.port}"
    assert (draining["signal"], draining["seconds"]) == ("SIGTERM", 30)
    assert stopped["exit_code"] == 0
    assert [json.loads(line)["event"] for line in said.splitlines()] == ["banner"]
    assert f"http://localhost:{proxy.port}" in json.loads(said)["text"]
    assert "sk-canary" not in said + proxy.err.read_text()


async def test_with_text_lines_the_banner_is_for_people(tmp_path: Path) -> None:
    with start(tmp_path, log_format="text") as proxy:
        said = await proxy.until_said(proxy.out, "stores:")
        assert await proxy.stop(signal.SIGINT) == 0

    assert said.startswith(f"LLMProxy listens on http://127.0.0.1:{proxy.port}, 1 worker(s)")
    errors = proxy.err.read_text().splitlines()
    assert [line.split(" ")[2:4] for line in errors] == [
        ["INFO", word] for word in ("start", "ready", "draining", "stop")
    ]
    assert "signal=SIGINT" in errors[2]


@pytest.mark.parametrize("redirections", ["2>&-", ">&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
async def test_whatever_its_streams_are_it_serves_and_ends_well(tmp_path: Path, redirections: str) -> None:
    with start(tmp_path, redirections) as proxy:
        assert (await proxy.answers()).startswith(b"HTTP/1.1 200")
        assert await proxy.stop() == 0


async def test_nobody_who_reads_what_it_says_is_no_reason_to_end_with_an_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with start(tmp_path, f">&{writing}", pass_fds=(writing,)) as proxy:
        os.close(writing)
        await proxy.until_said(proxy.err, '"ready"')
        assert (await proxy.answers()).startswith(b"HTTP/1.1 200")
        assert await proxy.stop() == 0


FORKSERVER = (
    "import multiprocessing, sys\n"
    "sys.modules['uvloop'] = None\n"  # as where it does not exist
    "multiprocessing.set_start_method('forkserver')\n"  # Python's own choice on Linux since 3.14
    "from entrypoints.http import main\nsys.exit(main(sys.argv[1:]))\n"
)
SPAWN = (
    "import sys\nfrom entrypoints.processes import parent_watch\n"
    "parent_watch.START_METHOD = 'spawn'\n"  # as on macOS
    "from entrypoints.http import main\nsys.exit(main(sys.argv[1:]))\n"
)


@pytest.mark.parametrize("program", [FORKSERVER, SPAWN], ids=["forkserver, no uvloop", "spawn"])
async def test_it_serves_however_python_starts_processes(tmp_path: Path, program: str) -> None:
    with start(tmp_path, program=("-c", program), workers=2, bind_address="localhost") as proxy:
        await proxy.until_said(proxy.err, '"ready"')
        for host in ("127.0.0.1", "::1"):
            assert (await proxy.answers(host)).startswith(b"HTTP/1.1 200")
        assert await proxy.stop() == 0

    assert "Traceback" not in proxy.err.read_text()


@pytest.mark.parametrize("flag", ["--or-demo", "--demo"])
async def test_the_demo_takes_the_port_it_is_told(tmp_path: Path, flag: str) -> None:
    port = free_port()
    environ: Mapping[str, str] = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "LLMPROXY_CONFIG": ""}
    with (tmp_path / "out.txt").open("wb") as out, (tmp_path / "err.txt").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "entrypoints.http", flag, "--port", str(port)],
            cwd=tmp_path, env=environ, stdout=out, stderr=err,
        )  # fmt: skip
    try:
        async with asyncio.timeout(START_S):
            while "listens on" not in (tmp_path / "out.txt").read_text():
                assert process.poll() is None, (tmp_path / "err.txt").read_text()
                await asyncio.sleep(0.05)
        assert (await ask(*await asyncio.open_connection("127.0.0.1", port))).startswith(b"HTTP/1.1 200")
    finally:
        process.terminate()
        assert await asyncio.to_thread(process.wait, 60) == 0
