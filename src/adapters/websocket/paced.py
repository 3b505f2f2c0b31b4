"""Many small frames that come at once are read in several goes, so that all others have their turn between them."""

import asyncio
from collections.abc import Callable

MOST_FRAMES_AT_ONCE = 2048
"""About as many as are read in 10 ms."""
_SLICE_BYTES = 16 * 1024


class Paced:
    """Hands on what comes, slice by slice."""

    __slots__ = ("_caught_up", "_loop", "_read", "waiting")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, read: Callable[[bytes], int], caught_up: Callable[[], None]
    ) -> None:
        """`read` is given a slice, and says how many frames ended in it; `caught_up` is called when what had to wait
        has been read."""
        self.waiting = b""
        """What has come and is not read yet."""
        self._loop = loop
        self._read = read
        self._caught_up = caught_up

    def feed(self, data: bytes) -> None:
        """What has come, behind what waits."""
        if self.waiting:
            self.waiting += data
        else:
            self._hand_on(data)

    def _hand_on(self, data: bytes) -> None:
        at = frames = 0
        while at < len(data) and frames < MOST_FRAMES_AT_ONCE:
            frames += self._read(data[at : at + _SLICE_BYTES])
            at += _SLICE_BYTES
        self.waiting = data[at:]
        if self.waiting:
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        data, self.waiting = self.waiting, b""
        self._hand_on(data)
        if not self.waiting:
            self._caught_up()
