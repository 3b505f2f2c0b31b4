"""One client's part in a stream that others may read as well."""

import asyncio
from collections.abc import Callable

from application.caching.replay_buffer import ReplayBuffer
from application.errors import ProxyError
from application.flow import Take, TakeFramed, Tap
from application.messages import Headers
from domain.failure import Failure


class TooSlow(ProxyError):
    """The client took nothing of a stream that others share."""

    code = "client_too_slow"

    def __init__(self) -> None:
        super().__init__("The stream goes on without this client, which took nothing of it for some seconds.")


class SharedStream:
    """One subscriber of a shared call. See `application.answers.StreamedAnswer`."""

    __slots__ = ("_buffer", "_leave", "_left_behind", "_over", "_tap", "asked_bytes", "position")

    def __init__(self, recording: ReplayBuffer, leave: "Callable[[SharedStream], None]") -> None:
        """`leave` is told when the client wants no more of it, maybe more than once."""
        self._buffer = recording
        self._leave = leave
        self._left_behind = False
        self._over = False
        self._tap = Tap(asyncio.get_running_loop())
        self.asked_bytes = 0  # how much of what the upstream was asked is this client's own
        self.position = 0  # how many pieces this client has taken

    @property
    def status(self) -> int:
        return self._buffer.stream.status

    @property
    def headers(self) -> Headers:
        return self._buffer.stream.headers

    @property
    def failure(self) -> Failure | None:
        return self._buffer.stream.failure

    @property
    def complete(self) -> bool:
        return self._buffer.stream.complete and self.position >= self._buffer.end

    @property
    def ahead_bytes(self) -> int:
        """Nothing: the recording counts what it holds for all."""
        return 0

    async def flow(self, take: Take, _: TakeFramed | None = None, /) -> bool:
        """What has come before comes from the recording. Raises `TooSlow` for a client that was left behind."""
        is_over = await self._flow(take)
        if not is_over:
            self._buffer.lags()
        return is_over

    async def _flow(self, take: Take) -> bool:
        while not self._over:
            if self._left_behind:
                raise TooSlow
            piece = self._buffer.piece(self.position)
            if piece:
                self.position += 1
                self._buffer.advanced()
                if not take(piece):
                    return False
            elif self._buffer.is_over():
                break
            elif not await self._tap.wait(take):
                return False
        return True

    def hear(self, piece: bytes) -> None:
        if self._tap.take is not None and self._tap.give(piece):
            self.position += 1

    def wake(self) -> None:
        self._tap.wake()

    def error_frame(self, message: str, code: str) -> bytes:
        """An event that tells this client why its stream ends here; the others' goes on."""
        self._over = True
        return self._buffer.stream.error_frame(message, code)

    def leave_behind(self) -> None:
        self._left_behind = True
        self._leave(self)

    def close(self) -> None:
        self._over = True
        self._leave(self)
