"""The relay of a Responses socket: its turns are known, and each claims the endpoint like a request.

So rate limits, cooldown and costs hold for turns as for requests. A turn that the endpoint cannot take, though another
one may, is handed over: the client goes on with another socket.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

from application.attempts.opening import Learn
from application.errors import HandedOver, InvalidRequest
from application.messages import Attempt, Bill, ProxyRequest, RequestTrace
from application.ports import Providers
from application.socket_ports import Closed, Piece, SocketEvent
from application.sockets.attempt import as_message
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
        demand = Demand.of(request.body, request.max_output_tokens)
        query = RouteQuery(demand, request.client, request.affinity, request.api, False, request.body)
        others = [each.id for each in self.group.endpoints if each.id != self.endpoint.id]
        lease = self._pool.pick(self.group, query, others, self._clock.now())
        if lease is None:
            raise self.hand_over("the endpoint of this one rests, or is at its rate limit")
        if self.endpoint.price is not None:
            trace.bill = lease.bill = Bill()
        trace.attempts.append(Attempt(self.endpoint.id, "ok"))
        turn = NativeTurn(lease, request, lane, self._pool, self._providers, ())
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
        for turn in self._turns:
            turn.end(None, turn.failure or _LOST)
        self._running.clear()

    @property
    def _turns(self) -> Sequence[NativeTurn]:
        return [turn for turns in self._running.values() for turn in turns]

    def _add(self, turn: NativeTurn) -> None:
        turn.when_abandoned = self._over.set
        self._running.setdefault(turn.lane, deque()).append(turn)

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
        message = self._messages.add(piece)
        event = self._events.event(self.endpoint, message) if message else None
        if event is not None and event.lane in self._running:
            return self._heed_turn(self._running[event.lane][0], event, message or b"", piece)
        if message is not None and event is None:
            for turn in self._turns:
                turn.has_content = True
        return True

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
        failure, _ = self._events.refusal(self.endpoint, b"", ended.code)
        self._health.failed(turns[0].lease, failure)
        for turn in turns:
            turn.failure = failure
