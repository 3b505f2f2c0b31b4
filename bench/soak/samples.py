"""What a process takes, read from /proc, and many samples kept as few blocks."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

_HELD = frozenset({"01", "08"})
"""Established, and closed by the other side while nobody here has noticed (CLOSE_WAIT): both hold a file."""

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_KB = 1024


class Block(NamedTuple):
    """Some samples in a row: their middle in time and requests, and for each metric the least, the median, the most."""

    at_s: float
    requests: float
    values: Mapping[str, tuple[float, float, float]]


class Samples:
    """Takes a sample a second for as long as a run may be, and holds a block for every `block_s` seconds of them."""

    def __init__(self, block_s: float) -> None:
        self.blocks: list[Block] = []
        self._block_s = block_s
        self._open: list[tuple[float, int, Mapping[str, float]]] = []

    def add(self, at_s: float, requests: int, values: Mapping[str, float]) -> None:
        """One sample: seconds since the start, requests so far, and the metrics; some may be missing from some."""
        if self._open and at_s >= self._open[0][0] + self._block_s:
            self.close()
        self._open.append((at_s, requests, values))

    def close(self) -> None:
        """Nothing follows, or what follows belongs elsewhere."""
        if not self._open:
            return
        names = dict.fromkeys(name for _, _, values in self._open for name in values)
        columns = {name: [v[name] for _, _, v in self._open if name in v] for name in names}
        self.blocks.append(
            Block(
                median(at_s for at_s, _, _ in self._open),
                median(requests for _, requests, _ in self._open),
                {name: (min(column), median(column), max(column)) for name, column in columns.items()},
            )
        )
        self._open = []


def column(blocks: Iterable[Block], metric: str) -> tuple[list[float], list[float]]:
    """Requests and the metric's medians of the blocks that have it."""
    having = [(block.requests, block.values[metric][1]) for block in blocks if metric in block.values]
    return [x for x, _ in having], [y for _, y in having]


def read_processes(pids: Sequence[int]) -> dict[str, float]:
    """Sums over the processes: bytes of memory, open files, threads, seconds of CPU."""
    total = dict.fromkeys(("rss", "pss", "uss", "fds", "threads", "cpu_s"), 0.0)
    for pid in pids:
        try:
            one = _read_process(Path(f"/proc/{pid}"))
        except OSError:  # it has just ended
            continue
        for name, value in one.items():
            total[name] += value
    return total


def _read_process(folder: Path) -> dict[str, float]:
    rollup = {}
    for line in (folder / "smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, _, rest = line.partition(":")
        rollup[name] = int(rest.split()[0]) * _KB
    # The name in parentheses may hold spaces; field 14 and 15 are the ticks in user and system mode (proc(5)).
    stat = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return {
        "rss": int((folder / "statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES,
        "pss": rollup["Pss"],
        "uss": rollup["Private_Clean"] + rollup["Private_Dirty"],
        "fds": len(os.listdir(folder / "fd")),  # noqa: PTH208 - no paths are needed, and there may be thousands
        "threads": int(stat[17]),
        "cpu_s": (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK"),
    }


def read_connections(client_port: int, provider_ports: Iterable[int]) -> dict[str, float]:
    """Open connections, as the kernel has them: of clients to the proxy, and of the proxy to providers."""
    providers = {f"{port:04X}" for port in provider_ports}
    proxy = f"{client_port:04X}"
    clients = upstream = 0
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[3] in _HELD:
            clients += fields[1].endswith(proxy)
            upstream += fields[2][-4:] in providers
    return {"client_connections": clients, "upstream_connections": upstream}
