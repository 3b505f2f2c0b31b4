"""`llmproxy reload`: has the proxy that runs here take over its configuration, and says what became of it."""

import argparse
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from entrypoints.reload.control import Wanted, running_at, user_of

_GRACE_S = 10.0
"""Reading the file, and the workers' last answers, come on top of the time that they may take to prepare."""
_GREETING_S = 5.0


class Running(Struct, frozen=True):
    """A proxy that runs here, as it introduces itself."""

    pid: int
    port: int
    config: str


def main(arguments: Sequence[str], prog: str = "python -m entrypoints.reload.command") -> int:
    """The exit code is 0 when all workers serve with the new configuration, 2 when it has mistakes or needs a restart,
    1 when no proxy runs here or its workers did not answer: that may be different later."""
    options = _parse(arguments, prog)
    with ExitStack() as stack:
        found = [each for each in _proxies(stack) if _is_meant(each[0], options)]
        if len(found) != 1:
            return _not_one([running for running, _ in found], options)
        return _reload(*found[0], options)


def _reload(running: Running, sock: socket.socket, options: argparse.Namespace) -> int:
    sock.settimeout(options.timeout + _GRACE_S)
    try:
        sock.sendall(msgspec.json.encode(Wanted(options.timeout)) + b"\n")
        verdict = msgspec.json.decode(_line(sock))
    except (OSError, ValueError, RecursionError):
        print(f"llmproxy: the proxy at port {running.port} (process {running.pid}) gave no answer", file=sys.stderr)
        return 1
    return _told(verdict, running)


def _told(verdict: dict[str, Any], running: Running) -> int:
    is_done = verdict["outcome"] == "reloaded"
    out = sys.stdout if is_done else sys.stderr
    for worker in verdict["workers"]:
        print(f"worker {worker['worker']} (process {worker['pid']}): {worker['said']}", file=out)
    if is_done:
        print(f"reloaded {running.config}: generation {verdict['generation']}, in {verdict['seconds']} s")
        if verdict["environment"]:
            names = ", ".join(verdict["environment"])
            print(f"values of os.environ/ ({names}) are still those of the start: only a restart reads them anew")
        return 0
    if not verdict["workers"]:  # else these are their words
        print(*verdict["reasons"], sep="\n", file=out)
    print("not reloaded: the proxy serves on with the configuration before", file=out)
    return 2 if verdict["outcome"] == "refused" else 1


def _proxies(stack: ExitStack) -> list[tuple[Running, socket.socket]]:
    """Those of this user, or of all for root, that answer; `stack` closes their sockets."""
    uid = os.getuid()
    found = []
    for owner, _, address in running_at(None if uid == 0 else uid):
        sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        sock.settimeout(_GREETING_S)
        with suppress(OSError, ValueError, RecursionError):
            sock.connect(address)
            if user_of(sock) in (None, owner):  # anybody might take the name
                found.append((msgspec.json.decode(_line(sock), type=Running), sock))
    return found


def _line(sock: socket.socket) -> bytes:
    """Raises `OSError` when none comes."""
    line = b""
    while not line.endswith(b"\n"):
        some = sock.recv(65536)
        if not some:
            raise ConnectionResetError
        line += some
    return line


def _is_meant(running: Running, options: argparse.Namespace) -> bool:
    if options.port is not None and running.port != options.port:
        return False
    return options.config is None or Path(running.config).resolve() == options.config.resolve()


def _not_one(found: Sequence[Running], options: argparse.Namespace) -> int:
    if found:
        print("llmproxy: several proxies run here; say which with --port or --config:", file=sys.stderr)
        for each in found:
            print(f"  port {each.port}, process {each.pid}, configured by {each.config}", file=sys.stderr)
        return 2
    port = "" if options.port is None else f" at port {options.port}"
    config = "" if options.config is None else f" with {options.config}"
    print(f"llmproxy: no proxy of this user runs here{port}{config}; to start one: llmproxy serve", file=sys.stderr)
    return 1


def _parse(arguments: Sequence[str], prog: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Has the proxy that runs here take over its configuration as it is now: all workers, or none. "
        "Exit code: 0 done; 2 mistakes, or a change that needs a restart; 1 no proxy runs here, or no answer in time.",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the proxy that serves this file")
    parser.add_argument("--port", type=int, metavar="N", help="the proxy that listens on this port")
    parser.add_argument(
        "--timeout", type=_seconds, default=30.0, metavar="S", help="how long the workers may take to prepare (30)"
    )
    return parser.parse_args(arguments)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"'{text}' is no time; valid: a number of seconds above 0, up to 3600")
    return seconds
