"""Processes that a run starts, and that end with it, however it ends."""

import contextlib
import os
import resource
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Self

ROOT = Path(__file__).parents[2]
_STOP_S = 10.0
_START_S = 90.0
_BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}
"""Where the environment forbids to keep compiled modules, every start would compile them anew."""

_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class DidNotStart(Exception):
    """A process ended, or did not answer in time; the text is the end of what it said."""


class Child:
    """A process in a group of its own: Ctrl-C at the terminal reaches the run alone, which then stops its children."""

    def __init__(self, name: str, command: Sequence[str], said: Path, environ: Mapping[str, str] | None) -> None:
        self.name = name
        self._said = said
        with said.open("wb") as out:
            self._process = subprocess.Popen(  # noqa: S603 - commands of our own
                list(command),
                cwd=ROOT,
                env={**os.environ, **_BYTECODE, **(environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        self.pid = self._process.pid

    @property
    def said(self) -> str:
        """What it wrote so far, both outputs together."""
        return self._said.read_text(errors="replace")

    @property
    def ended(self) -> bool:
        """Is it no longer there?"""
        return self._process.poll() is not None

    @property
    def exit_code(self) -> int | None:
        """None = it still runs; below 0 = the signal that ended it."""
        return self._process.poll()

    def wait_until(self, ready: Callable[[], bool], seconds: float = _START_S) -> None:
        """Raises `DidNotStart` when it ends before it is `ready`, or is not in time."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.ended or time.monotonic() > deadline:
                raise DidNotStart(f"{self.name} did not start: {self.said[-800:].strip() or 'it said nothing'}")
            time.sleep(0.01)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for what does not end by itself."""
        if self.ended:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()


class Children:
    """All of them; leaving the context stops those that still run, the last started first."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._running: list[Child] = []
        self._started = 0

    def start(self, name: str, command: Sequence[str], environ: Mapping[str, str] | None = None) -> Child:
        """Start one. Its output goes to a file of the scratch folder."""
        self._started += 1
        child = Child(name, command, self._scratch / f"{self._started:03}-{name}.log", environ)
        self._running.append(child)
        return child

    def stop(self, child: Child) -> None:
        """End one before the rest."""
        child.stop()
        self._running.remove(child)

    def __enter__(self) -> Self:
        signal.signal(signal.SIGTERM, _interrupt)
        _raise_file_limit()
        return self

    def __exit__(self, *_: object) -> None:
        while self._running:
            self._running.pop().stop()


def _interrupt(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's arguments
    raise KeyboardInterrupt


def _raise_file_limit() -> None:
    """1,500 connections are 3,000 sockets in a proxy; children inherit the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def answers(url: str) -> bool:
    """Does a GET get any answer at all?"""
    try:
        with _NO_PROXY.open(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def post(url: str, body: bytes, headers: Mapping[str, str], timeout_s: float = 30) -> tuple[int, bytes]:
    """One request, its status and body; status 0 = there was no answer."""
    request = urllib.request.Request(url, body, dict(headers), method="POST")  # noqa: S310 - our own http URL
    try:
        with _NO_PROXY.open(request, timeout=timeout_s) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError as error:
        return 0, str(error).encode()
