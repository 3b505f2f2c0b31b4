"""What a run changes inside a replica while it runs: its clock, and which names resolve. A few bytes of a file that
both have mapped into memory."""

import mmap
import struct
from pathlib import Path

from bench.chaos.faults import SITES

DOMAIN = ".chaos.test"
_CLOCK = struct.Struct("d")
_SIZE = _CLOCK.size + len(SITES)


class Controls:
    """One replica's. The file is made where it does not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.write_bytes(bytes(_SIZE))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _SIZE)

    @property
    def clock_s(self) -> float:
        """By how much its wall clock is ahead."""
        (ahead_s,) = _CLOCK.unpack_from(self._map)
        return float(ahead_s)

    @clock_s.setter
    def clock_s(self, seconds: float) -> None:
        _CLOCK.pack_into(self._map, 0, seconds)

    def is_gone(self, site: str) -> bool:
        """Does its name not resolve?"""
        return self._map[_CLOCK.size + SITES.index(site)] != 0

    def set_gone(self, site: str, *, gone: bool) -> None:
        self._map[_CLOCK.size + SITES.index(site)] = gone
