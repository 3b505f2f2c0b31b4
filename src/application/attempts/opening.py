"""The beginning of a stream: held back until there is content, or an error that another endpoint may do better than."""

from collections.abc import Callable
from functools import partial

from application.attempts.event_stream_answer import EventStreamAnswer, StreamSource
from application.attempts.reading import read_whole
from application.endpoints.endpoint_state import Lease
from application.endpoints.health import HealthTracker
from application.endpoints.pool import EndpointPool
from application.held_bytes import HeldBytes, Holding
from application.messages import FrameKind, ProxyRequest, WholeReply
from application.ports import Clock, Providers, StreamScanner, UpstreamReply
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.rate_limit.token_estimate import Usage

MAX_HELD_BYTES = 64 * 1024

_PREAMBLE = FrameKind.PREAMBLE
_NOT_A_STREAM = Failure(FailureKind.JUNK, "answered a stream request without a stream")

Learn = Callable[[Endpoint, ProxyRequest, bytes], None]
"""Told what an endpoint's good reply to a request says: all of it, or the first and the last part of a stream."""


class AttemptFailed(Exception):
    """The attempt gave no answer; `reply` is what the upstream said, None = nothing that could be shown."""

    def __init__(self, failure: Failure, reply: WholeReply | None = None) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.reply = reply


class StreamOpening:
    """Decides whether what has come of a reply is an answer. Raises `AttemptFailed` where it is none."""

    def __init__(
        self,
        pool: EndpointPool,
        health: HealthTracker,
        providers: Providers,
        clock: Clock,
        stream_hold_s: float,
        learn: Learn,
        held: HeldBytes,
    ) -> None:
        """Without content a stream is held back for `stream_hold_s` from its first event on."""
        self._pool = pool
        self._health = health
        self._providers = providers
        self._clock = clock
        self._stream_hold_s = stream_hold_s
        self._learn = learn
        self._held = held

    def judge(self, lease: Lease, request: ProxyRequest, whole: WholeReply) -> Usage | None:
        """Is a reply that has come to its end an answer? Then what it says is learned, and what it took returned."""
        verdict = self._providers.judge(lease.endpoint, request, whole)
        if verdict.failure is not None:
            raise AttemptFailed(verdict.failure, whole)
        self._learn(lease.endpoint, request, whole.body)
        return verdict.usage

    async def __call__(
        self, lease: Lease, request: ProxyRequest, source: StreamSource, chunk: bytes
    ) -> EventStreamAnswer | WholeReply:
        """Read until the first content, or for as long as the preamble may be held back. `chunk` has come already.

        Some providers answer a request for a stream in one piece: that is still to be judged.
        """
        with Holding(self._held) as holding:
            return await self._opened(lease, request, source, chunk, holding)

    async def _opened(
        self, lease: Lease, request: ProxyRequest, source: StreamSource, chunk: bytes, holding: Holding
    ) -> EventStreamAnswer | WholeReply:
        scanner = self._providers.scanner(lease.endpoint, request)
        reply = source.reply
        held = bytearray()
        hold_until = 0.0
        while chunk:
            held += chunk
            decided = _decided(scanner, chunk)
            if isinstance(decided, Failure):
                raise AttemptFailed(decided, _so_far(reply, held, scanner))
            if decided:
                break
            if scanner.is_body:
                body = await read_whole(source, self._held, bytes(held))
                return WholeReply(reply.status, reply.headers, body)
            if len(held) > MAX_HELD_BYTES:
                if not scanner.is_event_stream:
                    raise AttemptFailed(_NOT_A_STREAM)
                if len(held) - scanner.pending_bytes > MAX_HELD_BYTES or scanner.began:
                    break  # else the first event is still coming, and nobody gets any of it before it is whole
            holding.hold_in_all(len(held) + scanner.pending_bytes)
            if not scanner.began:
                chunk = await source.receive()
                continue
            hold_until = hold_until or self._clock.now() + self._stream_hold_s
            more = await source.receive_within(hold_until - self._clock.now())
            if more is None:
                break
            chunk = more
        else:
            self._check_complete(lease, request, WholeReply(reply.status, reply.headers, bytes(held)), scanner)
        head = _so_far(reply, held, scanner).body
        if scanner.failure is not None:
            head = scanner.masked(head)
        learn = partial(self._learn, lease.endpoint, request)
        learn(head)
        return EventStreamAnswer(lease, self._pool, self._health, source, scanner, head, learn, self._held)

    def _check_complete(self, lease: Lease, request: ProxyRequest, whole: WholeReply, scanner: StreamScanner) -> None:
        """The body ended before any content: that is an answer only if the stream said that it is complete."""
        scanner.finish()
        if scanner.may_end:
            return
        if scanner.failure is not None:
            raise AttemptFailed(scanner.failure, whole)
        if scanner.began:
            raise AttemptFailed(Failure(FailureKind.TRUNCATED, "the stream ended before any content"))
        failure = self._providers.judge(lease.endpoint, request, whole).failure
        raise AttemptFailed(failure or _NOT_A_STREAM, whole)


def _decided(scanner: StreamScanner, chunk: bytes) -> bool | Failure:
    """Has content come? An error beside it, not yet shown to anybody, still counts for more."""
    content = False
    for frame in scanner.feed(chunk):
        if frame.failure is not None and frame.failure.meaning.next_endpoint:
            return frame.failure
        content = content or frame.kind is not _PREAMBLE
    return content


def _so_far(reply: UpstreamReply, held: bytearray, scanner: StreamScanner) -> WholeReply:
    """The whole events of what has come of a stream."""
    return WholeReply(reply.status, reply.headers, bytes(held[: len(held) - scanner.pending_bytes]))
