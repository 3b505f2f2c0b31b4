"""Which process listens on a port, for the message that it is in use. Only on Linux, from /proc (proc(5))."""

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

Place = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]
"""Where a socket listens: the family, and the address as sockets of it have it."""

_PROC = Path("/proc")
_LISTEN = "0A"


def holder_of(place: Place) -> int | None:
    """The pid; None = it cannot be known, as it is another user's or another container's. Of a process and its
    children that all have the socket it is the process."""
    links = {f"socket:[{inode}]" for inode in _inodes(place)}
    holders = {pid for pid in _pids() if links and _has_one(_PROC / str(pid) / "fd", links)}
    return min((pid for pid in holders if _parent(pid) not in holders), default=None)


def _inodes(place: Place) -> Iterator[str]:
    family, (host, port, *_) = place
    packed = socket.inet_pton(family, host.partition("%")[0])
    ours = "".join(f"{word:08X}" for word in struct.unpack(f"={len(packed) // 4}I", packed))
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (_PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                theirs, _, their_port = fields[1].partition(":")
                if fields[3] == _LISTEN and int(their_port, 16) == port and _meet(ours, theirs):
                    yield fields[9]


def _meet(ours: str, theirs: str) -> bool:
    """Addresses in hexadecimal: one of them is every address, or they are the same, if need be as ::ffff:a.b.c.d."""
    return not ours.strip("0") or not theirs.strip("0") or theirs.endswith(ours) or ours.endswith(theirs)


def _pids() -> Iterator[int]:
    with suppress(OSError):
        for entry in _PROC.iterdir():
            if entry.name.isdecimal():
                yield int(entry.name)


def _has_one(files: Path, links: set[str]) -> bool:
    with suppress(OSError):
        for file in files.iterdir():
            with suppress(OSError):
                if str(file.readlink()) in links:
                    return True
    return False


def _parent(pid: int) -> int | None:
    try:
        return int((_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None
