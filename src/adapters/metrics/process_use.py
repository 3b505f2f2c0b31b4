"""What this process takes of the machine, as the system says it."""

import os
from contextlib import suppress
from pathlib import Path

from application.observing.worker_reports import ProcessUse
from application.ports import Clock

_FRESH_S = 1.0
"""To count open files means to list them: what is younger than this is said again."""


class ProcessMeter:
    """Reads it (proc(5)); elsewhere only the CPU time is known."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._read_at = float("-inf")
        self._use = ProcessUse(0.0, None, None)

    def __call__(self) -> ProcessUse:
        """Now, or a second ago."""
        now = self._clock.now()
        if now - self._read_at >= _FRESH_S:
            self._read_at = now
            self._use = _read()
        return self._use


def _read() -> ProcessUse:
    spent = os.times()
    resident = files = None
    with suppress(OSError):
        resident = resident_bytes()
        files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a path for each of thousands is dear
    return ProcessUse(spent.user + spent.system, resident, files)


def resident_bytes() -> int:
    """Of this process (proc(5), statm). Raises `OSError` where there is no such file."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
