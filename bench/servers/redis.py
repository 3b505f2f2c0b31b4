"""A Redis of the run's own: the one on PATH, or the one that the development dependencies bring."""

import shutil
import socket
import sys
from pathlib import Path

from bench.servers.children import Children
from tests.free_port import free_port


def installed() -> str | None:
    """The path of redis-server; None = it is not there."""
    return shutil.which("redis-server") or shutil.which("redis-server", path=Path(sys.executable).parent)


def start(children: Children) -> str:
    """Start it, empty and without persistence; its URL."""
    program = installed()
    if program is None:
        raise FileNotFoundError("redis-server")
    port = free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    child = children.start("redis", [program, *options])
    child.wait_until(lambda: _accepts(port))
    return f"redis://127.0.0.1:{port}/0"


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as peer:
            peer.sendall(b"PING\r\n")
            return peer.recv(64).startswith(b"+PONG")
    except OSError:
        return False
