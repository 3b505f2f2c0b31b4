"""The process that owns the port: granian with our shutdown.

SIGTERM or SIGINT: workers are told to drain, stop accepting, and end when their last request has, or shortly after
`drain_timeout`, when the requests still running are ended with an error. A second signal ends them at once.
"""

import contextlib
import errno
import math
import os
import resource
import socket
import sys
from collections.abc import Callable
from typing import Any

from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from entrypoints.settings import GeneralSettings
from entrypoints.worker import DRAIN_SIGNAL

BACKLOG = 16_384
"""Connections the kernel queues, and requests a worker takes at a time: open streams are many and mostly idle."""

_MANY_FILES = 10_240 if sys.platform == "darwin" else 1_048_576
_OWN_FILES = 64
_KILL_GRACE_S = 5
_HEADER_TIMEOUT_MS = 30_000
"""Granian's one timer for slow headers and for idle connections: short enough for the first, long for the second."""

_HEADER_BYTES = 64 * 1024


class PortTaken(Exception):
    """Somebody else listens there, or we may not."""


class ProxyServer(MPServer):
    """Granian's multi-process server; what is overridden is what it leaves open about stopping."""

    _stopping = False

    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        """First signal: stop in order. Second: at once."""
        if self._stopping:
            for worker in self.wrks:
                worker.kill()
        self._stopping = True
        super().signal_handler_interrupt(*args, **kwargs)

    def _stop_workers(self) -> None:
        for worker in self.wrks:
            if worker.is_alive():
                os.kill(worker.inner.pid, DRAIN_SIGNAL)
        super()._stop_workers()


def address_to_bind(host: str, port: int) -> str:
    """The IP address that `host` names, if its port is free; raises `PortTaken`.

    Workers share the port (SO_REUSEPORT), so without this look a second proxy would start as well.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror:
        raise PortTaken(f"cannot listen on '{host}': no such host; use an IP address") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(f"{host}:{port} is in use; choose another with --port or bind_port") from None
        raise PortTaken(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    return str(address[0])


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
    return BACKLOG if files == resource.RLIM_INFINITY else max(8, min(BACKLOG, (files - _OWN_FILES) // 2))


def serve(general: GeneralSettings, address: str, load_app: Callable[[], Any]) -> None:
    """Serve until a signal comes. `load_app` runs in each worker."""
    connections = _connections_allowed()
    server = ProxyServer(
        "llmproxy",
        address=address,
        port=general.bind_port,
        interface=Interfaces.ASGI,
        workers=os.cpu_count() or 1 if general.workers == "auto" else general.workers,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        websockets=False,
        backlog=BACKLOG,
        backpressure=connections,
        http1_settings=HTTP1Settings(header_read_timeout=_HEADER_TIMEOUT_MS, max_buffer_size=_HEADER_BYTES),
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        workers_kill_timeout=math.ceil(general.drain_timeout) + _KILL_GRACE_S,
    )
    server.serve(target_loader=load_app, wrap_loader=False)
