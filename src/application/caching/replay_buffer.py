"""A stream kept from its start for several readers: a later one begins there and goes on live.

Once it is too long to be kept it only passes on, at the pace of its slowest reader.
"""

import asyncio
from typing import Protocol

from application.answers import StreamedAnswer
from application.held_bytes import HeldBytes
from application.ports import Clock

MAX_RECORDING_BYTES = 8 * 1024 * 1024  # longer streams are only passed on: not joined any more, and not kept

MAX_HELD_BYTES = 64 * 1024 * 1024  # what all recordings together may hold; beyond it there are no more of them
WINDOW_BYTES = 64 * 1024  # how far a stream that is not recorded may run ahead of its slowest reader
STALL_S = 5.0  # a reader that takes nothing for so long, while others wait for it, is left behind


class ByteBudget:
    """The memory that all recordings share."""

    __slots__ = ("_max_bytes", "_worker", "held_bytes")

    def __init__(self, worker: HeldBytes, max_bytes: int = MAX_HELD_BYTES) -> None:
        self.held_bytes = 0
        self._worker = worker
        self._max_bytes = max_bytes

    def count(self, more: int) -> None:
        self.held_bytes += more
        self._worker.count(more)

    @property
    def full(self) -> bool:
        return self.held_bytes >= self._max_bytes or self._worker.is_full


class Reader(Protocol):
    """The subscribers that read along."""

    position: int  # how many pieces it has taken

    def hear(self, piece: bytes) -> None:
        """One more piece has come: it may be taken at once. Never raises."""

    def wake(self) -> None:
        """Nothing more comes."""

    def leave_behind(self) -> None:
        """The others go on without it: takes it out of the `readers`."""


class ReplayBuffer:
    """What has come of one answer so far, and its readers."""

    __slots__ = (
        "_budget", "_chunks", "_clock", "_dropped", "_has_rested", "_held", "_is_lagging", "_taken", "error", "kept",
        "over", "readers", "source",
    )  # fmt: skip

    def __init__(self, budget: ByteBudget, clock: Clock) -> None:
        self.source: StreamedAnswer | None = None  # None = it has not opened, or what came is no stream
        self.readers: set[Reader] = set()
        self.kept = True  # is it held from its start?
        self.over = False  # has all come that will?
        self.error: Exception | None = None  # why nothing has come, or why it broke off for a fault of our own
        self._budget = budget
        self._clock = clock
        self._chunks: list[bytes] = []
        self._dropped = 0
        self._held = 0
        self._is_lagging = self._has_rested = False
        self._taken = asyncio.Event()

    @property
    def stream(self) -> StreamedAnswer:
        """Where it comes from; only after it has opened."""
        if self.source is None:
            raise RuntimeError("there is no stream")
        return self.source

    @property
    def end(self) -> int:
        return self._dropped + len(self._chunks)

    @property
    def chunks(self) -> tuple[bytes, ...]:
        """All that is held: everything that has come, while it is `kept`."""
        return tuple(self._chunks)

    def piece(self, index: int) -> bytes:
        """The piece of that number; b"" = it is not there (yet)."""
        return self._chunks[index - self._dropped] if index < self.end else b""

    def is_over(self) -> bool:
        """Has all come that will? Raises the `error`."""
        if self.error is not None:
            raise self.error.with_traceback(None)
        return self.over

    def append(self, piece: bytes) -> bool:
        """One more piece, for those that wait for it at once. False = the slowest reader is to be waited for, or has
        begun to lag: the source is to read little at a time. With it the recording may be too long to be `kept`."""
        self._chunks.append(piece)
        self.hold(len(piece))
        for reader in tuple(self.readers):
            reader.hear(piece)
        if self.kept and (self._held > MAX_RECORDING_BYTES or self._budget.full):
            self.kept = False
        if self.kept:
            is_news = self._is_lagging and not self._has_rested
            self._has_rested = self._is_lagging
            return not is_news
        self.advanced()
        return self._held <= WINDOW_BYTES

    def lags(self) -> None:
        """A reader does not keep up. When the recording is full, all that was read ahead waits beside it."""
        self._is_lagging = True

    def finish(self) -> None:
        self.over = True
        for reader in tuple(self.readers):
            reader.wake()

    def advanced(self) -> None:
        """A reader has taken a piece, or left: what all have taken need not be held, unless it is kept."""
        if self.kept:
            return
        gone = min((reader.position for reader in self.readers), default=self._dropped) - self._dropped
        if gone > 0:
            self.hold(-sum(map(len, self._chunks[:gone])))
            del self._chunks[:gone]
            self._dropped += gone
            self._taken.set()

    async def wait_for_the_slowest(self) -> None:
        """Until what is not kept is no longer too far ahead of any reader."""
        while not self.kept and self._held > WINDOW_BYTES:
            await self._wait_until_taken()

    def hold(self, size: int) -> None:
        self._held += size
        self._budget.count(size)

    def release(self) -> None:
        self.hold(-self._held)

    async def _wait_until_taken(self) -> None:
        """Until something more was taken. A reader that takes nothing any more must not keep the others waiting."""
        self._taken.clear()
        try:
            with self._clock.timeout_at(self._clock.now() + STALL_S):
                await self._taken.wait()
        except TimeoutError:
            slowest = min((reader.position for reader in self.readers), default=0)
            behind = [reader for reader in self.readers if reader.position == slowest]
            if len(behind) < len(self.readers):
                for reader in behind:
                    reader.leave_behind()
