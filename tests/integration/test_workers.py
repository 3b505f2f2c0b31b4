"""Workers as processes: signals that mean nothing, workers that are stopped or die early, a port that one proxy has."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.free_port import free_port
from tests.integration.harness import eventually
from tests.integration.started import START_S, Started

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
