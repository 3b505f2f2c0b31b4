"""A stream on its way to the client, from the first content on: bytes pass, and its end is told from a break."""

import asyncio
from collections.abc import Awaitable, Callable

from application.leases import Lease
from application.messages import Headers
from application.ports import StreamScanner, UpstreamFailed, UpstreamReply
from application.routing import Routing
from domain.failure import Failure, FailureKind


class StreamSource:
    """An upstream reply that can also be waited for without giving it up."""

    __slots__ = ("_pending", "reply")

    def __init__(self, reply: UpstreamReply) -> None:
        self.reply = reply
        self._pending: asyncio.Task[bytes] | None = None

    def receive(self) -> Awaitable[bytes]:
        """The next piece, b"" = the end; raises `UpstreamFailed`. To be awaited at once."""
        if self._pending is None:
            return self.reply.receive()
        pending, self._pending = self._pending, None
        return _awaited(pending)

    async def receive_within(self, seconds: float) -> bytes | None:
        """The next piece, or None when it does not come in time: it is then still waited for by the next call."""
        if self._pending is None:
            self._pending = asyncio.ensure_future(self.reply.receive())
        await asyncio.wait((self._pending,), timeout=max(0.0, seconds))
        return await self.receive() if self._pending.done() else None

    def close(self) -> None:
        """Let go of the reply; see `UpstreamReply.close`."""
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None
        self.reply.close()


async def _awaited(pending: asyncio.Task[bytes]) -> bytes:
    try:
        return await pending
    except asyncio.CancelledError:
        pending.cancel()
        raise


class StreamAnswer:
    """The rest of a stream whose first content has come. Owns the upstream connection and the lease until `close()`."""

    __slots__ = ("_head", "_learn", "_lease", "_over", "_routing", "_scanner", "_source", "failure")

    def __init__(
        self,
        lease: Lease,
        routing: Routing,
        source: StreamSource,
        scanner: StreamScanner,
        head: bytes,
        learn: Callable[[bytes], None],
    ) -> None:
        """`learn` is told the events that end the stream; `head` it knows."""
        self._lease = lease
        self._routing = routing
        self._source = source
        self._scanner = scanner
        self._head = head
        self._learn = learn
        self._over = False
        self.failure: Failure | None = scanner.failure
        """Why the stream broke after it had begun, or what the provider refused in it; None = neither."""

    @property
    def status(self) -> int:
        """The upstream's status."""
        return self._source.reply.status

    @property
    def headers(self) -> Headers:
        """The upstream's headers."""
        return self._source.reply.headers

    @property
    def complete(self) -> bool:
        """Has the terminal event passed?"""
        return self._scanner.ended

    async def next(self) -> bytes:
        """The next whole events, b"" = the stream is over. A broken one ends with an event the SDKs raise on."""
        if self._head:
            head, self._head = self._head, b""
            return head
        while not self._over:
            try:
                chunk = await self._source.receive()
            except UpstreamFailed as failed:
                return self._broken(failed.failure)
            if not chunk:
                return self._ended()
            ended = self._scanner.ended
            events = self._scanner.relay(chunk)
            if self._scanner.ended and not ended:
                self._learn(events)
            if self._scanner.failure is not None and self.failure is None:
                self._fail(self._scanner.failure)
            if events:
                return events
        return b""

    def error_frame(self, message: str, code: str) -> bytes:
        """An event that tells the client why its stream ends here."""
        return self._scanner.error_frame(message, code)

    def close(self) -> None:
        """Let go of the connection and the lease. A second call does nothing."""
        self._over = True
        if self._scanner.usage is not None and self._lease.open:
            self._routing.learn(self._lease, self._scanner.usage)
        self._source.close()
        self._routing.release(self._lease)

    def _ended(self) -> bytes:
        self._over = True
        rest = self._scanner.finish()
        if rest:
            self._learn(rest)
        if self._scanner.ended or self._scanner.is_told:
            return rest
        reported = self._scanner.failure
        return rest + self._broken(
            reported or Failure(FailureKind.TRUNCATED, "the stream ended without a terminal event")
        )

    def _broken(self, failure: Failure) -> bytes:
        """End with an error event, unless the provider's own has passed already. A cut-off event is dropped."""
        self._over = True
        if self._scanner.ended or self._scanner.is_told:
            return b""
        if self.failure is None:
            self._fail(failure)
        message = f"The stream from endpoint {self._lease.endpoint.id} broke after it had begun: {failure}."
        return self.error_frame(message, "upstream_stream_error")

    def _fail(self, failure: Failure) -> None:
        self.failure = failure
        self._routing.failed(self._lease, failure)
