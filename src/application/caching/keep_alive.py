"""Comments of the proxy's own in streams whose provider is silent, for balancers that cut silent connections.

They are put in last, for each client alone: nothing that is shared or kept has them in it.
"""

import asyncio
from collections.abc import Awaitable

from application.answers import Answer, StreamedAnswer, WholeAnswer
from application.attempts.raw_answer import RawAnswer
from application.caching.cached import Responder
from application.caching.replay import ReplayedStream
from application.flow import Take, TakeFramed, nowhere
from application.messages import ProxyRequest, RequestTrace
from application.ready import Ready
from domain.failure import Failure
from domain.group import ModelGroup

COMMENT = b": keepalive\n\n"
_BLANK_LINES = (b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r")


class KeepAlive:
    """Stands before `CachedAnswers` or `Dispatch` and has the same face. What they have at once is never silent."""

    def __init__(self, answers: Responder, interval_s: float) -> None:
        self._answers = answers
        self._interval_s = interval_s

    def __call__(self, group: ModelGroup, request: ProxyRequest, trace: RequestTrace) -> Awaitable[Answer]:
        answer = self._answers(group, request, trace)
        return answer if isinstance(answer, Ready) else self._kept_alive(answer)

    async def _kept_alive(self, coming: Awaitable[Answer]) -> Answer:
        answer = await coming
        if isinstance(answer, WholeAnswer | RawAnswer | ReplayedStream):
            return answer
        return KeptAliveStream(answer, self._interval_s)


class KeptAliveStream:
    """A stream in which no silence is longer than `interval_s`. See `application.answers.StreamedAnswer`."""

    __slots__ = (
        "_flowing", "_interval_s", "_kept", "_last", "_loop", "_passed_at", "_stream", "_take", "_wants_more",
        "headers", "status",
    )  # fmt: skip

    def __init__(self, stream: StreamedAnswer, interval_s: float) -> None:
        self._stream = stream
        self.status = stream.status
        self.headers = stream.headers
        self._interval_s = interval_s
        self._loop = asyncio.get_running_loop()
        self._flowing: asyncio.Future[bool] | None = None
        self._take: Take = nowhere
        self._wants_more = False
        self._kept = b""
        self._last = b""
        self._passed_at = self._loop.time()

    @property
    def failure(self) -> Failure | None:
        return self._stream.failure

    @property
    def complete(self) -> bool:
        return self._stream.complete

    @property
    def ahead_bytes(self) -> int:
        return self._stream.ahead_bytes

    async def flow(self, take: Take, _: TakeFramed | None = None, /) -> bool:
        """See `StreamedAnswer.flow`; a comment goes to `take` when nothing else has for so long."""
        self._take = take
        self._wants_more = True
        kept, self._kept = self._kept, b""
        if kept:
            self._pass(kept)
        while self._wants_more:
            if self._flowing is None:
                self._flowing = asyncio.ensure_future(self._stream.flow(self._pass))
            flowing = self._flowing
            silent_until = self._passed_at + self._interval_s
            await asyncio.wait((flowing,), timeout=max(0.0, silent_until - self._loop.time()))
            if flowing.done():
                self._flowing = None
                if flowing.result():
                    return True
            elif self._passed_at + self._interval_s <= self._loop.time():
                self._passed_at = self._loop.time()
                if _is_between_events(self._last):
                    self._wants_more = self._take(COMMENT)
        return False

    def _pass(self, piece: bytes) -> bool:
        """A piece that comes while the last comment still waits for the client is kept for the next call."""
        if not self._wants_more:
            self._kept = piece
            return False
        self._passed_at = self._loop.time()
        self._last = piece
        self._wants_more = self._take(piece)
        return self._wants_more

    def error_frame(self, message: str, code: str) -> bytes:
        return self._stream.error_frame(message, code)

    def close(self) -> None:
        self._take = nowhere  # which may hold on to this
        flowing, self._flowing = self._flowing, None
        if flowing is not None and not flowing.cancel() and not flowing.cancelled():
            flowing.exception()  # nobody is there to hear it
        self._stream.close()


def _is_between_events(passed: bytes) -> bool:
    if not passed or passed.endswith(_BLANK_LINES):
        return True
    return passed.endswith(b"\n") and passed.rstrip(b"\r\n").rpartition(b"\n")[2].startswith(b":")
