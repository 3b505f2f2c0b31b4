"""Comments of the proxy's own in streams whose provider is silent, for balancers that cut silent connections.

They are put in last, for each client alone: nothing that is shared or kept has them in it.
"""

import asyncio
from collections.abc import Awaitable

from application.answers import Answer, StreamedAnswer, WholeAnswer
from application.cached import Answers
from application.messages import Headers, ProxyRequest, Trail
from application.raw_stream import RawStream
from application.ready import Ready
from application.replay import ReplayedStream
from domain.failure import Failure
from domain.group import ModelGroup

COMMENT = b": keepalive\n\n"
_BLANK_LINES = (b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r")


class KeepAlive:
    """Stands before `CachedAnswers` or `Dispatch` and has the same face. What they have at once is never silent."""

    def __init__(self, answers: Answers, interval_s: float) -> None:
        self._answers = answers
        self._interval_s = interval_s

    def __call__(self, group: ModelGroup, request: ProxyRequest, trail: Trail) -> Awaitable[Answer]:
        """See `Answers`."""
        answer = self._answers(group, request, trail)
        return answer if isinstance(answer, Ready) else self._kept_alive(answer)

    async def _kept_alive(self, coming: Awaitable[Answer]) -> Answer:
        answer = await coming
        if isinstance(answer, WholeAnswer | RawStream | ReplayedStream):
            return answer
        return KeptAliveStream(answer, self._interval_s)


class KeptAliveStream:
    """A stream in which no silence is longer than `interval_s`. See `application.answers.StreamedAnswer`."""

    __slots__ = ("_coming", "_interval_s", "_last", "_stream")

    def __init__(self, stream: StreamedAnswer, interval_s: float) -> None:
        self._stream = stream
        self._interval_s = interval_s
        self._coming: asyncio.Future[bytes] | None = None
        self._last = b""

    @property
    def status(self) -> int:
        """The stream's."""
        return self._stream.status

    @property
    def headers(self) -> Headers:
        """The stream's."""
        return self._stream.headers

    @property
    def failure(self) -> Failure | None:
        """The stream's."""
        return self._stream.failure

    @property
    def complete(self) -> bool:
        """The stream's."""
        return self._stream.complete

    @property
    def ahead_bytes(self) -> int:
        """The stream's."""
        return self._stream.ahead_bytes

    async def next(self) -> bytes:
        """The next whole events, or a comment when none come in time; b"" = the stream is over."""
        coming = self._coming or asyncio.ensure_future(self._stream.next())
        self._coming = coming
        await asyncio.wait((coming,), timeout=self._interval_s)
        if not coming.done():
            if _is_between_events(self._last):
                return COMMENT
            await asyncio.wait((coming,))
        self._coming = None
        self._last = coming.result()
        return self._last

    def error_frame(self, message: str, code: str) -> bytes:
        """The stream's."""
        return self._stream.error_frame(message, code)

    def close(self) -> None:
        """Let go of it. A second call does nothing."""
        coming, self._coming = self._coming, None
        if coming is not None and not coming.cancel() and not coming.cancelled():
            coming.exception()  # nobody is there to hear it
        self._stream.close()


def _is_between_events(passed: bytes) -> bool:
    """Was what passed last the end of an event, or a comment?"""
    if not passed or passed.endswith(_BLANK_LINES):
        return True
    return passed.endswith(b"\n") and passed.rstrip(b"\r\n").rpartition(b"\n")[2].startswith(b":")
