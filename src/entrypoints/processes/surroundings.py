"""What a program puts right before anything else: standard streams that a supervisor or a shell closed (`2>&-`), and
signals that mean nothing to the proxy, and of which a process dies unless it says otherwise."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

_MEANINGLESS = ("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR", "SIGPIPE")


def open_standard_streams() -> None:
    """Put /dev/null in the place of those that are closed, as the first thing a program does.

    Python has None in their place, and the first socket would get their number: what is written to standard error by
    anything below Python would go to a client.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
    sys.stdout = sys.stdout or _writer(1)
    sys.stderr = sys.stderr or _writer(2)


def _writer(number: int):  # type: ignore[no-untyped-def]
    return open(number, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


def terminal_may_hang_up() -> bool:
    """Does SIGHUP mean that the terminal has gone away? Elsewhere (a service, a container) nobody sends it but people
    who want a reload. To be asked at the start: a terminal that has gone is none any more."""
    if os.getpid() == 1:
        return False  # the first process of a container, with a terminal or without
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def say(text: str) -> None:
    """Print a text; that nobody can read it is no reason to stop, nor to end with an error."""
    try:
        print(text, flush=True)
    except (OSError, ValueError):
        # What could not be written is still in the buffer, and Python would try again when it ends.
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.close(nowhere)


@contextlib.contextmanager
def meaningless_signals_ignored() -> Iterator[None]:
    """By this process and those it starts. What somebody else has given a meaning keeps it."""
    numbers = [getattr(signal, name) for name in _MEANINGLESS if hasattr(signal, name)]
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
