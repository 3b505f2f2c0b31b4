"""Listening sockets, on loopback only."""

import asyncio
import contextlib
import ipaddress
import socket

_BIND_ATTEMPTS = 200


def require_loopback(host: str) -> str:
    """The address to bind. Raises `ValueError` for anything but loopback: the provider checks nobody's rights."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ValueError(f"the simulated provider listens on loopback only (127.0.0.1, ::1, localhost), not {host!r}")
    return host


def bound(host: str, port: int) -> socket.socket:
    """A socket that has the port but does not listen yet. Raises `OSError` when it cannot be had."""
    # Without the protocol named, asyncio does not switch Nagle's delay off on what this socket accepts.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


async def bound_again(host: str, port: int) -> socket.socket:
    """The same port once its listener, which closes a few turns of the loop later, is gone."""
    for _ in range(_BIND_ATTEMPTS):
        with contextlib.suppress(OSError):
            return bound(host, port)
        await asyncio.sleep(0.005)
    return bound(host, port)
