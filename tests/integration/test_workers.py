"""Workers as processes: signals that mean nothing, workers that are stopped or die early, a port that one proxy has."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.harness import ROOT, config, eventually, free_port

MODELS = [{"model": "m", "params": {"api_key": "sk-canary", "base_url": "http://127.0.0.1:9/v1"}}]
START_S = 60

IMPATIENT = """\
import sys
from entrypoints.processes import heartbeat
heartbeat.BEAT_S, heartbeat.SILENT_S, heartbeat._ASLEEP_S = 0.1, 3.0, 0.5
from entrypoints.http import main
sys.exit(main(sys.argv[1:]))
"""
DIES_EARLY = """\
import os, sys
from pathlib import Path
from entrypoints.processes import worker
left, work = Path(os.environ["DEATHS"]), worker.work
def dying(*arguments):
    deaths = int(left.read_text())
    left.write_text(str(deaths - 1))
    if deaths > 0:
        os.kill(os.getpid(), 9)
    work(*arguments)
worker.work = dying
from entrypoints.http import main
sys.exit(main(sys.argv[1:]))
"""


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


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    """Starts a proxy; they are ended with the test."""
    with ExitStack() as stack:

        def started(name: str, port: int, *program: str, **options: Any) -> Started:
            proxy = Started(tmp_path, name, port, *(program or ("-m", "entrypoints.http")), **options)
            stack.callback(proxy.process.wait)
            stack.callback(proxy.process.kill)
            return proxy

        yield started


async def test_meaningless_signals_end_nobody_a_pause_of_all_neither_and_a_stopped_worker_is_replaced(
    start: Any,
) -> None:
    proxy = start("g", free_port(), "-c", IMPATIENT, workers=2)
    await proxy.ready()
    first = proxy.workers()
    everybody = [proxy.process.pid, *first]
    for number in (
        signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO,
        signal.SIGWINCH, signal.SIGCHLD, signal.SIGURG, signal.SIGCONT, signal.SIGRTMIN + 3,
    ):  # fmt: skip
        for pid in everybody:
            os.kill(pid, number)
    for pid in first:
        os.kill(pid, signal.SIGHUP)
        os.kill(pid, signal.SIGINT)  # as Ctrl-C does, besides the parent's

    for pid in reversed(everybody):
        os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(4)  # longer than a worker may be silent
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)
    assert await proxy.models() == ["g"]
    assert proxy.workers() == first

    os.kill(first[0], signal.SIGSTOP)
    await eventually(lambda: len(set(proxy.workers()) - {first[0]}) == 2, START_S)
    for _ in range(8):  # whichever of the two gets them
        assert await proxy.models() == ["g"]
    assert first[1] in proxy.workers()
    (silent,) = proxy.log("worker silent")
    (lost,) = proxy.log("worker lost")
    assert (silent["pid"], silent["how"]) == (first[0], "no sign of life for 3 s; it is killed")
    assert (lost["pid"], lost["how"]) == (first[0], "signal 9; it is replaced")
    proxy.process.terminate()
    assert await proxy.ended() == 0


@pytest.mark.parametrize("deaths", [1, 2])
async def test_a_first_worker_that_dies_early_is_tried_once_more(tmp_path: Path, start: Any, deaths: int) -> None:
    left = tmp_path / "deaths"
    left.write_text(str(deaths))
    proxy = start("g", free_port(), "-c", DIES_EARLY, environ={"DEATHS": str(left)})
    if deaths == 1:
        await proxy.ready()
        assert await proxy.models() == ["g"]
        assert proxy.log("worker failed") == []
        proxy.process.terminate()
        assert await proxy.ended() == 0
    else:
        assert await proxy.ended() == 1
        (failed,) = proxy.log("worker failed")
        assert failed["how"] == "signal 9, before it took a request; giving up"
    (lost,) = proxy.log("worker lost")
    assert lost["how"] == "signal 9, before it took a request; it is replaced"


async def test_of_three_that_start_in_one_moment_one_serves_and_after_kill_9_its_port_is_free(start: Any) -> None:
    port = free_port()
    proxies = {name: start(name, port, workers=2) for name in ("a", "b", "c")}
    await eventually(lambda: sum(each.process.poll() is not None for each in proxies.values()) == 2, START_S)
    ((name, winner),) = [(name, each) for name, each in proxies.items() if each.process.poll() is None]
    await winner.ready()

    assert {tuple(await winner.models()) for _ in range(8)} == {(name,)}
    for loser in (each for each in proxies.values() if each is not winner):
        (told,) = loser.log("cannot listen")
        assert loser.process.returncode == 1
        assert told["reason"].startswith(f"127.0.0.1:{port} is in use; choose another with --port or bind_port")
        assert told["reason"].endswith(f"process {winner.process.pid} listens there")

    winner.process.kill()
    winner.process.wait()
    heir = start("heir", port, workers=2)
    await heir.ready()
    assert await heir.models() == ["heir"]
    heir.process.terminate()
    assert await heir.ended() == 0
