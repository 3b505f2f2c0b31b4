"""One attempt to open a socket at an endpoint: it has succeeded with the first thing that the endpoint says on it.

Providers refuse keys and models after the handshake, with an error and a close: until then another endpoint can be
asked, and the client's handshake is not answered. Some wait for their client to speak first: where no other endpoint
could take over, the client is let in after a while, and what is said first is judged by the relay.
"""

from collections.abc import Sequence
from functools import partial
from math import inf
from typing import Any, Protocol

from application.answers import WholeAnswer
from application.attempts.attempt import SendAttempt, as_failure, ended_by
from application.attempts.opening import AttemptFailed
from application.attempts.traced_attempt import with_context
from application.endpoints.endpoint_state import Lease
from application.messages import Api, ProxyRequest, RequestTrace, UpstreamCall, WholeReply
from application.ports import UpstreamReply
from application.socket_ports import LOST, OpenedSocket, Piece, Socket, SocketEvents
from application.sockets.relay import Relay
from application.sockets.whole_messages import WholeMessages
from application.telemetry_ports import AttemptSpan
from domain.failure import Failure, FailureKind
from domain.rate_limit.token_estimate import Usage
from domain.retry import time_limit

REFUSAL_S = 1.0
"""So long after an error the close is waited for that says how it is meant."""
SILENCE_S = 1.0
"""A socket beside a call that runs already may have nothing to say: it is taken for good after so long."""
PAUSE_S = 0.25
"""The same at a path that nobody here knows: it may be for the client to begin there, as in OpenAI's Live API. Only a
refusal that comes with the handshake is waited for."""


class SocketAnswer(WholeAnswer, frozen=True, kw_only=True):
    """The reply is the one to the handshake; all else comes over the relay, which has to be run or closed."""

    relay: Relay

    @property
    def error(self) -> str:
        """See `Ended`."""
        return ""

    @property
    def status(self) -> int:
        """See `Ended`."""
        return self.reply.status


class SocketAttempt(SendAttempt):
    """See `SendAttempt`. A body is the first message. The lease is released at the end of the socket."""

    def __init__(self, *parts: Any, stream_hold_s: float, events: SocketEvents, propagates: bool) -> None:
        """`parts` are those of `SendAttempt`. `stream_hold_s`: for so long a client is not let in to an endpoint that
        says nothing. `propagates`: see `TracedAttempt`."""
        super().__init__(*parts)
        self._hold_s = stream_hold_s
        self._events = events
        self._propagates = propagates

    async def __call__(
        self, lease: Lease, request: ProxyRequest, deadline: float, sign_by: float, trace: RequestTrace
    ) -> SocketAnswer | AttemptFailed:
        """The open socket, or why there is none. See `SendAttempt`. Its span ends with the lease. `sign_by` inf = there
        is no other endpoint that could take over at once."""
        if trace.span is None:
            return await self._opened(lease, request, deadline, sign_by, trace)
        span = trace.span.attempt(lease.endpoint, request.api, request.method, request.path, stream=True)
        if self._propagates:
            request = with_context(request, span)
        try:
            outcome = await self._opened(lease, request, deadline, sign_by, trace)
        except BaseException as error:
            span.end(0, ended_by(error))
            raise
        if isinstance(outcome, AttemptFailed):
            span.end(0 if outcome.reply is None else outcome.reply.status, outcome.failure.kind.value)
        else:
            span.opened()
            lease.when_released = partial(end_span, span, outcome)
        return outcome

    async def _opened(
        self, lease: Lease, request: ProxyRequest, deadline: float, sign_by: float, trace: RequestTrace
    ) -> SocketAnswer | AttemptFailed:
        endpoint, began, is_silent = lease.endpoint, self._clock.now(), True
        until, late = time_limit(began, deadline, sign_by, endpoint.first_byte_timeout_s)
        try:
            call = self._providers.call(endpoint, request, until - began)
            reply = await self._upstream.send(call)
            is_silent = False
            self._health.replied(lease, self._providers.readings(reply.headers))
            if not isinstance(reply, OpenedSocket):
                with self._clock.timeout_at(deadline):
                    raise await self._refused(lease, request, reply)  # noqa: TRY301 - is noted below, as all others
            if call.body:
                reply.socket.send(as_message(call))
            begun = await self._begin(lease, reply.socket, until, self._silence_s(request, sign_by))
        except BaseException as error:
            failed = as_failure(error, late, until - began)
            self._end(lease, request, failed, is_silent=is_silent)
            self._note(lease, ended_by(error) if failed is None else str(failed.failure), began, trace)
            if failed is None:
                raise
            return self._as_value(lease, failed)
        if begun:
            self._health.succeeded(lease)
        self._note(lease, "ok", began, trace)
        return self._answer(lease, request, reply, begun)

    def _answer(self, lease: Lease, request: ProxyRequest, reply: OpenedSocket, begun: Sequence[Piece]) -> SocketAnswer:
        self._learn(lease.endpoint, request, b"")
        relay = Relay(lease, self._pool, self._health, self._events, self._clock, reply.socket, begun)
        return SocketAnswer(WholeReply(reply.status, reply.headers, b""), relay=relay)

    async def _refused(self, lease: Lease, request: ProxyRequest, reply: UpstreamReply) -> AttemptFailed:
        """What the reply to a handshake means that is no 101."""
        whole = await self._whole(reply, None)
        failure = self._providers.judge(lease.endpoint, request, whole).failure
        if failure is None:
            # A path that nobody here knows may well have no sockets, whatever its name.
            kind = FailureKind.PATH_REFUSED if request.api is Api.OTHER else FailureKind.JUNK
            return AttemptFailed(Failure(kind, f"answered a WebSocket handshake with {whole.status}"))
        return AttemptFailed(failure, whole)

    def _silence_s(self, request: ProxyRequest, sign_by: float) -> float:
        """After so long a socket without a word is taken for good; inf = never, as others may do better."""
        if request.api is Api.OTHER:
            return PAUSE_S
        if request.binding.ids:
            return SILENCE_S
        return self._hold_s if sign_by == inf else inf

    async def _begin(self, lease: Lease, socket: Socket, until: float, silence_s: float) -> Sequence[Piece]:
        """The first message, in its pieces, or what has come of it when a socket that may be silent is taken for good.
        Raises `AttemptFailed` where it is a refusal, and `TimeoutError`."""
        begun: list[Piece] = []
        try:
            message = await self._first_message(socket, begun, min(until, self._clock.now() + silence_s))
            event = self._events.event(lease.endpoint, message) if message else None
            if message is None or (event is not None and event.is_error):
                code = await self._close_code(socket)
                raise AttemptFailed(*self._events.refusal(lease.endpoint, message or b"", code))  # noqa: TRY301 - below
        except BaseException as error:
            if isinstance(error, TimeoutError) and silence_s < inf:
                return tuple(begun)
            socket.abort()
            raise
        return tuple(begun)

    async def _first_message(self, socket: Socket, begun: list[Piece], until: float) -> bytes | None:
        """None = there is none; empty = it is not to be read."""
        messages = WholeMessages()
        with self._clock.timeout_at(until):
            while (piece := await socket.next_piece()) is not None:
                begun.append(piece)
                message = messages.add(piece)
                if message is not None:
                    return message
        return None

    async def _close_code(self, socket: Socket) -> int:
        try:
            with self._clock.timeout_at(self._clock.now() + REFUSAL_S):
                while await socket.next_piece() is not None:
                    pass
        except TimeoutError:
            pass
        return LOST if socket.closed is None else socket.closed.code


class Ended(Protocol):
    """What a span of a socket is about."""

    @property
    def status(self) -> int: ...

    @property
    def error(self) -> str:
        """The kind of its failure; empty = none."""


def end_span(span: AttemptSpan, ended: Ended, usage: Usage | None) -> None:
    """The lease is released; `usage` as in `EndpointPool.release`."""
    span.took(usage)
    span.end(ended.status, ended.error)


def as_message(call: UpstreamCall) -> bytes:
    """The body of a call, which is no upload, in one piece."""
    body = call.body
    return b"".join(body) if isinstance(body, tuple) else body if isinstance(body, bytes) else b""
