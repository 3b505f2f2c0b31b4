"""Takes connections off a listening socket, one at a time, as long as its owner has room and the system has files.

The event loops' own servers take all that wait at once, and one of them (libuv) closes all that wait when the system
has no files left.
"""

import asyncio
import errno
import socket
import struct
import sys
from array import array
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

_AT_ONCE = 64
"""So many are taken before anything else runs."""

_WAIT_S = 1.0
"""After the system had no file left for one (asyncio's ACCEPT_RETRY_DELAY)."""

_NEVER = float("inf")

_NOTHING_LEFT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
"""Linux's, which Python has no names for."""

_TAKE_NOTHING = struct.pack("HBBI", 0x06, 0, 0, 0)
"""A filter of one instruction: return 0, of each packet no byte is let in (linux/filter.h)."""


class Owner(Protocol):
    """The receiver of the connections."""

    def wait_s(self) -> float:
        """How many seconds until one more may be taken; 0 = it may, inf = `resume` will say when."""

    def taken(self) -> None:
        """One more is there."""

    def arrived(self) -> None:
        """One that was taken is with the owner, or has left again."""

    def free_a_file(self) -> bool:
        """Close something that is not needed now; False = there is nothing."""

    def ran_out(self, error: OSError) -> None:
        """Those that wait cannot be taken; said once, until one is taken again."""


class Acceptor:
    """See above. `socket` is bound; its other copies, in other processes, may take connections as well."""

    def __init__(
        self,
        owner: Owner,
        sock: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        arriving: set[asyncio.Task[object]],
    ) -> None:
        """`arriving` holds those that were taken and are not with the owner yet. Needs a running loop."""
        self._arriving = arriving
        self._owner = owner
        self._sock = sock
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._is_listening = False
        self._is_watching = False
        self._is_short = False
        self._again: asyncio.TimerHandle | None = None

    def listen(self, backlog: int) -> None:
        """From here on. `backlog`: how many may wait."""
        self._sock.setblocking(False)
        hear_again(self._sock)
        self._sock.listen(backlog)
        self._is_listening = True
        self.resume()

    def resume(self) -> None:
        """More may be taken again, maybe."""
        if self._is_watching or not self._is_listening:
            return
        self._is_watching = True
        self._stop_waiting()
        self._loop.add_reader(self._sock, self._accept)

    def _pause(self, seconds: float) -> None:
        """Those that come wait in the backlog. `seconds`: how long at most; inf = until `resume`."""
        self._stop_waiting()
        if self._is_watching:
            self._is_watching = False
            self._loop.remove_reader(self._sock)
        if self._is_listening and seconds < _NEVER:
            self._again = self._loop.call_later(seconds, self.resume)

    def _stop_waiting(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def close(self) -> None:
        """Take those that the kernel has taken for us, as far as there is room: closing the socket resets the rest."""
        self._is_listening = False
        self._pause(_NEVER)
        hear_nothing(self._sock)
        while self._take_one():
            pass
        self._sock.close()

    def _accept(self) -> None:
        for number in range(_AT_ONCE):
            if not self._take_one(is_there=number == 0):
                break

    def _take_one(self, *, is_there: bool = False) -> bool:
        """`is_there`: somebody waits. Without files left the system fails before it looks."""
        wait_s = self._owner.wait_s()
        if wait_s > 0.0:
            self._pause(wait_s)
            return False
        try:
            sock, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False  # another process was faster, or the client has left
        except OSError as error:
            if is_there:
                self._failed(error)
            return False
        self._is_short = False
        self._owner.taken()
        arrival: asyncio.Task[Any] = self._loop.create_task(self._loop.connect_accepted_socket(self._protocol, sock))
        self._arriving.add(arrival)
        arrival.add_done_callback(partial(self._arrived, sock))
        return True

    def _arrived(self, sock: socket.socket, arrival: asyncio.Task[Any]) -> None:
        self._arriving.discard(arrival)
        self._owner.arrived()
        error = None if arrival.cancelled() else arrival.exception()
        if error is not None:
            sock.close()
            if not isinstance(error, OSError):  # else the client has left again
                raise error

    def _failed(self, error: OSError) -> None:
        if error.errno in _NOTHING_LEFT and self._owner.free_a_file():
            return  # what is closed now is free in the loop's next iteration, when those that wait are looked at again
        if not self._is_short:
            self._is_short = True
            self._owner.ran_out(error)
        self._pause(_WAIT_S)


def hear_nothing(sock: socket.socket) -> None:
    """A client that asks for a connection from here on gets no answer, asks again a second later, and is refused if the
    socket is closed by then. A connection that the kernel took between the last accept and the close would be reset
    instead, with the request on it. Elsewhere than on Linux nothing changes."""
    if sys.platform == "linux":
        program = array("B", _TAKE_NOTHING)
        with suppress(OSError):  # a kernel without filters
            sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", 1, program.buffer_info()[0]))


def hear_again(sock: socket.socket) -> None:
    """Undo `hear_nothing`: a worker may have stopped while its parent keeps the socket for the next one."""
    if sys.platform == "linux":
        with suppress(OSError):  # there is no filter
            sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
