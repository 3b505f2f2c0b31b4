"""What has come of an event that is not whole yet.

The work is linear in the bytes, whatever the pieces they come in: an event of many pieces is searched for its end once,
and copied once when it is whole.
"""

from adapters.upstreams.sse import ENDS, complete_until

MAX_PENDING_BYTES = 16 * 1024 * 1024
"""An event longer than this passes in pieces, so that a provider without blank lines cannot fill the memory."""

HEAD_BYTES = 4096


class EventBuffer:
    """Cuts a stream into runs of whole events. What is put in comes out again, byte for byte and in order.

    Comments before an event are let through as soon as their line ends: providers send them to keep the connection
    alive, and some put no blank line after them.
    """

    __slots__ = ("_passed", "_pending", "giant")

    def __init__(self) -> None:
        self._pending = bytearray()
        self._passed = b""
        self.giant = b""
        """The first bytes of an event that is passing in pieces; empty = none is."""

    @property
    def pending_bytes(self) -> int:
        """How much waits for the rest of its event."""
        return len(self._pending)

    @property
    def head(self) -> bytes:
        """The first bytes of what waits."""
        return bytes(self._pending[:64])

    def take(self, chunk: bytes) -> bytes:
        """All that is whole with this chunk; b"" = nothing is."""
        if self._pending:
            return self._take_more(chunk)
        if self.giant:
            return self._take_giant(chunk)
        if chunk.endswith(ENDS):
            return chunk
        return self._cut(chunk, _past_comments(chunk, complete_until(chunk), 0))

    def hold(self, chunk: bytes) -> None:
        """Let it wait, whole or not."""
        self._pending += chunk

    def flush(self) -> bytes:
        """No more comes: all that waits."""
        rest = bytes(self._pending)
        self._pending.clear()
        return rest

    def _take_more(self, chunk: bytes) -> bytes:
        pending = self._pending
        # A blank line may have begun with the last two bytes.
        searched = max(0, len(pending) - 2)
        pending += chunk
        end = _past_comments(pending, complete_until(pending, searched), searched)
        if end:
            with memoryview(pending) as view:
                whole = bytes(view[:end])
            del pending[:end]
            return whole
        if len(pending) > MAX_PENDING_BYTES:
            return self._let_pass(self.flush())
        return b""

    def _take_giant(self, chunk: bytes) -> bytes:
        seam = self._passed + chunk
        end = complete_until(seam) - len(self._passed)
        if end <= 0:
            self._passed = seam[-2:]
            return chunk
        self.giant = self._passed = b""
        return self._cut(chunk, end)

    def _cut(self, chunk: bytes, end: int) -> bytes:
        if end == len(chunk):
            return chunk
        if len(chunk) - end > MAX_PENDING_BYTES:
            self._let_pass(chunk[end:])
            return chunk
        self._pending += chunk[end:] if end else chunk
        return chunk[:end]

    def _let_pass(self, event: bytes) -> bytes:
        self.giant = event[:HEAD_BYTES]
        self._passed = event[-2:]
        return event


def _past_comments(buffer: bytes | bytearray, end: int, searched: int) -> int:
    """Where the event after `end` begins, if comments and empty lines stand before it."""
    while buffer.startswith((b":", b"\n", b"\r\n"), end):
        line_end = buffer.find(b"\n", max(end, searched))
        if line_end < 0:
            break
        end = line_end + 1
    return end
