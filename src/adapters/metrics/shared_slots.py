"""Memory that all workers see: a slot for each, in which it puts down one text after the other.

Each slot has two buffers. A text is written into the one that is not the newest, and then the slot says that it is: so
a reader finds the newest or the one before it, whole, and a writer that is killed at it leaves the last one. A reader
that was overtaken while it copied sees it by the checksum, and looks again.
"""

import mmap
import struct
import tempfile
from pathlib import Path
from zlib import crc32

_HEAD = struct.Struct("=Q")
"""Of a slot: how many texts were put down; the newest is in the buffer of its parity."""
_TEXT = struct.Struct("=II")
"""Of a buffer: the length of its text, and its checksum."""
_BUFFER_BYTES = 2 * 1024 * 1024
"""Pages that nothing was written to take no memory."""
_SLOT_BYTES = 4096 + 2 * _BUFFER_BYTES
_LOOKS = 8

LONGEST_BYTES = _BUFFER_BYTES - _TEXT.size


class SharedSlots:
    """Made by the parent before there are workers."""

    def __init__(self, slots: int, path: Path | None = None) -> None:
        """`path`: a file of the size that `in_file` makes; None = memory that processes inherit."""
        self._slots = slots
        self._path = path
        size = slots * _SLOT_BYTES
        if path is None:
            self._memory = mmap.mmap(-1, size)
        else:
            with path.open("r+b") as file:
                self._memory = mmap.mmap(file.fileno(), size)

    @classmethod
    def in_file(cls, slots: int) -> "SharedSlots":
        """For processes that do not inherit memory: in a file that only this user may read, sparse, which `remove`
        removes."""
        with tempfile.NamedTemporaryFile(prefix="llmproxy-workers-", delete=False) as file:
            file.truncate(slots * _SLOT_BYTES)
        return cls(slots, Path(file.name))

    def __reduce__(self) -> tuple[type["SharedSlots"], tuple[int, Path]]:
        """For a process that is started anew."""
        if self._path is None:
            raise TypeError("inherited memory cannot be sent")
        return SharedSlots, (self._slots, self._path)

    def __len__(self) -> int:
        return self._slots

    def write(self, slot: int, text: bytes) -> bool:
        """Put it down, in place of what the slot had; only its one worker does. False = it is longer than
        `LONGEST_BYTES`, and the slot keeps what it had."""
        if len(text) > LONGEST_BYTES:
            return False
        start = slot * _SLOT_BYTES
        written = self._written(slot) + 1
        at = self._buffer(slot, written)
        self._memory[at + _TEXT.size : at + _TEXT.size + len(text)] = text
        _TEXT.pack_into(self._memory, at, len(text), crc32(text))
        _HEAD.pack_into(self._memory, start, written)
        return True

    def read(self, slot: int) -> bytes | None:
        """The newest text; None = there is none yet."""
        for _ in range(_LOOKS):
            written = self._written(slot)
            if not written:
                return None
            at = self._buffer(slot, written)
            length, checksum = _TEXT.unpack_from(self._memory, at)
            text = self._memory[at + _TEXT.size : at + _TEXT.size + min(length, LONGEST_BYTES)]
            if crc32(text) == checksum:
                return text
        return None

    def remove(self) -> None:
        """No worker will be started any more."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _written(self, slot: int) -> int:
        return int(_HEAD.unpack_from(self._memory, slot * _SLOT_BYTES)[0])

    @staticmethod
    def _buffer(slot: int, written: int) -> int:
        """Where the text begins that was the `written`th to be put down."""
        return slot * _SLOT_BYTES + 4096 + written % 2 * _BUFFER_BYTES
