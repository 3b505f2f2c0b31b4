"""Signals that mean nothing to the proxy, and of which a process dies unless it says otherwise."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_NAMES = ("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR", "SIGPIPE")


@contextmanager
def meaningless_signals_ignored() -> Iterator[None]:
    """By this process and those it starts. What somebody else has given a meaning keeps it."""
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    if hasattr(signal, "SIGRTMIN"):
        numbers += range(signal.SIGRTMIN, signal.SIGRTMAX + 1)
    ours = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
