"""nginx with deploy/nginx.conf before several replicas on this machine: its ports, folders and names are changed, and
what `location /` answers says which replica it is from."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench.servers.children import ROOT, Child, Children, answers
from bench.servers.nginx import installed
from tests.free_port import free_port

REPLICA_HEADER = "x-bench-replica"
"""`host:port`, of several replicas that were asked the last one's."""


def start(children: Children, folder: Path, ports: Sequence[int]) -> tuple[Child, int]:
    """Start it; the process and the port it listens on. Raises FileNotFoundError where there is no nginx."""
    nginx = installed()
    if nginx is None:
        raise FileNotFoundError("nginx")
    home = folder / "front"
    home.mkdir()
    port = free_port()
    text = (ROOT / "deploy/nginx.conf").read_text(encoding="utf-8")
    names = iter(ports)
    for pattern, own in {
        r"listen 8080;": f"listen 127.0.0.1:{port}; add_header {REPLICA_HEADER} $upstream_addr always;",
        r"/tmp/": f"{home}/",  # noqa: S108 - what is replaced
        r"worker_processes auto;": "worker_processes 1;" + (" user root;" if os.getuid() == 0 else ""),
    }.items():
        text, count = re.subn(pattern, own, text)
        if not count:
            raise ValueError(f"deploy/nginx.conf has no '{pattern}' any more")
    text = re.sub(r"server proxy(?:-2)?:4000( [^;]*;)", lambda line: _server(next(names, None), line[1]), text)
    path = home / "nginx.conf"
    path.write_text(text, encoding="utf-8")
    child = children.start(
        "nginx", [nginx, "-p", str(home), "-e", str(home / "error.log"), "-c", str(path), "-g", "daemon off;"]
    )
    child.wait_until(lambda: answers(f"http://127.0.0.1:{port}/health/live"))
    return child, port


def troubles(folder: Path) -> Counter[str]:
    """What it said of replicas, but for those that took no connection: then it asked the other one."""
    said = (folder / "front/error.log").read_text(encoding="utf-8", errors="replace").splitlines()
    lines = [line.partition(": *")[2].partition(" ")[2].partition(", client:")[0] for line in said]
    return Counter(line for line in lines if line and "while connecting" not in line)


def _server(port: int | None, options: str) -> str:
    """A line of `upstream`; None = there are fewer replicas than lines."""
    return "" if port is None else f"server 127.0.0.1:{port}{options}"
