"""Sockets that are open and say nothing: what the proxy's memory has more of for each."""

import socket
import time
from urllib.parse import urlsplit

from bench.load.socket_client import handshake
from bench.servers import responses
from bench.servers.processes import rss_bytes
from bench.servers.subjects import Subject

_SETTLE_S = 1.0
_WARM_UP = 50


def idle_socket_bytes(subject: Subject, count: int) -> float:
    """Resident memory for each of `count` sockets, when they are open, beyond what it was before. Raises `RuntimeError`
    when one is refused."""
    port = urlsplit(subject.url).port or 80
    asked = handshake(responses.PATH, subject.headers)
    for each in [_open(port, asked) for _ in range(_WARM_UP)]:
        each.close()
    time.sleep(_SETTLE_S)
    before = rss_bytes(subject.pids())
    sockets = [_open(port, asked) for _ in range(count)]
    time.sleep(_SETTLE_S)
    after = rss_bytes(subject.pids())
    for each in sockets:
        each.close()
    return (after - before) / count


def _open(port: int, asked: bytes) -> socket.socket:
    opened = socket.create_connection(("127.0.0.1", port), timeout=10)
    opened.sendall(asked)
    reply = opened.recv(65_536)
    if not reply.startswith(b"HTTP/1.1 101 "):
        raise RuntimeError(f"a socket was refused: {reply[:200].decode('latin-1')}")
    return opened
