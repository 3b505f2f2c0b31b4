"""What the simulated providers answer: chat completions that say little but what they took, whole and as a stream."""

from collections.abc import Awaitable, Callable

from application.flow import Take, TakeFramed, pulled
from application.messages import Headers

_JSON: Headers = (("content-type", "application/json"),)
_EVENTS: Headers = (("content-type", "text/event-stream"),)
_ID = b'"id":"chatcmpl-simulated","created":0,"model":"simulated"'
_USAGE = b'"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}'
_MESSAGE = b'{"role":"assistant","content":"simulated"}'
_WHOLE = b'{%b,"object":"chat.completion","choices":[{"index":0,"message":%b,"finish_reason":"stop"}],%b}'
_CHUNK = b'data: {%b,"object":"chat.completion.chunk",' % _ID
_FIRST = _CHUNK + b'"choices":[{"index":0,"delta":%b,"finish_reason":null}]}\n\n' % _MESSAGE
_LAST = _CHUNK + b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
_TAKEN = _CHUNK + b'"choices":[],' + _USAGE + b"}\n\ndata: [DONE]\n\n"


class SimulatedReply:
    """An `UpstreamReply` that has come whole."""

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self._body = body

    def whole_now(self) -> bytes | None:
        return self._taken()

    async def receive(self) -> bytes:
        return self._taken()

    async def flow(self, take: Take, _: TakeFramed | None = None, /) -> bool:
        return await pulled(self.receive, take)

    def _taken(self) -> bytes:
        taken, self._body = self._body, b""
        return taken

    def rest(self) -> None:
        """See `UpstreamReply`."""

    def close(self) -> None:
        """See `UpstreamReply`."""


class SimulatedStream(SimulatedReply):
    """A stream whose headers have come: its first event is there, all others come together when it ends."""

    def __init__(self, given: int, answered: int, limits: Headers, end: Callable[[], Awaitable[None]]) -> None:
        """As for `whole`; `end` waits until the stream does."""
        super().__init__(200, _EVENTS + limits, _FIRST)
        self._rest = _LAST + _TAKEN % (given, answered, given + answered)
        self._end = end

    def whole_now(self) -> bytes | None:
        return None

    async def receive(self) -> bytes:
        if not self._body and self._rest:
            await self._end()
            self._body, self._rest = self._rest, b""
        return self._taken()


def whole(given: int, answered: int, limits: Headers) -> SimulatedReply:
    """An answer in one piece that took so many tokens, in and out; `limits` are the headers that tell them."""
    usage = _USAGE % (given, answered, given + answered)
    return SimulatedReply(200, _JSON + limits, _WHOLE % (_ID, _MESSAGE, usage))
