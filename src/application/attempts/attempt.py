"""One attempt: send the request to one endpoint, read what comes, and tell an answer from a failure."""

import asyncio
from math import inf

from application.answers import Answer, WholeAnswer
from application.attempts.event_stream_answer import EventStreamAnswer
from application.attempts.opening import AttemptFailed, Learn, StreamOpening, out_of_time
from application.attempts.raw_answer import RawAnswer
from application.attempts.reading import is_event_stream, read_json, read_whole
from application.endpoints.endpoint_state import Lease
from application.endpoints.health import HealthTracker
from application.endpoints.pool import EndpointPool
from application.held_bytes import SMALL_BYTES, HeldBytes
from application.messages import Api, Attempt, ClientLeft, Headers, ProxyRequest, RequestTrace, WholeReply, header
from application.ports import Clock, Providers, Upstream, UpstreamFailed, UpstreamReply
from application.telemetry_ports import CANCELLED, PROXY_FAILED
from domain.failure import Failure, FailureKind
from domain.retry import time_limit

# Bound once: to read a member of an enumeration by its name is slow before Python 3.12.
_DEADLINE, _FIRST_BYTE = FailureKind.DEADLINE, FailureKind.FIRST_BYTE_TIMEOUT
_STORED, _OTHER = Api.STORED, Api.OTHER

_CLIENT_TIMED_OUT = Failure(_DEADLINE, "the client's own time-out")


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
        self._pool = pool
        self._health = health
        self._upstream = upstream
        self._providers = providers
        self._clock = clock
        self._learn = learn
        self._held = held
        self._open = StreamOpening(pool, health, providers, clock, stream_hold_s, learn, held)

    async def __call__(
        self, lease: Lease, request: ProxyRequest, deadline: float, sign_by: float, trace: RequestTrace
    ) -> Answer | AttemptFailed:
        """The answer of the leased endpoint, or why it gave none; the trace says the same.

        A whole reply, or a stream's first content, has to come by `deadline`, and a first sign of it by `sign_by`: a
        stream's first piece, a whole reply's headers. Both are times of the clock.
        """
        endpoint, api, is_stream = lease.endpoint, request.api, request.stream
        began = self._clock.now()
        if endpoint.price is not None:
            lease.trace = trace
        # A stream that is kept is replayed: an error in it is what happened then, and no news of the endpoint.
        passes = api is _OTHER or (api is _STORED and is_stream)
        first_byte_s = endpoint.first_byte_timeout_s if is_stream else endpoint.whole_reply_timeout_s
        is_silent, usage = True, None
        if request.upload is None:
            until, late = time_limit(began, deadline, sign_by, first_byte_s)
            first_byte_s = until - began
        else:  # how long it takes is the client's affair, and the upstream times the rest
            until, late, deadline = inf, _FIRST_BYTE, inf
        try:
            reply = await self._upstream.send(self._providers.call(endpoint, request, first_byte_s))
            is_silent = False
            self._health.replied(lease, self._providers.readings(reply.headers))
            if endpoint.is_provisioned and self._providers.is_spilled(reply.headers):
                self._health.spilled(lease)
            is_good = 200 <= reply.status < 300
            passes = passes and is_good
            body = None if passes or is_stream else reply.whole_now()
            answer: WholeReply | EventStreamAnswer | RawAnswer
            if body is not None and len(body) <= SMALL_BYTES:
                answer = WholeReply(reply.status, reply.headers, body)
            elif is_stream and is_good and not passes:
                answer = await self._open(lease, request, reply, until, late, deadline)
            else:
                late = _DEADLINE
                with self._clock.timeout_at(deadline):
                    answer = await (self._pass(lease, request, reply) if passes else self._whole(reply, body))
            if not passes and isinstance(answer, WholeReply):
                verdict = self._providers.judge(endpoint, request, answer)
                if verdict.failure is not None:
                    raise AttemptFailed(verdict.failure, answer)  # noqa: TRY301 - is noted below, as all others are
                self._learn(endpoint, request, answer.body)
                usage = verdict.usage
        except BaseException as error:
            failed = as_failure(error, late, first_byte_s)
            self._end(lease, request, failed, is_silent=is_silent)
            self._note(lease, ended_by(error) if failed is None else str(failed.failure), began, trace)
            if failed is None:
                raise
            return self._as_value(lease, failed)
        self._health.succeeded(lease)
        self._note(lease, "ok", began, trace)
        if isinstance(answer, WholeReply):
            self._pool.release(lease, usage)
            return WholeAnswer(answer)
        return answer

    def _end(self, lease: Lease, request: ProxyRequest, failed: AttemptFailed | None, *, is_silent: bool) -> None:
        if failed is not None:
            self._health.failed(lease, failed.failure)
        elif is_silent and request.has_run_out(self._clock.now()):
            self._health.failed(lease, _CLIENT_TIMED_OUT)
        self._pool.release(lease)

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

    async def _whole(self, reply: UpstreamReply, begun: bytes | None) -> WholeReply:
        return WholeReply(reply.status, reply.headers, await read_whole(reply, self._held, begun or b""))

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
        self._learn(lease.endpoint, request, body or _made_at(reply.headers))
        if not is_whole:
            return RawAnswer(lease, self._pool, self._health, reply, self._held, body, scanner)
        reply.close()
        return WholeReply(reply.status, reply.headers, body)


def _made_at(headers: Headers) -> bytes:
    """The id of what was made, as JSON, where only a header says it: of a Realtime call. Empty = none does."""
    place = header(headers, "location")
    return b"" if place is None else b'"%b"' % place.rpartition("/")[2].encode("latin-1")


def as_failure(error: BaseException, late: FailureKind, limit_s: float) -> AttemptFailed | None:
    """What ended the attempt, as a failure of it; None = it is none: the client left, or the proxy is at fault."""
    if isinstance(error, AttemptFailed):
        return error
    if isinstance(error, UpstreamFailed):
        is_ours = error.failure.kind is _FIRST_BYTE and late is not _FIRST_BYTE
        return AttemptFailed(out_of_time(late, limit_s) if is_ours else error.failure)
    return AttemptFailed(out_of_time(late, limit_s)) if isinstance(error, TimeoutError) else None


def ended_by(error: BaseException) -> str:
    """What ended an attempt that has no failure: `CANCELLED` or `PROXY_FAILED`."""
    return CANCELLED if isinstance(error, asyncio.CancelledError | ClientLeft) else PROXY_FAILED
