"""What a worker process does besides answering: it notices the shutdown, and that its parent is gone."""

import asyncio
import ctypes
import gc
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

DRAIN_SIGNAL = signal.SIGUSR1
"""What the parent sends when the shutdown begins, just before the server stops accepting."""

_COLLECT_AFTER = (20_000, 20, 50)
"""Objects more than before, collections of the youngest, and of the middle generation."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@contextmanager
def worker_process(drain: Callable[[], None]) -> Iterator[None]:
    """While the worker serves: `drain` is called when the shutdown begins. Needs a running loop in the main thread."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(DRAIN_SIGNAL, drain)
    # Ctrl-C reaches every process of a terminal at once; when a worker stops is for the parent to say.
    loop.remove_signal_handler(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    collect_seldom()
    try:
        yield
    finally:
        loop.remove_signal_handler(DRAIN_SIGNAL)


def collect_seldom() -> None:
    """What was imported stays for good, and requests leave no circles behind: looking for any as often as Python does
    (after 700 new objects) takes a tenth of the throughput (`bench`, row `throughput`)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def die_with_parent() -> None:
    """A parent that was killed cannot stop its workers, and these would go on to share its port with the next one."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
