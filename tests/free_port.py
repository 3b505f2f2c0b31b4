"""Ports for servers that are started a moment later, in a process of their own.

A port that the kernel gives (`bind` to 0) may go to somebody else's connection or server before it is listened on. So
these come from below what systems give (Linux: from 32,768, others: from 49,152), and no two processes that ask here
have the same: a UDP socket holds the number, which keeps no TCP server from it and goes with its process.
"""

import random
import socket
from collections import deque

_PORTS = range(12_000, 32_000)
_ANY = random.SystemRandom()  # the usual generator is seeded alike in each process by some tests
_HELD: deque[socket.socket] = deque()
_MOST_HELD = 128
"""A server listens long before so many others have been asked for."""


def free_port(beside: int = 0) -> int:
    """A port of loopback that nobody listens on, nor is about to; `beside` = the one so far above it is free, too."""
    while True:
        port = _ANY.choice(_PORTS)
        offsets = {0, beside}
        if port + beside in _PORTS and all(_is_silent(port + offset) and _hold(port + offset) for offset in offsets):
            return port


def _is_silent(port: int) -> bool:
    with socket.socket() as probe:
        return _binds(probe, "", port)


def _hold(port: int) -> bool:
    """False = another process, or this one, has it already."""
    mark = socket.socket(type=socket.SOCK_DGRAM)
    if not _binds(mark, "127.0.0.1", port):
        mark.close()
        return False
    _HELD.append(mark)
    if len(_HELD) > _MOST_HELD:
        _HELD.popleft().close()
    return True


def _binds(sock: socket.socket, host: str, port: int) -> bool:
    try:
        sock.bind((host, port))
    except OSError:
        return False
    return True
