"""Where a running proxy is told to reload: a socket that only processes of the same user, and root, get an answer at.

On Linux its name is in no folder (an abstract one, unix(7)), and the kernel says who calls. Elsewhere it is a file that
only its user may open. A conversation is three lines of JSON: which proxy this is, what is wanted, what became of it.
"""

import errno
import os
import socket
import struct
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

_MOST_CALLERS = 8
_LONGEST_LINE = 4096
_PREFIX = "llmproxy"
_IS_ABSTRACT = sys.platform == "linux"


class Wanted(Struct, frozen=True):
    """What a caller says."""

    timeout_s: float = 30.0
    """How long all workers together may take to prepare."""


def name_of(uid: int, port: int) -> str:
    """The address of the socket of a user's proxy at that port; the first letter of an abstract one is NUL."""
    name = f"{_PREFIX}-{uid}-{port}"
    return f"\0{name}" if _IS_ABSTRACT else str(folder() / f"{name}.sock")


def folder() -> Path:
    """Where the socket's file is on systems without abstract names."""
    return Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())


def running_at(uid: int | None) -> list[tuple[int, int, str]]:
    """User, port and address of the sockets of proxies that run here, or ran; `uid` None = of all users."""
    if _IS_ABSTRACT:
        lines = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace").splitlines()
        names = {line.rpartition(" @")[2] for line in lines if f" @{_PREFIX}-" in line}
    else:
        names = {file.stem for file in folder().glob(f"{_PREFIX}-*.sock")}
    found = []
    for name in sorted(names):
        _, *parts = name.split("-")
        if len(parts) == 2 and all(part.isdecimal() for part in parts):
            owner, port = map(int, parts)
            if uid is None or owner == uid:
                found.append((owner, port, name_of(owner, port)))
    return found


def user_of(sock: socket.socket) -> int | None:
    """The user of the process at the other end; None = only the file system says who may be there."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(uid)


def _is_answered(address: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        try:
            other.connect(address)
        except OSError:
            return False
    return True


class Caller:
    """One process that wants a reload."""

    def __init__(self, sock: socket.socket, greeting: bytes) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.wanted: Wanted | None = None
        """None = it has not said yet."""
        self.is_gone = False
        self._heard = b""
        self._send(greeting)

    def hear(self) -> None:
        try:
            data = self.sock.recv(_LONGEST_LINE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._heard += data
        self.is_gone = not data or len(self._heard) > _LONGEST_LINE
        if b"\n" in self._heard and self.wanted is None:
            try:
                self.wanted = msgspec.json.decode(self._heard.partition(b"\n")[0], type=Wanted)
            except (ValueError, RecursionError):
                self.is_gone = True

    def answer(self, verdict: Mapping[str, Any]) -> None:
        self._send(msgspec.json.encode(verdict) + b"\n")
        self.sock.close()
        self.is_gone = True

    def _send(self, line: bytes) -> None:
        self.sock.settimeout(1.0)
        with suppress(OSError):  # it has gone
            self.sock.sendall(line)
        self.sock.setblocking(False)


class Control:
    """The socket, and who calls."""

    def __init__(self, port: int, config: Path) -> None:
        """Listens. Raises `OSError` where it cannot."""
        greeting = {"pid": os.getpid(), "port": port, "config": str(config.absolute())}
        self._greeting = msgspec.json.encode(greeting) + b"\n"
        self._callers: list[Caller] = []
        self._file: str | None = None
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        address = name_of(os.getuid(), port)
        try:
            if not _IS_ABSTRACT:
                self._file = address
                self._bind_file(address)
            else:
                self._listening.bind(address)
            self._listening.listen(_MOST_CALLERS)
        except OSError:
            self._listening.close()
            raise
        self._listening.setblocking(False)

    def _bind_file(self, address: str) -> None:
        if _is_answered(address):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        Path(address).unlink(missing_ok=True)  # whoever has left it has ended
        before = os.umask(0o177)
        try:
            self._listening.bind(address)
        finally:
            os.umask(before)

    def files(self) -> list[socket.socket]:
        """What is to be waited for, and no worker's business."""
        return [self._listening, *(caller.sock for caller in self._callers)]

    def take(self) -> list[Caller]:
        """Those who have said what they want since."""
        with suppress(OSError):
            while True:
                sock, _ = self._listening.accept()
                if len(self._callers) < _MOST_CALLERS and user_of(sock) in (None, 0, os.getuid()):
                    self._callers.append(Caller(sock, self._greeting))
                else:
                    sock.close()
        for caller in self._callers:
            caller.hear()
        asked = [caller for caller in self._callers if caller.wanted is not None]
        for caller in self._callers:
            if caller.is_gone and caller.wanted is None:
                caller.sock.close()
        self._callers = [each for each in self._callers if each.wanted is None and not each.is_gone]
        return asked

    def close(self) -> None:
        for sock in self.files():
            sock.close()
        if self._file is not None:
            Path(self._file).unlink(missing_ok=True)
