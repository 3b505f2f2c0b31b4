"""What has come of an event that is not whole yet.

The work is linear in the bytes, whatever the pieces they come in: an event of many pieces is searched for its end once,
and copied once when it is whole.
"""

from adapters.upstreams.openai.streams.sse import ENDS, complete_until

MAX_PENDING_BYTES = 16 * 1024 * 1024
"""An event longer than this passes in pieces, so that a provider without blank lines cannot fill the memory."""

MAX_EVENT_BYTES = 64 * 1024 * 1024
MAX_PIECES = 65_536
"""An event that is longer, or comes in more pieces, is none: it would never end, and with a byte at a time take the
processor."""

HEAD_BYTES = 4096


class EventBuffer:
    """Cuts a stream into runs of whole events. What is put in comes out again, byte for byte and in order.

    Comments before an event are let through as soon as their line ends: providers send them to keep the connection
    alive, and some put no blank line after them.
    """

    __slots__ = ("_passed", "_passed_bytes", "_pending", "_pieces", "giant", "is_full")

    def __init__(self) -> None:
        self._pending = bytearray()
        self._passed = b""
        self.giant = b""
        """The first bytes of an event that is passing in pieces; empty = none is."""
        self._passed_bytes = 0
        self._pieces = 0
        self.is_full = False
        """Was an event too long to be one? Then nothing more is taken, and what is held of it does not come out."""

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
        if self.giant or self.is_full:
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
            self._pieces = 0
            return whole
        self._pieces += 1
        if self._pieces > MAX_PIECES:
            return self._give_up()
        if len(pending) > MAX_PENDING_BYTES:
            return self._let_pass(self.flush())
        return b""

    def _take_giant(self, chunk: bytes) -> bytes:
        if self.is_full:
            return b""
        seam = self._passed + chunk
        end = complete_until(seam) - len(self._passed)
        if end <= 0:
            self._passed = seam[-2:]
            self._passed_bytes += len(chunk)
            self._pieces += 1
            return self._give_up() if self._passed_bytes > MAX_EVENT_BYTES or self._pieces > MAX_PIECES else chunk
        self.giant = self._passed = b""
        self._pieces = 0
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
        self._passed_bytes = len(event)
        return event

    def _give_up(self) -> bytes:
        self._pending = bytearray()
        self.is_full = True
        return b""


def _past_comments(buffer: bytes | bytearray, end: int, searched: int) -> int:
    """Where the event after `end` begins, if comments and empty lines stand before it."""
    while buffer.startswith((b":", b"\n", b"\r\n"), end):
        line_end = buffer.find(b"\n", max(end, searched))
        if line_end < 0 or 0 <= buffer.find(b"\r", end, line_end) < line_end - 1:  # which ends the comment too
            break
        end = line_end + 1
    return end
