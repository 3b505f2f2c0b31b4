"""Programs a row cannot do without, and how to get them."""

import platform
import shutil
from collections.abc import Callable, Mapping

from bench.load import wrk
from bench.servers import nginx, redis
from bench.servers.processes import counted_here

_FOUND: Mapping[str, Callable[[], bool]] = {
    "wrk": wrk.installed,
    "nginx": lambda: nginx.installed() is not None,
    "redis-server": lambda: redis.installed() is not None,
    "/proc": counted_here,
    "valgrind": lambda: shutil.which("valgrind") is not None,
}

_HOW: Mapping[str, tuple[str, str]] = {
    "wrk": ("apt install wrk", "brew install wrk"),
    "nginx": ("apt install nginx-light", "brew install nginx"),
    "redis-server": ("apt install redis-server", "brew install redis"),
    "/proc": ("", "only Linux has it"),
    "valgrind": ("apt install valgrind", "only Linux has it"),
}


def missing(needs: tuple[str, ...]) -> str:
    """A sentence about what is not there; empty = all is."""
    lacking = [name for name in needs if not _FOUND[name]()]
    here = 1 if platform.system() == "Darwin" else 0
    return "; ".join(f"needs {name}: {_HOW[name][here]}" for name in lacking)


def main() -> None:
    """Say what is missing, and how to get it."""
    lacking = missing(tuple(_FOUND))
    if lacking:
        print(f"bench: some rows will be left out: {lacking}")


if __name__ == "__main__":
    main()
