"""Stand-ins that make an instruction count repeatable: no network, no wall clock, no other thread."""

import asyncio
import logging
from itertools import count

from adapters.clock import SystemClock
from application.flow import Take, TakeFramed
from application.messages import Headers, UpstreamCall
from bench.servers.payloads import FIRST_EVENT, LAST_EVENTS, REPLY, REPLY_HEADERS, TOKEN_EVENT

EVENTS = 100
"""Events of a stream between its first and last."""

_JSON_HEADERS: Headers = (("content-type", "application/json"), *REPLY_HEADERS.items())
_SSE_HEADERS: Headers = (("content-type", "text/event-stream"), *REPLY_HEADERS.items())


class CannedReply:
    """A reply whose pieces are there already."""

    status = 200

    def __init__(self, headers: Headers, pieces: list[bytes]) -> None:
        self.headers = headers
        self._pieces = pieces

    def whole_now(self) -> bytes | None:
        """All of it, where it is one piece."""
        return self._pieces.pop() if len(self._pieces) == 1 else None

    async def receive(self) -> bytes:
        """The next piece."""
        return self._pieces.pop() if self._pieces else b""

    async def flow(self, take: Take, _: TakeFramed | None = None, /) -> bool:
        """All pieces, one after the other."""
        while self._pieces:
            if not take(self._pieces.pop()):
                return False
        return True

    def rest(self) -> None:
        """Nothing is read."""

    def close(self) -> None:
        """There is nothing to let go of."""


class CannedUpstream:
    """The `Upstream` port without a network."""

    async def send(self, call: UpstreamCall) -> CannedReply:
        """Answers at once."""
        if isinstance(call.body, bytes) and call.body.find(b'"stream":true') >= 0:
            return CannedReply(_SSE_HEADERS, [LAST_EVENTS, *([TOKEN_EVENT] * EVENTS), FIRST_EVENT])
        return CannedReply(_JSON_HEADERS, [REPLY])

    async def close(self) -> None:
        """There is nothing to close."""


class SteppingClock(SystemClock):
    """Time that is the same in every run: a tenth of a millisecond passes whenever somebody looks. A look costs what it
    costs on the system's clock, one call of C."""

    now = staticmethod(count(1000.0, 0.0001).__next__)
    """Seconds."""
    unix = staticmethod(count(1_800_000_000.0, 0.0001).__next__)
    """Unix seconds."""


class NothingToShare:
    """In place of what runs by the clock on the wall, not by requests: the exchange with other replicas, a look at
    counts once a second."""

    async def load(self) -> None:
        """There is nothing."""

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.get_running_loop().create_future()


class LinesNowhere(logging.Handler):
    """Formats each line as it would be written, in the same thread: one that waits for others is not repeatable."""

    def emit(self, record: logging.LogRecord) -> None:
        """Format it."""
        self.format(record)
