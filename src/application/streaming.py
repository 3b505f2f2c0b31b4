"""A stream on its way to the client, from the first content on: bytes pass, and its end is told from a break."""

import asyncio
from collections.abc import Awaitable, Callable

from application.held_bytes import HeldBytes, Holding
from application.leases import Lease
from application.messages import Headers
from application.ports import READ_AHEAD_BYTES, StreamScanner, UpstreamFailed, UpstreamReply
from application.routing import Routing
from domain.failure import Failure, FailureKind

END_WAIT_S = 0.25
"""How long something is waited for after a terminal event: some gateways send `[DONE]` after those of Responses too."""

REST_S = 1.0
"""How long the end of a body may take whose stream has said its end: then its connection can be used again."""


_ENDLESS = Failure(FailureKind.JUNK, "an event without an end")


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

    def close_at_its_end(self) -> None:
        """The stream has said its end; let go of the reply when its body ends as well, or does not for `REST_S`."""
        if self._pending is None:
            self._pending = asyncio.ensure_future(self.reply.receive())
        late = asyncio.get_running_loop().call_later(REST_S, self.close)

        def over(rest: asyncio.Task[bytes]) -> None:
            late.cancel()
            if not rest.cancelled():
                rest.exception()  # whatever it is, the stream was complete
            self.close()

        self._pending.add_done_callback(over)

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

    __slots__ = (
        "_closed", "_head", "_held", "_learn", "_lease", "_over", "_pending", "_read_to_end", "_routing", "_scanner",
        "_source", "_told", "failure",
    )  # fmt: skip

    ahead_bytes = READ_AHEAD_BYTES

    def __init__(
        self,
        lease: Lease,
        routing: Routing,
        source: StreamSource,
        scanner: StreamScanner,
        head: bytes,
        learn: Callable[[bytes], None],
        held: HeldBytes,
    ) -> None:
        """`learn` is told the events that end the stream; `head` it knows."""
        self._lease = lease
        self._routing = routing
        self._source = source
        self._scanner = scanner
        self._head = head
        self._learn = learn
        self._held = held
        self._pending: Holding | None = None
        self._over = False
        self._read_to_end = False
        self._closed = False
        self._told = scanner.may_end
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
        """Has the terminal event passed, or did the stream end cleanly with all that was asked for?"""
        return self._scanner.ended or (self._read_to_end and self.failure is None and self._scanner.may_end)

    async def next(self) -> bytes:
        """The next whole events, b"" = the stream is over. A broken one ends with an event the SDKs raise on.

        It is over when it says so, whether or not the provider closes the connection then.
        """
        if self._head:
            head, self._head = self._head, b""
            return head
        while not self._over:
            try:
                chunk = await self._source.receive() if not self._scanner.noticed else await self._receive_end()
            except UpstreamFailed as failed:
                self._read_to_end = True
                return self._broken(failed.failure)
            if chunk is None:
                break
            if not chunk:
                return self._ended()
            events = self._scanner.relay(chunk)
            if self._scanner.noticed:
                self._notice(events)
                if self._scanner.failure is not None:
                    events = self._scanner.masked(events)
            if events:
                return events
            if self._pending is None:
                return await self._next_in_pieces()
            self._pending.hold_in_all(self._scanner.pending_bytes)
        self._over = True
        return b""

    def error_frame(self, message: str, code: str) -> bytes:
        """An event that tells the client why its stream ends here."""
        return self._scanner.error_frame(message, code)

    def close(self) -> None:
        """Let go of the connection and the lease. A second call does nothing."""
        self._over = True
        if self._closed:
            return
        self._closed = True
        if self._scanner.usage is not None and self._lease.open:
            self._routing.learn(self._lease, self._scanner.usage)
        if self._scanner.ended and not self._read_to_end:
            self._source.close_at_its_end()
        else:
            self._source.close()
        self._routing.release(self._lease)

    async def _next_in_pieces(self) -> bytes:
        """As `next`, while what has come of an event that is not whole is held."""
        with Holding(self._held) as pending:
            self._pending = pending
            try:
                pending.hold(self._scanner.pending_bytes)
                return await self.next()
            finally:
                self._pending = None

    async def _receive_end(self) -> bytes | None:
        """What follows an end; None = nothing does, or not soon enough."""
        if self._scanner.is_done:
            return None
        if self._scanner.is_junk:
            raise UpstreamFailed(_ENDLESS)
        if self._scanner.ended or self._scanner.is_told:
            return await self._source.receive_within(END_WAIT_S)
        return await self._source.receive()

    def _notice(self, events: bytes) -> None:
        if self._scanner.may_end and not self._told:
            self._told = True
            self._learn(events)
        if self._scanner.failure is not None and self.failure is None:
            self._fail(self._scanner.failure)

    def _ended(self) -> bytes:
        self._over = self._read_to_end = True
        rest = self._scanner.finish()
        self._notice(rest)
        if self._scanner.may_end or self._scanner.is_told:
            return rest if self._scanner.failure is None else self._scanner.masked(rest)
        reported = self._scanner.failure
        return self._broken(reported or Failure(FailureKind.TRUNCATED, "the stream ended without a terminal event"))

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
