"""The workers that answer at the port: how many, and how many connections each may take."""

import contextlib
import os
import resource
import sys
from collections.abc import Callable

from adapters.metrics.shared_slots import SharedSlots
from entrypoints.config.settings import GeneralSettings
from entrypoints.processes.events import Events
from entrypoints.processes.parent_watch import inherits_memory
from entrypoints.processes.supervisor import Workers
from entrypoints.processes.tcp_port import BACKLOG, Listening
from entrypoints.reload.reloader import Reloader

MOST_CONNECTIONS = 16_384
"""That a worker takes at most: open streams are many and mostly idle."""

_MANY_FILES = 10_240 if sys.platform == "darwin" else 1_048_576
_OWN_FILES = 64


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
    if files == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(8, min(MOST_CONNECTIONS, (files - _OWN_FILES) // 2))


def worker_count(general: GeneralSettings) -> int:
    return os.cpu_count() or 1 if general.workers == "auto" else general.workers


def serve(
    listening: Listening,
    reloader: Reloader,
    events: Events,
    on_ready: Callable[[], None] = lambda: None,
    *,
    hangup_reloads: bool = False,
) -> int:
    """Serve what `reloader` says until a signal comes; the exit code. `on_ready` is called when all workers take
    connections. `hangup_reloads`: see `Workers`."""
    count = len(listening.by_worker)
    slots = None if count == 1 else SharedSlots(count) if inherits_memory() else SharedSlots.in_file(count)
    bounds = (_connections_allowed(), BACKLOG)
    workers = Workers(listening.by_worker, bounds, slots, reloader, events, on_ready, hangup_reloads=hangup_reloads)
    try:
        return workers.run()
    finally:
        if slots is not None:
            slots.remove()
