"""An answer from the cache, sent as if it came from an endpoint."""

from application.flow import Take
from application.messages import Headers
from application.ports import Clock
from application.store_ports import CachedAnswer
from domain.failure import Failure


class ReplayedStream:
    """Sends a recorded stream again, grouped as it once passed. See `application.answers.StreamedAnswer`."""

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
        """Has all been sent?"""
        return self._at >= len(self._answer.chunks)

    @property
    def ahead_bytes(self) -> int:
        """What is left: each replay has read its entry for itself."""
        return sum(map(len, self._answer.chunks[self._at :]))

    async def flow(self, take: Take) -> bool:
        """See `StreamedAnswer.flow`."""
        while not self.complete:
            if self._interval_s and self._at:
                await self._clock.sleep(self._interval_s)
            chunk = self._answer.chunks[self._at]
            self._at += 1
            if not take(chunk):
                return False
        return True

    def error_frame(self, message: str, code: str) -> bytes:  # noqa: ARG002
        """The rest of the stream: it is all here, so there is no reason to break it off."""
        rest = b"".join(self._answer.chunks[self._at :])
        self._at = len(self._answer.chunks)
        return rest

    def close(self) -> None:
        """Nothing is held."""
