"""The relay of a Responses socket: its turns are known, and each claims the endpoint like a request.

So rate limits, cooldown and costs hold for turns as for requests. A turn that the endpoint cannot take, though another
one may, is handed over: the client goes on with another socket.
"""

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from application.attempts.opening import Learn
from application.errors import HandedOver, InvalidRequest
from application.messages import Attempt, ProxyRequest, RequestTrace
from application.ports import Providers, Timer
from application.socket_ports import Closed, Piece, SocketEvent
from application.sockets.attempt import as_message, end_span
from application.sockets.native_turn import NativeTurn
from application.sockets.relay import OF_THE_ENDPOINT, Relay
from domain.failure import Blame, Failure, FailureKind
from domain.group import ModelGroup
from domain.rate_limit.token_estimate import Demand
from domain.routing.route_query import RouteQuery

FAREWELL_S = 5.0
"""After a handover the client has so long to go by itself."""
MOST_TURNS = 80
"""That run or wait at the endpoint: as many as where turns are requests."""
_SILENT = Failure(FailureKind.IDLE_TIMEOUT, "nothing came while a turn ran")
_LOST = Failure(FailureKind.RESET, "the socket ended within the turn")


class NativeRelay(Relay):
    """See `Relay`. Has no lease of its own, its turns have."""

    def __init__(self, group: ModelGroup, first: NativeTurn, learn: Learn, providers: Providers, *parts: Any) -> None:
        """`learn` is told what good turns say; `parts` are those of `Relay`."""
        super().__init__(*parts)
        self.group = group
        self.endpoint = first.lease.endpoint
        self.handovers = 0
        self._learn = learn
        self._providers = providers
        self._running: dict[str, deque[NativeTurn]] = {}
        """By lane, in their order; none is empty."""
        self._heard = 0.0
        self._timer: Timer | None = None
        self._is_silent = False
        self._add(first)

    def begin(self, request: ProxyRequest, lane: str, trace: RequestTrace) -> tuple[NativeTurn, bytes]:
        """Another turn, and the message that begins it at the endpoint. Raises `HandedOver` when another endpoint, or
        nobody now, is to take it."""
        if self._is_stopping:
            raise self.hand_over("the proxy is restarted")
        if self.handovers:
            raise self.hand_over("another endpoint is to answer")
        if len(self._turns) >= MOST_TURNS:
            told = "Too many turns wait on this socket; wait for one to end."
            raise InvalidRequest(told, code="websocket_queue_full")
        demand = Demand.of(request.body, request.max_output_tokens, request.outline)
        query = RouteQuery(demand, request.client, request.affinity, request.api, False, request.body)
        others = [each.id for each in self.group.endpoints if each.id != self.endpoint.id]
        lease = self._pool.pick(self.group, query, others, self._clock.now())
        if lease is None:
            raise self.hand_over("the endpoint of this one rests, or is at its rate limit")
        lease.state.send()
        if self.endpoint.price is not None:
            lease.trace = trace
        trace.attempts.append(Attempt(self.endpoint.id, "ok"))
        turn = NativeTurn(lease, request, lane, self._pool, self._providers, ())
        if trace.span is not None:
            span = trace.span.attempt(self.endpoint, request.api, request.method, request.path, stream=True)
            lease.when_released = partial(end_span, span, turn)
        self._add(turn)
        return turn, as_message(self._providers.call(self.endpoint, request, 0.0))

    def hand_over(self, reason: str) -> HandedOver:
        """No more turns are taken; when those that run have ended, the client has some time to go by itself."""
        self.handovers += 1
        self._farewell = "go on with a new socket"
        self._end_soon()
        return HandedOver(reason)

    @property
    def is_streaming(self) -> bool:
        """See `Relay`."""
        return bool(self._running)

    def close(self) -> None:
        """See `Relay`."""
        self._socket.abort()
        if self._timer is not None:
            self._timer.cancel()
        for turn in self._turns:
            turn.end(None, turn.failure or _LOST)
        self._running.clear()

    @property
    def _turns(self) -> Sequence[NativeTurn]:
        return [turn for turns in self._running.values() for turn in turns]

    def _add(self, turn: NativeTurn) -> None:
        turn.when_abandoned = self._over.set
        if not self._running:
            self._heard = self._clock.now()
        self._running.setdefault(turn.lane, deque()).append(turn)
        self._watch()

    def _watch(self) -> None:
        """While turns run, the endpoint may not be silent for longer than inside a stream."""
        if self._timer is not None:
            self._timer.cancel()
        due = self._heard + self.endpoint.stream_idle_timeout_s
        if self._running and self._clock.now() >= due:
            self._is_silent = True
            self._socket.abort()
        elif self._running:
            self._timer = self._clock.call_at(due, self._watch)

    def stop(self) -> None:
        """See `Relay`."""
        self._is_stopping = True
        self._end_soon()

    def _end_soon(self) -> None:
        """Unless turns run."""
        if not self._running and self._is_stopping:
            self._over.set()
        elif not self._running and self.handovers:
            self._clock.call_at(self._clock.now() + FAREWELL_S, self._over.set)

    def _read(self, piece: Piece) -> bool:
        self._heard = self._clock.now()
        message = self._messages.add(piece)
        event = self._events.event(self.endpoint, message) if message else None
        if event is not None:
            turn = self._turn_of(event)
            if turn is not None:
                return self._heed_turn(turn, event, message or b"", piece)
            if event.usage is not None:  # of a turn that the endpoint has begun by itself, after a steered one
                self._lease.state.took(event.usage)
                self._lease.bucket.spend(event.usage, self._heard)
        elif message is not None:
            for turn in self._turns:
                turn.has_content = True
        return True

    def _turn_of(self, event: SocketEvent) -> NativeTurn | None:
        """None = there is none. An endpoint that knows no lanes names none."""
        turns = self._running.get(event.lane)
        if turns is None and not event.lane:
            turns = next(iter(self._running.values()), None)
        return turns[0] if turns else None

    def _heed_turn(self, turn: NativeTurn, event: SocketEvent, message: bytes, piece: Piece) -> bool:
        """Is the event for the client?"""
        failure, moves = event.failure, None
        if failure is None:
            self._learn(self.endpoint, turn.request, message)
            if event.turn != "ends":
                return True
            self._health.succeeded(turn.lease)
        elif event.is_error and turn.has_content and failure.meaning.blame is Blame.REQUEST:
            return True  # it is about something else that was said, and the turn goes on
        else:
            self._health.failed(turn.lease, failure)
            is_theirs = failure.meaning.blame in OF_THE_ENDPOINT and piece.is_first and not turn.has_content
            if is_theirs and self._pool.has_another(self.group, turn.lease, ()):
                moves = self.hand_over(f"the endpoint of this one could not answer, {failure.kind.value}")
        turns = self._running[turn.lane]
        turns.popleft().end(event.usage, failure, moves)
        if not turns:
            del self._running[turn.lane]
        self.turns += 1
        self._end_soon()
        return moves is None

    def _judge(self, ended: Closed) -> None:
        """See `Relay`."""
        turns = self._turns
        if not turns or ended.by != "peer":
            return
        failure = _SILENT if self._is_silent else self._events.refusal(self.endpoint, b"", ended.code)[0]
        self._health.failed(turns[0].lease, failure)
        for turn in turns:
            turn.failure = failure
