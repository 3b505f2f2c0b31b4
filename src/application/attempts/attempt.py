"""One attempt: send the request to one endpoint, read what comes, and tell an answer from a failure."""

import asyncio
from collections.abc import Callable
from functools import partial

from msgspec import Struct

from application.answers import Answer, WholeAnswer
from application.attempts.event_stream_answer import EventStreamAnswer, StreamSource
from application.attempts.raw_answer import RawAnswer
from application.attempts.reading import is_event_stream, read_json, read_whole
from application.attempts.time_limit import TimeLimit
from application.endpoints.endpoint_state import Lease
from application.endpoints.health import HealthTracker
from application.endpoints.pool import EndpointPool
from application.held_bytes import HeldBytes, Holding
from application.messages import Api, Attempt, FrameKind, ProxyRequest, RequestTrace, UpstreamCall, WholeReply
from application.ports import Clock, Providers, StreamScanner, Upstream, UpstreamFailed, UpstreamReply
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.rate_limit.token_estimate import Usage

MAX_HELD_BYTES = 64 * 1024
_GRACE_S = 0.1

# Bound once: to read a member of an enumeration by its name is slow before Python 3.12.
_DEADLINE = FailureKind.DEADLINE
_STORED, _OTHER = Api.STORED, Api.OTHER

_NOT_A_STREAM = Failure(FailureKind.JUNK, "answered a stream request without a stream")

_NO_TIME_LEFT = Failure(FailureKind.DEADLINE, "no time left for this request")
_CLIENT_TIMED_OUT = Failure(FailureKind.DEADLINE, "the client's own time-out")


Learn = Callable[[Endpoint, ProxyRequest, bytes], None]
"""Told what an endpoint's good reply to a request says: all of it, or the first and the last part of a stream."""


class AttemptFailed(Exception):
    """The attempt gave no answer; `reply` is what the upstream said, None = nothing that could be shown."""

    def __init__(self, failure: Failure, reply: WholeReply | None = None) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.reply = reply


class Deadlines(Struct, frozen=True):
    """When an attempt ends, in times of the clock."""

    total: float
    """For all: a whole reply, or a stream's first content."""
    first_event: float
    """For the first sign of life (a stream's first event, a whole reply's headers): then there is time for another
    endpoint."""


class _Patience(Struct):
    """How long an attempt may take until its next step, and what it is called when that is too long."""

    limit_s: float | None = None
    """Seconds from its start; None = how long an upload takes is the client's affair, and the upstream times the
    rest."""
    late: FailureKind = _DEADLINE
    """DEADLINE = it is the time of the whole request that ends then."""

    @property
    def failure(self) -> Failure:
        if self.late is _DEADLINE:
            return _NO_TIME_LEFT
        return Failure(self.late, f"nothing came within {self.limit_s:.1f} s")


_UNTIMED = _Patience()


def _patience(call: UpstreamCall, request: ProxyRequest, deadline: Deadlines, now: float) -> _Patience:
    if request.upload is not None:
        return _UNTIMED
    limit_s = deadline.total - now
    # The upstream keeps this time as well, and knows better what was waited for: it gets to speak first.
    first_s = call.first_byte_timeout_s + _GRACE_S
    if deadline.first_event < deadline.total and deadline.first_event - now < min(first_s, limit_s):
        return _Patience(deadline.first_event - now, FailureKind.SLOW)
    return _Patience(first_s, FailureKind.FIRST_BYTE_TIMEOUT) if first_s < limit_s else _Patience(limit_s)


class SendAttempt:
    """Runs one attempt on a lease and reports its outcome to the routing.

    The lease is released when the attempt fails or its whole reply is read; a stream takes it along.
    """

    def __init__(
        self,
        pool: EndpointPool,
        health: HealthTracker,
        upstream: Upstream,
        providers: Providers,
        clock: Clock,
        stream_hold_s: float,
        learn: Learn,
        held: HeldBytes,
    ) -> None:
        """`learn` is told what good replies say."""
        self._held = held
        self._pool = pool
        self._health = health
        self._upstream = upstream
        self._providers = providers
        self._clock = clock
        self._stream_hold_s = stream_hold_s
        self._learn = learn
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(
        self, lease: Lease, request: ProxyRequest, deadline: Deadlines, trace: RequestTrace
    ) -> Answer | AttemptFailed:
        """The answer of the leased endpoint, or why it gave none; the trail says the same."""
        began = self._clock.now()
        api = request.api
        # A stream that is kept is replayed: an error in it is what happened then, and no news of the endpoint.
        passes = api is _OTHER or (api is _STORED and request.stream)
        source: StreamSource | None = None
        is_silent = True
        usage: Usage | None = None
        patience = _UNTIMED
        try:
            call = self._providers.call(lease.endpoint, request)
            patience = _patience(call, request, deadline, began)
            with TimeLimit(patience.limit_s, self._running_loop()) as limit:
                reply = await self._upstream.send(call)
                is_silent = False
                self._health.replied(lease, self._providers.readings(reply.headers))
                is_good = 200 <= reply.status < 300
                if request.stream and not passes and is_good:
                    source = StreamSource(reply)
                    source.reply = self._providers.plain(reply)
                    first = await source.receive()
                if patience.late is not _DEADLINE:  # the first sign came
                    patience = _Patience(deadline.total - self._clock.now())
                    limit.reschedule(patience.limit_s)
                answer: WholeReply | EventStreamAnswer | RawAnswer
                if source is not None:
                    with Holding(self._held) as held:
                        answer = await self._open_stream(lease, request, source, first, held)
                elif passes and is_good:
                    answer = await self._pass(lease, request, reply)
                else:
                    answer = WholeReply(reply.status, reply.headers, await read_whole(reply, self._held))
                if isinstance(answer, WholeReply) and not (passes and is_good):
                    usage = self._judged(lease, request, answer)
        except BaseException as error:
            if source is not None:
                source.close()
            failed = _as_failure(error, patience)
            if failed is not None:
                self._health.failed(lease, failed.failure)
            elif is_silent and request.has_run_out(self._clock.now()):
                self._health.failed(lease, _CLIENT_TIMED_OUT)
            self._pool.release(lease)
            self._note(lease, "client left" if failed is None else str(failed.failure), began, trace)
            if failed is None:
                raise
            return self._as_value(lease, failed)
        self._health.succeeded(lease)
        self._note(lease, "ok", began, trace)
        if isinstance(answer, WholeReply):
            self._pool.release(lease, usage)
            return WholeAnswer(answer)
        return answer

    def _as_value(self, lease: Lease, failed: AttemptFailed) -> AttemptFailed:
        """What may be shown, and handed on. What it was raised through knows it too, and would keep the request's body
        until Python next looks for circles, which it does seldom."""
        if failed.reply is not None:
            failed.reply = self._providers.masked(lease.endpoint, failed.reply)
        failed.__cause__ = failed.__context__ = None
        return failed.with_traceback(None)

    def _note(self, lease: Lease, outcome: str, began: float, trace: RequestTrace) -> None:
        trace.attempts.append(Attempt(lease.endpoint.id, outcome))
        trace.upstream_s += self._clock.now() - began

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """Always the same one."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    async def _pass(self, lease: Lease, request: ProxyRequest, reply: UpstreamReply) -> WholeReply | RawAnswer:
        """A good reply of a kind that nobody here knows: as it comes, unless it is JSON of a moderate size."""
        scanner = None
        try:
            if request.stream and is_event_stream(reply):
                reply = self._providers.plain(reply)
                scanner = self._providers.scanner(lease.endpoint, request)
            body, is_whole = await read_json(reply, self._held)
        except BaseException:
            reply.close()
            raise
        self._learn(lease.endpoint, request, body)
        if not is_whole:
            return RawAnswer(lease, self._pool, self._health, reply, self._held, body, scanner)
        reply.close()
        return WholeReply(reply.status, reply.headers, body)

    def _judged(self, lease: Lease, request: ProxyRequest, whole: WholeReply) -> Usage | None:
        """What a whole reply says that it took. Raises `AttemptFailed` where it is no answer."""
        verdict = self._providers.judge(lease.endpoint, request, whole)
        if verdict.failure is not None:
            raise AttemptFailed(verdict.failure, whole)
        self._learn(lease.endpoint, request, whole.body)
        return verdict.usage

    async def _open_stream(
        self, lease: Lease, request: ProxyRequest, source: StreamSource, chunk: bytes, holding: Holding
    ) -> EventStreamAnswer | WholeReply:
        """Read until the first content, or for as long as the preamble may be held back. `chunk` has come already.

        Some providers answer a request for a stream in one piece: a good answer is one all the same.
        """
        scanner = self._providers.scanner(lease.endpoint, request)
        reply = source.reply
        held = bytearray()
        hold_until = 0.0
        while chunk:
            held += chunk
            decided = self._decided(scanner, chunk)
            if isinstance(decided, Failure):
                raise AttemptFailed(decided, _so_far(reply, held, scanner))
            if decided:
                break
            if scanner.is_body:
                return WholeReply(reply.status, reply.headers, await read_whole(source, self._held, bytes(held)))
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

    @staticmethod
    def _decided(scanner: StreamScanner, chunk: bytes) -> bool | Failure:
        """Has content come? An error beside it, not yet shown to anybody, still counts for more."""
        content = False
        for frame in scanner.feed(chunk):
            if frame.failure is not None and frame.failure.meaning.next_endpoint:
                return frame.failure
            content = content or frame.kind is not FrameKind.PREAMBLE
        return content

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


def _so_far(reply: UpstreamReply, held: bytearray, scanner: StreamScanner) -> WholeReply:
    """The whole events of what has come of a stream."""
    return WholeReply(reply.status, reply.headers, bytes(held[: len(held) - scanner.pending_bytes]))


def _as_failure(error: BaseException, patience: _Patience) -> AttemptFailed | None:
    """What ended the attempt, as a failure of it; None = it is none: the client left, or the proxy is at fault."""
    if isinstance(error, AttemptFailed):
        return error
    if isinstance(error, UpstreamFailed):
        return AttemptFailed(error.failure)
    return AttemptFailed(patience.failure) if isinstance(error, TimeoutError) else None
