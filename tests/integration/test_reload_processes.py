"""A reload of a proxy with two workers, as its user sees it: by the command, by a signal, and by itself."""

import asyncio
import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.free_port import free_port
from tests.integration.harness import ROOT, eventually
from tests.integration.started import START_S, Started

PROGRAM = ("-m", "entrypoints.http")


def served(port: int, name: str, key: str = "sk-one", **general: Any) -> str:
    """A configuration with one group of that name."""
    params = {"api_key": key, "base_url": "http://127.0.0.1:9/v1"}
    return yaml.safe_dump(
        {
            "model_groups": [{"model_group": name, "models": [{"model": "m", "params": params}]}],
            "general_settings": {"bind_port": port, "workers": 2, "log_format": "json", **general},
        }
    )


class Reloaded(Started):
    """A proxy whose configuration is a link to a link, as Kubernetes mounts it."""

    def __init__(self, folder: Path, text: str, port: int, *program: str, **options: Any) -> None:
        self.port = port
        self.folder = folder
        self.path = folder / "llmproxy.yaml"
        self._err = folder / "err"
        self._written = 0
        (folder / "..data").symlink_to("nowhere")
        self.path.symlink_to(Path("..data") / "llmproxy.yaml")
        self.write(text)
        with self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, *(program or PROGRAM), "--config", str(self.path)],
                cwd=ROOT, env={**os.environ, "PYTHONPATH": "src", "SOME_KEY": "sk-some"},
                stdout=subprocess.DEVNULL, stderr=err, start_new_session=True, **options,
            )  # fmt: skip

    def write(self, text: str) -> None:
        """A new folder, and the link swapped in one step."""
        self._written += 1
        there = self.folder / f"..{self._written}"
        there.mkdir()
        (there / "llmproxy.yaml").write_text(text)
        link = self.folder / "..data_tmp"
        link.symlink_to(there.name)
        link.rename(self.folder / "..data")

    async def command(self, *arguments: str) -> tuple[int, str, str]:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "llmproxy", "reload", *(arguments or ("--port", str(self.port)))],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": "src"}, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    async def everywhere(self, name: str, workers: int = 2) -> set[int]:
        """Asks until each worker has answered; all of them serve that group. Their pids."""
        pids: set[int] = set()
        async with asyncio.timeout(START_S):
            while len(pids) < workers:
                status = await self.status()
                assert [group["model_group"] for group in status["groups"]] == [name]
                pids.add(status["proxy"]["worker"]["pid"])
        return pids

    async def status(self) -> Any:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        try:
            async with asyncio.timeout(START_S):
                return json.loads((await reader.read()).partition(b"\r\n\r\n")[2])
        finally:
            writer.close()


@pytest.fixture(autouse=True)
def heeds_hangups() -> Iterator[None]:
    """Whoever runs the tests under `nohup` has all that they start ignore the signal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    """Starts a proxy; they are ended with the test."""
    with ExitStack() as stack:

        def started(text: str, port: int, *program: str, **options: Any) -> Reloaded:
            proxy = Reloaded(tmp_path, text, port, *program, **options)
            stack.callback(proxy.process.wait)
            stack.callback(proxy.process.kill)
            return proxy

        yield started


async def test_all_workers_take_over_what_is_valid_and_none_what_is_not(start: Any, tmp_path: Path) -> None:
    port = free_port()
    secret = tmp_path / "key"
    secret.write_text("sk-from-a-file\n")
    proxy = start(served(port, "one", "file:key"), port)
    await proxy.ready()
    first = await proxy.everywhere("one")

    proxy.write(served(port, "two", "os.environ/SOME_KEY"))
    code, out, err = await proxy.command()
    assert (code, err) == (0, "")
    assert out.count(": serves with it\n") == 2
    assert f"reloaded {proxy.path}: generation 2, in " in out
    assert "values of os.environ/ (SOME_KEY) are still those of the start" in out
    assert await proxy.everywhere("two") == first

    proxy.write(served(port, "three", "file:nowhere", max_wait="long", num_retries=-1))
    code, out, err = await proxy.command("--config", str(proxy.path))
    assert (code, out) == (2, "")
    assert [line.split(": ")[1] for line in err.splitlines()[:3]] == [
        "general_settings.max_wait", "general_settings.num_retries", "model_groups[0].models[0].params.api_key",
    ]  # fmt: skip
    assert "the file nowhere does not exist" in err
    proxy.write(served(port, "three", workers=3, redis_host="elsewhere"))
    code, _, err = await proxy.command()
    assert code == 2
    assert "general_settings.workers, general_settings.redis_host: a change needs a restart" in err
    assert await proxy.everywhere("two") == first
    told = (await proxy.status())["proxy"]
    assert (told["generation"], "a change needs a restart" in told["reload_refusal"]) == (2, True)
    assert len(proxy.log("reload refused")) == 2

    proxy.write(served(port, "three", "file:key", reload="watch"))
    proxy.process.send_signal(signal.SIGHUP)
    await eventually(lambda: proxy.log("reload")[-1]["generation"] == 3, START_S)
    assert await proxy.everywhere("three") == first

    proxy.write(served(port, "four", "file:key", reload="watch"))  # a link is swapped, the file is never written
    await eventually(lambda: proxy.log("reload")[-1]["generation"] == 4, START_S)
    assert await proxy.everywhere("four") == first
    secret.write_text("")
    await eventually(lambda: len(proxy.log("reload refused")) == 3, START_S)
    assert proxy.log("reload refused")[-1]["asked_by"] == "watch"
    secret.write_text("sk-another\n")
    await eventually(lambda: proxy.log("reload")[-1]["generation"] == 5, START_S)

    proxy.write("not: a configuration")  # what is on disk is not what a worker begins with
    os.kill(min(first), signal.SIGKILL)
    await eventually(lambda: len(set(proxy.workers()) - {min(first)}) == 2, START_S)
    second = await proxy.everywhere("four")
    assert len(second - first) == 1
    assert {(await proxy.status())["proxy"]["generation"] for _ in range(8)} == {5}

    for secret_text in ("sk-from-a-file", "sk-another", "sk-some"):
        assert secret_text not in proxy._err.read_text()
    proxy.process.terminate()
    assert await proxy.ended() == 0
    assert (await proxy.command())[0] == 1


DEAF = """\
import os, sys
from entrypoints.reload.generations import Generations
prepare = Generations.prepare
def prepared(self, settings):
    if settings.groups[0].model_group in ("crash", "hang"):
        if settings.groups[0].model_group == "crash":
            os.kill(os.getpid(), 9)
        raise RuntimeError("sk-never-shown")
    prepare(self, settings)
Generations.prepare = prepared
from entrypoints.http import main
sys.exit(main(sys.argv[1:]))
"""


async def test_a_worker_that_dies_or_is_stopped_keeps_all_of_them_as_they_are(start: Any) -> None:
    port = free_port()
    proxy = start(served(port, "one"), port, "-c", DEAF)
    await proxy.ready()
    first = await proxy.everywhere("one")

    proxy.write(served(port, "two"))
    os.kill(max(first), signal.SIGSTOP)
    code, _, err = await proxy.command("--port", str(port), "--timeout", "0.5")
    os.kill(max(first), signal.SIGCONT)
    assert code == 1
    assert "said nothing within 0.5 s" in err
    assert await proxy.everywhere("one") == first

    proxy.write(served(port, "hang"))
    code, _, err = await proxy.command()
    assert code == 2
    assert "could not be composed (RuntimeError; see the log)" in err
    proxy.write(served(port, "crash"))
    code, _, err = await proxy.command()
    assert code == 1
    assert "ended meanwhile" in err
    await eventually(lambda: len(set(proxy.workers()) - first) >= 1, START_S)
    await proxy.everywhere("one", workers=1)

    proxy.write(served(port, "two"))
    async with asyncio.timeout(START_S):
        while (await proxy.command())[0] != 0:
            await asyncio.sleep(0.1)
    await proxy.everywhere("two")
    assert "sk-never-shown" not in proxy._err.read_text()
    proxy.process.terminate()
    assert await proxy.ended() == 0


async def test_where_a_terminal_hangs_up_the_proxy_drains(start: Any) -> None:
    port = free_port()
    ours, theirs = pty.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    proxy = start(served(port, "one"), port, preexec_fn=take_terminal, pass_fds=(theirs,))
    os.close(theirs)
    await proxy.ready()
    os.close(ours)  # the window is closed

    assert await proxy.ended() == 0
    assert proxy.log("draining")[0]["signal"] == "SIGHUP"
    with suppress(OSError):
        os.close(ours)


async def test_the_demo_says_that_it_has_no_file(tmp_path: Path) -> None:
    port = free_port()
    with (tmp_path / "err").open("wb") as err:
        demo = subprocess.Popen(
            [sys.executable, "-m", "entrypoints.http", "--demo", "--port", str(port)],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": "src"}, stdout=subprocess.DEVNULL, stderr=err,
        )  # fmt: skip
    try:
        await eventually(lambda: "ready" in (tmp_path / "err").read_text(), START_S)
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "llmproxy", "reload", "--port", str(port)],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": "src"}, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 2
        assert "the demo has no configuration file" in done.stderr
    finally:
        demo.terminate()
        await asyncio.to_thread(demo.wait, START_S)
