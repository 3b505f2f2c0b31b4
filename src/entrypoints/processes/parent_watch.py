"""What ties a process to the one that started it."""

import ctypes
import multiprocessing
import os
import signal
import sys
from multiprocessing.context import BaseContext

START_METHOD = "fork" if sys.platform == "linux" else "spawn"
"""How processes are started, whatever Python's own choice is: on Linux since 3.14 by a server that forks, and its
children would not be ours. The parent has no threads, so it can be forked; on macOS the system has some."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with(parent: int) -> None:
    """End as soon as that process does, which is called from the child, as early as can be. Only on Linux.

    A parent that was killed cannot stop its children, and these would go on to share its port with the next one.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it had ended before
            sys.exit(1)


def inherits_memory() -> bool:
    """Does a process begin with what its parent knows? Else that is sent to it."""
    return START_METHOD == "fork"


def processes() -> BaseContext:
    return multiprocessing.get_context(START_METHOD)
