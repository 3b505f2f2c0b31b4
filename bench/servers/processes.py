"""CPU time and memory of a process and all its descendants, as the kernel counts them."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

_PROC = Path("/proc")
_STAT_UTIME, _STAT_STIME = 11, 12
"""Places after the command's name in /proc/PID/stat: proc(5) 14 and 15."""
_IDLE, _IOWAIT = 3, 4


def counted_here() -> bool:
    """Is there a /proc to read? Without one, as on macOS, rows about CPU and memory are left out."""
    return (_PROC / "self" / "stat").exists()


def family(pid: int) -> list[int]:
    """The process and its descendants."""
    found = [pid]
    for parent in found:
        for children in (_PROC / str(parent) / "task").glob("*/children"):
            found.extend(int(child) for child in children.read_text().split())
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """CPU seconds used so far, in user and kernel mode."""
    ticks = 0
    for pid in pids:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[_STAT_UTIME]) + int(fields[_STAT_STIME])
    return ticks / os.sysconf("SC_CLK_TCK")


def starved_s(pids: Iterable[int]) -> float:
    """Seconds for which their threads could have run and no processor was free (schedstat, its second number)."""
    waited = 0
    for pid in pids:
        for thread in (_PROC / str(pid) / "task").glob("*/schedstat"):
            waited += int(thread.read_text().split()[1])
    return waited / 1e9


def busy_cores(seconds: float) -> float:
    """How many cores are in use, by anybody, during the next `seconds`; 0 where it cannot be known."""
    if not counted_here():
        return 0.0
    before = _busy_ticks()
    time.sleep(seconds)
    return (_busy_ticks() - before) / os.sysconf("SC_CLK_TCK") / seconds


def _busy_ticks() -> int:
    """User, nice, system, irq, softirq and steal of all cores: proc(5), /proc/stat."""
    fields = [int(field) for field in (_PROC / "stat").read_text().partition("\n")[0].split()[1:9]]
    return sum(fields) - fields[_IDLE] - fields[_IOWAIT]


def rss_bytes(pids: Iterable[int]) -> int:
    """Resident memory. Pages that processes share count for each of them, so this is never too little."""
    pages = sum(int((_PROC / str(pid) / "statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE")
