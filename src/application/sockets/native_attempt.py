"""One attempt to open a Responses socket at an endpoint, with the turn that it is opened for.

It has succeeded with the first content of that turn: until then it is held back, as over HTTP, and another endpoint can
be asked without the client noticing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from application.attempts.opening import AttemptFailed
from application.endpoints.endpoint_state import Lease
from application.messages import ProxyRequest, RequestTrace, WholeReply
from application.ports import UpstreamReply
from application.socket_ports import OpenedSocket, Piece, Socket, SocketEvent
from application.sockets.attempt import SocketAnswer, SocketAttempt
from application.sockets.native_relay import NativeRelay
from application.sockets.native_turn import NativeTurn
from application.sockets.whole_messages import WholeMessages
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup

_PATH_REFUSED = FailureKind.PATH_REFUSED
_HAS_NO_SOCKETS = frozenset({400, 404, 405, 426, 501})
"""No model is named in the handshake: such a refusal says nothing of how well the endpoint is asked over HTTP."""
_HINT = "has this endpoint Responses over WebSocket? If not, set websockets: bridge for its group"


class NativeAnswer(SocketAnswer, frozen=True, kw_only=True):
    """The open socket, and the turn that runs on it."""

    relay: NativeRelay
    turn: NativeTurn

    @property
    def error(self) -> str:
        """See `Ended`."""
        return self.turn.error


class NativeAttempt(SocketAttempt):
    """See `SocketAttempt`. The lease is the first turn's."""

    def __init__(self, *parts: Any, groups: Mapping[str, ModelGroup], **more: Any) -> None:
        """`groups` by name; for the rest see `SocketAttempt`. Its `stream_hold_s` is here as in `StreamOpening`."""
        super().__init__(*parts, **more)
        self._groups = groups

    async def __call__(
        self, lease: Lease, request: ProxyRequest, deadline: float, sign_by: float, trace: RequestTrace
    ) -> SocketAnswer | AttemptFailed:
        """See `SocketAttempt`."""
        if lease.endpoint.price is not None:
            lease.trace = trace
        return await super().__call__(lease, request, deadline, sign_by, trace)

    def _answer(self, lease: Lease, request: ProxyRequest, reply: OpenedSocket, begun: Sequence[Piece]) -> SocketAnswer:
        messages = WholeMessages()
        first = next(filter(None, map(messages.add, begun)), b"")
        event = self._events.event(lease.endpoint, first)
        lane = "" if event is None else event.lane
        turn = NativeTurn(lease, request, lane, self._pool, self._providers, reply.headers)
        relay = NativeRelay(
            self._groups[request.model], turn, self._learn, self._providers,
            lease, self._pool, self._health, self._events, self._clock, reply.socket, begun,
        )  # fmt: skip
        return NativeAnswer(WholeReply(reply.status, reply.headers, b""), relay=relay, turn=turn)

    async def _refused(self, lease: Lease, request: ProxyRequest, reply: UpstreamReply) -> AttemptFailed:
        if reply.status not in _HAS_NO_SOCKETS:
            return await super()._refused(lease, request, reply)
        reply.close()
        return AttemptFailed(Failure(_PATH_REFUSED, f"{reply.status} at the handshake of a WebSocket", hint=_HINT))

    async def _begin(self, lease: Lease, socket: Socket, until: float, _: float) -> Sequence[Piece]:
        """What is said up to the first content, or for as long as it may be held back."""
        begun: list[Piece] = []
        try:
            while True:
                message = await self._first_message(socket, begun, until)
                event = self._events.event(lease.endpoint, message) if message else None
                if message is None or (event is not None and _is_refused(event)):
                    code = 0 if message else await self._close_code(socket)
                    raise AttemptFailed(*self._events.refusal(lease.endpoint, message or b"", code))  # noqa: TRY301
                if event is None or event.turn == "ends":
                    return begun
                until = min(until, self._clock.now() + self._hold_s)
        except BaseException as error:
            if isinstance(error, TimeoutError) and begun:
                return begun
            socket.abort()
            raise


def _is_refused(event: SocketEvent) -> bool:
    """Is it an error, or a response that failed for a reason that another endpoint may not see? Where none may do
    better it passes as it came, as in a stream."""
    failure = event.failure
    return failure is not None and (event.is_error or failure.meaning.next_endpoint)
