"""An answer from the cache, sent as if it came from an endpoint."""

from application.flow import Take, TakeFramed
from application.messages import Headers
from application.ports import Clock
from application.store_ports import CachedAnswer
from domain.failure import Failure

AT_ONCE_BYTES = 16 * 1024  # about so much is sent at a time


class ReplayedStream:
    """Sends a recorded stream again, in the chunks that once passed if there is a pause between them. See
    `application.answers.StreamedAnswer`."""

    __slots__ = ("_answer", "_at", "_clock", "_interval_s", "failure", "headers", "status")

    def __init__(self, answer: CachedAnswer, headers: Headers, clock: Clock, interval_s: float) -> None:
        """`interval_s` is the pause between two pieces; 0 = none."""
        self._answer = answer
        self._at = 0
        self._clock = clock
        self._interval_s = interval_s
        self.status = 200
        self.failure: Failure | None = None
        self.headers = headers

    @property
    def complete(self) -> bool:
        return self._at >= len(self._answer.chunks)

    @property
    def ahead_bytes(self) -> int:
        """What is left: each replay has read its entry for itself."""
        return sum(map(len, self._answer.chunks[self._at :]))

    async def flow(self, take: Take, _: TakeFramed | None = None, /) -> bool:
        while not self.complete:
            if self._interval_s and self._at:
                await self._clock.sleep(self._interval_s)
            if not take(self._next()):
                return False
        return True

    def _next(self) -> bytes:
        """Without a pause between them, chunks are put together."""
        chunks, start = self._answer.chunks, self._at
        end, size = start + 1, len(chunks[start])
        while not self._interval_s and end < len(chunks) and size < AT_ONCE_BYTES:
            size += len(chunks[end])
            end += 1
        self._at = end
        return chunks[start] if end == start + 1 else b"".join(chunks[start:end])

    def error_frame(self, message: str, code: str) -> bytes:  # noqa: ARG002
        """The rest of the stream: it is all here, so there is no reason to break it off."""
        rest = b"".join(self._answer.chunks[self._at :])
        self._at = len(self._answer.chunks)
        return rest

    def close(self) -> None:
        """Nothing is held."""
