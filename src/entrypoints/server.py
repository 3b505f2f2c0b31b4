"""The port: who may have it, how many connections, and the workers that answer there."""

import contextlib
import errno
import os
import resource
import socket
import sys
from collections.abc import Callable, Sequence

from entrypoints.settings import GeneralSettings, Settings
from entrypoints.workers import Workers

_BACKLOG = 16_384
"""Connections that the kernel queues, and that a worker takes: open streams are many and mostly idle."""

_MANY_FILES = 10_240 if sys.platform == "darwin" else 1_048_576
_OWN_FILES = 64
_KILL_GRACE_S = 5.0


class PortTaken(Exception):
    """Somebody else listens there, or we may not."""


def bind(host: str, port: int, workers: int) -> Sequence[socket.socket]:
    """A socket for each worker; raises `PortTaken`.

    On Linux the kernel spreads connections over sockets of one port. Elsewhere it does not, and workers share one.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if workers == 1 or sys.platform != "linux":
            return [_bound(family, address)] * workers
        _bound(family, address).close()  # a port that others share with us would be no error below
        return [_bound(family, address, shared=True) for _ in range(workers)]
    except socket.gaierror:
        raise PortTaken(f"cannot listen on '{host}': no such host; use an IP address") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(f"{host}:{port} is in use; choose another with --port or bind_port") from None
        raise PortTaken(f"cannot listen on {host}:{port}: {error.strerror or error}") from None


def _bound(family: int, address: object, *, shared: bool = False) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)  # type: ignore[arg-type] # what getaddrinfo gave
    except OSError:
        sock.close()
        raise
    return sock


def _connections_allowed() -> int:
    """How many connections a worker may take, after raising the limit of open files as far as we may.

    Each request in flight holds two sockets. A server that takes more connections than it has files left can neither
    answer them nor refuse them; those it does not take wait in the backlog.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, _MANY_FILES)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _BACKLOG if files == resource.RLIM_INFINITY else max(8, min(_BACKLOG, (files - _OWN_FILES) // 2))


def worker_count(general: GeneralSettings) -> int:
    """How many there are to be."""
    return os.cpu_count() or 1 if general.workers == "auto" else general.workers


def serve(general: GeneralSettings, sockets: Sequence[socket.socket], settings: Callable[[], Settings]) -> int:
    """Serve until a signal comes; the exit code. `settings` is called in each worker."""
    options = (settings, _connections_allowed(), _BACKLOG)
    return Workers(sockets, options, general.drain_timeout + _KILL_GRACE_S).run()
