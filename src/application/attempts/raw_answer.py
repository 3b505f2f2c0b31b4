"""Replies of any kind on their way to the client: bytes as they come, nothing held, nothing read."""

from application.endpoints.endpoint_state import Lease
from application.endpoints.health import HealthTracker
from application.endpoints.pool import EndpointPool
from application.flow import Take, TakeFramed, nowhere
from application.held_bytes import HeldBytes, Holding
from application.messages import header
from application.ports import READ_AHEAD_BYTES, StreamScanner, UpstreamFailed, UpstreamReply
from domain.failure import Failure


class RawAnswer:
    """The rest of a reply whose headers have come. Owns the upstream connection and the lease until `close()`.

    Nothing can be said inside it when it breaks: `failure` says so, and whoever sends it on must cut the connection, so
    that the client does not take half a file for the whole.
    """

    __slots__ = (
        "_head",
        "_health",
        "_lease",
        "_over",
        "_pending",
        "_pool",
        "_reply",
        "_scanner",
        "_take",
        "_wants_more",
        "ahead_bytes",
        "complete",
        "failure",
        "headers",
        "status",
    )  # fmt: skip

    def __init__(
        self,
        lease: Lease,
        pool: EndpointPool,
        health: HealthTracker,
        reply: UpstreamReply,
        held: HeldBytes,
        head: bytes = b"",
        scanner: StreamScanner | None = None,
    ) -> None:
        """`head` is what was read of the body already. `scanner` reads along with an event stream, to know when that
        has said its end; None = it is none."""
        self._lease = lease
        self._scanner = scanner
        self._pool = pool
        self._health = health
        self._reply = reply
        self._head = head
        self._pending = Holding(held)
        self._take: Take = nowhere
        self._wants_more = True
        self._over = False
        self.status = reply.status
        self.headers = reply.headers
        self.complete = False
        self.ahead_bytes = READ_AHEAD_BYTES
        self.failure: Failure | None = None
        """Why it broke; None = it did not (yet)."""

    @property
    def length(self) -> str | None:
        """Its `content-length`; None = the upstream did not say."""
        if header(self.headers, "transfer-encoding") is not None:
            return None
        length = header(self.headers, "content-length")
        return length if length is not None and length.isdecimal() else None

    async def flow(self, take: Take, _: TakeFramed | None = None, /) -> bool:
        """See `StreamedAnswer.flow`. When it is over, either that was all or `failure` is set."""
        self._take = take
        self._wants_more = True
        if self._head:
            head, self._head = self._head, b""
            self._wants_more = take(head)
        if self._wants_more and not self._over:
            try:
                if await self._reply.flow(self._pass):
                    self._over = self.complete = True
            except UpstreamFailed as failed:
                self._over = True
                self.failure = failed.failure
                self._health.failed(self._lease, failed.failure)
        if not self._wants_more:
            self._reply.rest()
        return self._wants_more

    def _pass(self, piece: bytes) -> bool:
        self._wants_more = self._take(piece)
        self._over = self.complete = self._has_ended(piece)
        return self._wants_more and not self._over

    def error_frame(self, message: str, code: str) -> bytes:  # noqa: ARG002 - has nowhere to say it
        """Always empty."""
        return b""

    def close(self) -> None:
        """Let go of the connection and the lease. A second call does nothing."""
        self._over = True
        self._take = nowhere  # which may hold on to this
        self._pending.close()
        self._reply.close()
        self._pool.release(self._lease)

    def _has_ended(self, piece: bytes) -> bool:
        """Is it an event stream of no announced length that ends with this, though the provider stays connected?"""
        if self._scanner is None or self.length is not None:
            return False
        self._scanner.relay(piece)
        self._pending.hold_in_all(self._scanner.pending_bytes)
        return self._scanner.ended and not self._scanner.pending_bytes
