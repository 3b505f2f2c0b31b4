"""The beginning of a stream: held back until there is content, or an error that another endpoint may do better than."""

from collections.abc import Callable
from functools import partial

from msgspec import Struct

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

MAX_HELD_BYTES = 64 * 1024

_PREAMBLE = FrameKind.PREAMBLE
_DEADLINE = FailureKind.DEADLINE
_NO_TIME_LEFT = Failure(_DEADLINE, "no time left for this request")
_NOT_A_STREAM = Failure(FailureKind.JUNK, "answered a stream request without a stream")

Learn = Callable[[Endpoint, ProxyRequest, bytes], None]
"""Told what an endpoint's good reply to a request says: all of it, or the first and the last part of a stream."""


class AttemptFailed(Exception):
    """The attempt gave no answer; `reply` is what the upstream said, None = nothing that could be shown."""

    def __init__(self, failure: Failure, reply: WholeReply | None = None) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.reply = reply


def out_of_time(late: FailureKind, limit_s: float) -> Failure:
    """`late`: what it is called, see `time_limit`."""
    return _NO_TIME_LEFT if late is _DEADLINE else Failure(late, f"nothing came within {limit_s:.1f} s")


class StreamOpening(Struct, frozen=True):
    """Decides whether what has come of a reply is an answer. Raises `AttemptFailed` where it is none."""

    _pool: EndpointPool
    _health: HealthTracker
    _providers: Providers
    _clock: Clock
    _stream_hold_s: float
    """For so long a stream is held back without content, from its first event on."""
    _learn: Learn
    _held: HeldBytes

    async def __call__(
        self,
        lease: Lease,
        request: ProxyRequest,
        reply: UpstreamReply,
        until: float,
        late: FailureKind,
        deadline: float,
    ) -> EventStreamAnswer | WholeReply:
        """Read until the first content, or for as long as the preamble may be held back.

        Some providers answer a request for a stream in one piece: that is still to be judged. The first piece has to
        come `until` then, or the failure is `late`; all that is waited for by `deadline`.
        """
        source, began = StreamSource(reply, self._clock), lease.started
        try:
            with self._clock.timeout_at(until) as limit, Holding(self._held) as holding:
                source.reply = self._providers.plain(reply)
                chunk = await source.receive()
                late = _DEADLINE
                limit.reschedule(deadline)
                return await self._opened(lease, request, source, chunk, holding)
        except TimeoutError:
            source.close()
            raise AttemptFailed(out_of_time(late, until - began)) from None
        except BaseException:
            source.close()
            raise

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
