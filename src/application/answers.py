"""What a use case hands back for the client: a whole reply, or a stream that is still coming."""

from typing import Protocol

from msgspec import Struct

from application.flow import Take, TakeFramed
from application.messages import Headers, WholeReply
from domain.failure import Failure


class WholeAnswer(Struct, frozen=True):
    """A reply for the client that is complete: an upstream's own, good or not."""

    reply: WholeReply
    final_failure: Failure | None = None  # of an error that no endpoint could better; None = the reply is good
    age_s: int | None = None  # how long ago it was kept, in seconds, of one from the cache; None = it has just come


class StreamedAnswer(Protocol):
    """A stream whose first content has come. Whoever takes it closes it."""

    @property
    def status(self) -> int:
        """The status to send."""

    @property
    def headers(self) -> Headers:
        """The headers as they came."""

    @property
    def failure(self) -> Failure | None:
        """Why the stream broke after it had begun; None = it did not (yet)."""

    @property
    def complete(self) -> bool:
        """Has the event passed that makes it complete? What may still come adds no content."""

    @property
    def ahead_bytes(self) -> int:
        """How much may be held for this client alone of what it has not been given yet."""

    async def flow(self, take: Take, take_framed: TakeFramed | None = None, /) -> bool:
        """Hand whole events to `take` at the moment they come; a broken stream ends with an event the SDKs raise on.

        True = the stream is over, False = `take` wants no more for now: the next call goes on there. Not every stream
        has events for `take_framed`.
        """

    def error_frame(self, message: str, code: str) -> bytes:
        """What to end the stream with before its time, so that the client knows."""

    def close(self) -> None:
        """Let go of it. A second call does nothing."""


Answer = WholeAnswer | StreamedAnswer
