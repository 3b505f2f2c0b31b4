"""A Responses socket whose first turn is of a native group: it is joined to one of an endpoint, for all its turns.

The client's messages are read whole, for the model in them; what the endpoint says passes as it comes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from msgspec import structs

from adapters.http.bodies.decode_request import decoded, request_of
from adapters.http.exchange.exchange import Exchange
from adapters.http.paths.routes import Route
from adapters.http.server.request.head import RequestHead
from adapters.http.sockets.behind import Behind, Native
from adapters.http.sockets.client_frames import Asked, BadFrame, turn_in
from adapters.http.sockets.server_frames import error_frame
from adapters.http.sockets.session import REFUSALS
from adapters.http.sockets.turn import Turn
from adapters.websocket.connection import WebSocket
from adapters.websocket.messages import Closed, Piece
from application.answers import Answer
from application.errors import InvalidRequest
from application.messages import Api, ProxyRequest
from application.sockets.native_attempt import NativeAnswer
from application.sockets.native_relay import NativeRelay
from application.sockets.native_turn import NativeTurn
from application.sockets.relay import Ending
from domain.sockets.lanes import LaneRefusal, Lanes

_ROUTE = Route(Api.RESPONSES, "/responses", None)
_STOPS = "the proxy stops"
_OF_POSTS = frozenset({"content-type", "accept", "openai-beta"})


class NativeSession:
    """`Socket` for the relay: the client, whose turns are exchanges of their own."""

    def __init__(
        self, socket: WebSocket, head: RequestHead, beta: str, addresses: Mapping[str, Any], behind: Behind,
        *, shows_turns: bool,
    ) -> None:  # fmt: skip
        """`head`: of each turn, as a request; `beta`: the `openai-beta` of the handshake, empty = none. `shows_turns`:
        is each to be told of by an event of ours?"""
        self.relay: NativeRelay | None = None
        """None = no endpoint was asked yet, or none took the turn."""
        self._socket = socket
        self._head = head
        self._beta = (("openai-beta", beta),) if beta else ()
        self._addresses = addresses
        self._behind = behind
        self._shows_turns = shows_turns
        self._turns: dict[asyncio.Task[None], Turn] = {}
        self._opening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it is known whether an endpoint takes the first turn."""
        self._ahead: asyncio.Future[Piece | Closed] | None = None
        """What the client says next."""
        self._onward: bytes | None = None
        """What the endpoint is to be told of the turn that has just begun."""
        self._lanes = Lanes()
        """Their names alone: the endpoint has them run."""
        self._is_stopping = False

    async def run(self) -> Ending | Closed | Piece:
        """Until the socket is closed; or up to a message that is for no native group, before any endpoint was found."""
        self._socket.when_stopping = self._stop
        try:
            said = await self._socket.receive()
            while isinstance(said, Piece):
                asked = self._asked(said)
                if asked is None or self._behind.modes.by_group.get(asked.model) != "native":
                    return said
                self._ahead = asyncio.ensure_future(self._socket.receive())
                if await self._is_opened(asked, said.data):
                    return await self._relayed()
                said, self._ahead = await self._ahead, None
            return said
        finally:
            if self._ahead is not None:
                self._ahead.cancel()
            if self.relay is not None:
                self.relay.close()
            for turn in tuple(self._turns.values()):
                turn.disconnect()
            if self._turns:
                await asyncio.wait(self._turns)

    @staticmethod
    def _asked(said: Piece) -> Asked | None:
        """The first turn; None = what was said is for the bridge to answer."""
        try:
            return turn_in(said.data) if said.is_text else None
        except BadFrame:
            return None

    async def _is_opened(self, asked: Asked, message: bytes) -> bool:
        """Does an endpoint take the turn? Else the client has been told, or has left."""
        self._opening = asyncio.get_running_loop().create_future()
        self._begin(asked, message)
        if self._ahead is not None:
            await asyncio.wait((self._opening, self._ahead), return_when=asyncio.FIRST_COMPLETED)
            if self._ahead.done() and isinstance(self._ahead.result(), Closed):
                return False
        await self._opening
        if self.relay is None and self._is_stopping:
            self._socket.close(1001, _STOPS)
        return self.relay is not None

    async def _relayed(self) -> Ending:
        if self.relay is None:
            raise RuntimeError("nothing was opened")
        if self._is_stopping:
            self.relay.stop()
        ending = await self.relay.run(self)
        if ending.by != "client" and self._turns:
            await asyncio.wait(self._turns)  # they end by themselves, and not because their client has left
        return ending

    # What the relay does with it: see `Socket`.

    @property
    def when_stopping(self) -> Callable[[], None] | None:
        return self._socket.when_stopping

    @when_stopping.setter
    def when_stopping(self, stop: Callable[[], None] | None) -> None:
        self._socket.when_stopping = stop

    @property
    def closed(self) -> Closed | None:
        return self._socket.closed

    async def next_piece(self) -> Piece | None:
        """A whole message, as the endpoint wants it."""
        while True:
            ahead, self._ahead = self._ahead or self._socket.receive(), None
            said = await ahead
            if isinstance(said, Closed):
                return None
            if not said.is_text:
                self._socket.close(1003, "messages are text")
                continue
            try:
                asked = turn_in(said.data)
            except BadFrame as bad:
                self._socket.send(error_frame(str(bad), bad.code, 400, bad.lane, param=bad.param))
                onward = None
            else:
                onward = said.data if asked is None else self._begin(asked, said.data)
            if onward is not None:
                return Piece(onward, is_text=True)
            await (self._socket.writable() or asyncio.sleep(0))

    def send(self, data: bytes, *, is_text: bool = True, is_first: bool = True, is_last: bool = True) -> None:
        for turn in self._turns.values():
            turn.count(len(data))  # of the oldest: in most messages nothing says whose it is
            break
        self._socket.send(data, is_text=is_text, is_first=is_first, is_last=is_last)

    def writable(self) -> Awaitable[None] | None:
        return self._socket.writable()

    def close(self, code: int, reason: str = "") -> None:
        self._socket.close(code, reason)

    def abort(self) -> None:
        self._socket.abort()

    # Turns.

    def _begin(self, asked: Asked, message: bytes) -> bytes | None:
        """What the endpoint is to be told of it; None = nothing: it is asked already, or the turn is refused."""
        native = self._behind.native
        if native is None:
            raise RuntimeError("no group is native")
        turn = Turn(
            self._socket, self._head, self._addresses, asked.lane, message, shows_itself=self._shows_turns
        )  # fmt: skip
        exchange = Exchange(turn, native.admission.context)
        work = exchange.begin(partial(self._answer, native, asked.lane, message))
        if work is None:
            self._settle()
            return None
        turn.task = task = asyncio.get_running_loop().create_task(_done(work))
        self._turns[task] = turn
        task.add_done_callback(self._ended)
        onward, self._onward = self._onward, None
        return onward

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._turns[task]
        self._settle()

    def _settle(self) -> None:
        if not self._opening.done():
            self._opening.set_result(None)

    def _answer(self, native: Native, lane: str, message: bytes, exchange: Exchange) -> Awaitable[Answer]:
        """Raises `ProxyError`."""
        request, relay = self._request(native, message, exchange), self.relay
        exchange.request = request
        lanes = self._lanes.offered(lane)
        if isinstance(lanes, LaneRefusal):
            raise InvalidRequest(REFUSALS[lanes], param="stream_id", code=lanes.value)
        self._lanes = Lanes(lanes.names)
        if relay is None:
            return exchange.while_connected(self._opened(native, request, exchange))
        name, endpoint = relay.group.name, relay.endpoint
        if request.model not in ("", name):
            raise relay.hand_over("this one is joined to an endpoint of another model group")
        group = native.groups.get(name)
        is_served = group is not None and any(each.identity == endpoint.identity for each in group.endpoints)
        if not is_served or self._behind.modes.of(name) != "native":
            raise relay.hand_over("the configuration has changed")
        exchange.request = request = structs.replace(request, model=name)
        turn, self._onward = relay.begin(request, lane, exchange.trace)
        return exchange.while_connected(_given(turn))

    def _request(self, native: Native, message: bytes, exchange: Exchange) -> ProxyRequest:
        admission = native.admission
        arrival = admission.admit(exchange)
        if len(message) > admission.uncounted_bytes:
            admission.hold(message, exchange)
        fields, outline, has_plain_key = decoded(message)
        request = request_of(
            _ROUTE, arrival, message, fields, exchange.request_id, exchange.received, outline, has_plain_key
        )  # fmt: skip
        headers = tuple(pair for pair in request.headers if pair[0] not in _OF_POSTS) + self._beta
        return structs.replace(request, headers=headers, method="GET", stream=True)

    async def _opened(self, native: Native, request: ProxyRequest, exchange: Exchange) -> Answer:
        answer = await native.open(request, exchange.trace)
        if not isinstance(answer, NativeAnswer):
            return answer
        self.relay = answer.relay
        self._settle()
        return answer.turn

    def _stop(self) -> None:
        """The proxy stops, and no endpoint has been found yet."""
        self._is_stopping = True
        if not self._turns:
            self._socket.close(1001, _STOPS)


async def _done(work: Awaitable[None]) -> None:
    await work


async def _given(turn: NativeTurn) -> Answer:
    return turn
