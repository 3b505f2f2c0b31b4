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
        """The next piece, b"" = the end; raises `UpstreamFailed`."""
        return self.reply.receive() if self._pending is None else self._receive_pending(self._pending)

    async def _receive_pending(self, pending: asyncio.Task[bytes]) -> bytes:
        self._pending = None
        try:
            return await pending
        except asyncio.CancelledError:
            pending.cancel()
            raise

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
        self.failure: Failure | None = None
        """Why the stream broke after it had begun; None = it did not."""

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
        scanner = self._scanner
        while not self._over:
            try:
                chunk = await self._source.receive()
            except UpstreamFailed as failed:
                return self._broken(failed.failure)
            if not chunk:
                return self._ended()
            ended = scanner.ended
            events = scanner.relay(chunk)
            if scanner.ended and not ended:
                self._learn(events)
            if scanner.failure is not None and self.failure is None:
                self._fail(scanner.failure)
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
