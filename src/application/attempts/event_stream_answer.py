"""A stream on its way to the client, from the first content on: bytes pass, and its end is told from a break."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from application.endpoints.endpoint_state import Lease
from application.endpoints.health import HealthTracker
from application.endpoints.pool import EndpointPool
from application.flow import Take, TakeFramed, nowhere
from application.held_bytes import HeldBytes, Holding
from application.ports import READ_AHEAD_BYTES, Clock, StreamScanner, UpstreamFailed, UpstreamReply
from domain.failure import Failure, FailureKind

END_WAIT_S = 0.25
"""How long something is waited for after a terminal event: some gateways send `[DONE]` after those of Responses too."""

REST_S = 1.0
"""How long the end of a body may take whose stream has said its end: then its connection can be used again."""


_ENDLESS = Failure(FailureKind.JUNK, "an event without an end")


class StreamSource:
    """An upstream reply that can also be waited for without giving it up."""

    __slots__ = ("_clock", "_pending", "reply")

    def __init__(self, reply: UpstreamReply, clock: Clock) -> None:
        self.reply = reply
        self._clock = clock
        self._pending: asyncio.Task[bytes] | None = None

    def now(self) -> float:
        return self._clock.now()

    def receive(self) -> Awaitable[bytes]:
        """The next piece, b"" = the end; raises `UpstreamFailed`. To be awaited at once."""
        if self._pending is None:
            return self.reply.receive()
        pending, self._pending = self._pending, None
        return _awaited(pending)

    async def flow(self, take: Take, take_framed: TakeFramed | None) -> bool:
        """See `UpstreamReply.flow`; what is still waited for comes first."""
        if self._pending is not None:
            piece = await self.receive()
            if not piece or not take(piece):
                return not piece
        return await self.reply.flow(take, take_framed)

    async def receive_within(self, seconds: float) -> bytes | None:
        """The next piece, or None when it does not come in time: it is then still waited for by the next call."""
        if self._pending is None:
            self._pending = asyncio.ensure_future(self.reply.receive())
        with suppress(TimeoutError), self._clock.timeout_at(self._clock.now() + seconds):
            await asyncio.wait((self._pending,))
        return await self.receive() if self._pending.done() else None

    def close_at_its_end(self) -> None:
        """The stream has said its end; let go of the reply when its body ends as well, or does not for `REST_S`."""
        if self._pending is None:
            self._pending = asyncio.ensure_future(self.reply.receive())
        late = self._clock.call_at(self._clock.now() + REST_S, self.close)

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


class EventStreamAnswer:
    """The rest of a stream whose first content has come. Owns the upstream connection and the lease until `close()`."""

    __slots__ = (
        "_began",
        "_closed",
        "_head",
        "_health",
        "_learn",
        "_lease",
        "_over",
        "_pending",
        "_pool",
        "_read_to_end",
        "_scanner",
        "_source",
        "_take",
        "_told",
        "_wants_more",
        "ahead_bytes",
        "failure",
        "headers",
        "status",
    )  # fmt: skip

    def __init__(
        self,
        lease: Lease,
        pool: EndpointPool,
        health: HealthTracker,
        source: StreamSource,
        scanner: StreamScanner,
        head: bytes,
        learn: Callable[[bytes], None],
        held: HeldBytes,
    ) -> None:
        """`learn` is told the events that end the stream; `head` it knows."""
        self._lease = lease
        self._pool = pool
        self._health = health
        self._source = source
        self._began = source.now()
        self._scanner = scanner
        self._head = head
        self._learn = learn
        self._pending = Holding(held)
        self._take: Take = nowhere
        self._wants_more = True
        self._over = False
        self._read_to_end = False
        self._closed = False
        self._told = scanner.may_end
        self.status = source.reply.status
        self.headers = source.reply.headers
        self.ahead_bytes = READ_AHEAD_BYTES
        self.failure: Failure | None = scanner.failure
        """Why the stream broke after it had begun, or what the provider refused in it; None = neither."""

    @property
    def complete(self) -> bool:
        """Has the terminal event passed, or did the stream end cleanly with all that was asked for?"""
        return self._scanner.ended or (self._read_to_end and self.failure is None and self._scanner.may_end)

    async def flow(self, take: Take, take_framed: TakeFramed | None = None, /) -> bool:
        """See `StreamedAnswer.flow`. A stream is over when it says so, whether or not the provider closes then."""
        self._take = take
        self._wants_more = True
        if self._head:
            head, self._head = self._head, b""
            self._wants_more = take(head)
        while self._wants_more and not self._over:
            try:
                await self._go_on(take_framed)
            except UpstreamFailed as failed:
                self._read_to_end = True
                self._give(self._broken(failed.failure))
        if not self._wants_more:
            self._source.reply.rest()
        return self._wants_more

    async def _go_on(self, take_framed: TakeFramed | None) -> None:
        """Until there is something to decide, and from the first sign of an end on piece by piece."""
        if not self._scanner.noticed:
            scanner = self._scanner
            framed = None if take_framed is None else scanner.passing_framed(take_framed)
            is_over = await self._source.flow(scanner.passing(self._take, self._pass), framed)
            if not is_over and not scanner.noticed:
                self._wants_more = False
        else:
            chunk = await self._receive_end()
            if chunk is None:
                self._over = True
                return
            is_over = not chunk
            if chunk:
                self._pass(chunk)
        if is_over:
            self._give(self._ended())

    def _pass(self, chunk: bytes) -> bool:
        """Pass on what is whole of a piece in which something may matter."""
        scanner = self._scanner
        events = scanner.relay(chunk)
        if scanner.noticed:
            events = self._notice(events)
        if not events:
            self._pending.hold_in_all(scanner.pending_bytes)
        else:
            if self._pending.held_bytes:
                self._pending.hold_in_all(0)
            self._wants_more = self._take(events)
        return self._wants_more and not scanner.noticed

    def _give(self, events: bytes) -> None:
        if events:
            self._wants_more = self._take(events)

    def error_frame(self, message: str, code: str) -> bytes:
        """An event that tells the client why its stream ends here."""
        return self._scanner.error_frame(message, code)

    def close(self) -> None:
        """Let go of the connection and the lease. A second call does nothing."""
        self._over = True
        if self._closed:
            return
        self._closed = True
        self._take = nowhere  # which may hold on to this
        self._pending.close()
        if self._scanner.ended and not self._read_to_end:
            self._source.close_at_its_end()
        else:
            self._source.close()
        usage = self._scanner.usage
        if usage is not None:
            self._lease.state.streamed(usage, self._source.now() - self._began)
        self._pool.release(self._lease, usage)

    async def _receive_end(self) -> bytes | None:
        """What follows an end; None = nothing does, or not soon enough."""
        if self._scanner.is_done:
            return None
        if self._scanner.is_junk:
            raise UpstreamFailed(_ENDLESS)
        if self._scanner.ended or self._scanner.is_told:
            return await self._source.receive_within(END_WAIT_S)
        return await self._source.receive()

    def _notice(self, events: bytes) -> bytes:
        """Events that something ends with, as a client may see them."""
        if self._scanner.may_end and not self._told:
            self._told = True
            self._learn(events)
        if self._scanner.failure is None:
            return events
        if self.failure is None:
            self._fail(self._scanner.failure)
        return self._scanner.masked(events)

    def _ended(self) -> bytes:
        self._over = self._read_to_end = True
        rest = self._notice(self._scanner.finish())
        if self._scanner.may_end or self._scanner.is_told:
            return rest
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
        self._health.failed(self._lease, failure)
