"""The idle connections of all pools together: a small part of the files that this process may open, no more.

As HAProxy's `tune.pool-high-fd-ratio` (25 %): above that the one that has been idle for longest is closed, whichever
pool it is in. One more is closed whenever the system has no file left for something else.
"""

import resource
from typing import Protocol

_SHARE = 0.25
_FEWEST = 8


class Pool(Protocol):
    """Keeps connections between two exchanges."""

    @property
    def idle_since(self) -> float:
        """When its longest idle connection was last used, by the loop's clock; inf = none is idle."""

    def close_longest_idle(self) -> None:
        """Close that connection."""


class Spare:
    """Counts the idle connections. Pools add and take off."""

    def __init__(self, most: int | None = None) -> None:
        """`most`: how many may be idle; None = a share of the files that this process may open."""
        self.count = 0
        self.most = _share_of_files() if most is None else most
        self._pools: list[Pool] = []

    def add_pool(self, pool: Pool) -> None:
        """From here on its connections count."""
        self._pools.append(pool)

    def close_longest_idle(self) -> bool:
        """Close the connection that has been idle for longest; False = none is idle."""
        if not self.count:
            return False
        min(self._pools, key=_idle_since).close_longest_idle()
        return True


def _idle_since(pool: Pool) -> float:
    return pool.idle_since


def _share_of_files() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1_000_000 if files == resource.RLIM_INFINITY else max(_FEWEST, int(files * _SHARE))
