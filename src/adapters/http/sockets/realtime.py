"""Realtime over WebSocket, and sockets at paths that nobody here understands: the client's socket is joined to one of
an endpoint, which is chosen as for any request.

The client's handshake is answered when the endpoint has said its first word, so until then another may be asked.
"""

import asyncio
from functools import partial

from msgspec import structs

from adapters.http.access.guards import refused_upgrade
from adapters.http.admission import Admission
from adapters.http.bodies.decode_request import NO_FIELDS, request_of
from adapters.http.exchange.exchange import Exchange
from adapters.http.headers import relayed
from adapters.http.paths.routes import Route, below_root, is_other
from adapters.http.server.client import Client
from adapters.http.server.request.head import RequestHead
from adapters.http.sockets.behind import Behind, SocketModes
from adapters.http.sockets.realtime_head import SUBPROTOCOL, opening_of
from adapters.websocket.connection import WebSocket
from adapters.websocket.handshake import Accepted, BadHandshake, accept
from application.answers import Answer
from application.errors import Closed, InvalidRequest, ProxyError
from application.held_bytes import Holding
from application.messages import Api, ProxyRequest
from application.sockets.attempt import SocketAnswer
from application.sockets.relay import Relay
from application.telemetry_ports import SocketEnd, SocketLog
from application.use_cases.by_account import OpenSocket, PassThrough

TAKES_NOTHING_S = 30.0
"""A side that takes nothing for so long is cut off: the other is not read meanwhile, and would be taken for dead."""

_PATHS = ("/realtime", "/realtime/translations")
_OF_THE_PROXY = "/models/"
"""Below it the proxy answers itself, upgrade or not."""
_OF_THE_UPSTREAM = ("sec-websocket-", "date: ", "content-")
"""Headers of a provider's 101 that are not for the client."""


class TooManySockets(ProxyError):
    """This worker has as many as it may."""

    code = "too_many_websockets"
    retry_after_s = 5.0

    def __init__(self) -> None:
        super().__init__("No more WebSockets are served here now; max_websockets in general_settings says how many.")


class _Joining:
    """A client from its handshake to its end."""

    def __init__(self, holding: Holding) -> None:
        self.holding = holding
        self.api = Api.REALTIME
        self.is_let_in = False
        """Does it count as one of the sockets?"""
        self.socket: WebSocket | None = None
        self.relay: Relay | None = None


class RealtimeCalls:
    """What answers these routes."""

    def __init__(
        self,
        admission: Admission,
        open_socket: OpenSocket,
        pass_through: PassThrough,
        behind: Behind,
        log: SocketLog,
        modes: SocketModes,
        max_sockets: int,
    ) -> None:
        """`pass_through` opens sockets at other paths than Realtime's. `max_sockets`: of this worker, bridged ones
        among them."""
        self._admission = admission
        self._open_socket = open_socket
        self._pass_through = pass_through
        self._behind = behind
        self._log = log
        self._modes = modes
        self._max_sockets = max_sockets

    def serves(self, head: RequestHead) -> bool:
        """Is it a path of theirs?"""
        path = head.raw_path.decode("latin-1")
        below = below_root(path)
        if below is None or below.path.startswith(_OF_THE_PROXY):
            return False
        return below.path in _PATHS or is_other(path)

    async def begin(self, client: Client) -> None:
        """See `Application`."""
        exchange, began = Exchange(client, self._admission.context), asyncio.get_running_loop().time()
        joining = _Joining(Holding(self._behind.held))
        try:
            opening = exchange.begin(partial(self._open, joining))
            if opening is not None:
                await opening
            if exchange.is_switched and joining.socket is not None and joining.relay is not None:
                await self._relay(joining.socket, joining.relay, joining.api, exchange, began)
        finally:
            if joining.relay is not None:
                joining.relay.close()
            self._behind.open -= joining.is_let_in
            joining.holding.close()

    async def _open(self, joining: _Joining, exchange: Exchange) -> Answer | None:
        """None = the client's handshake is answered; else what refuses it. Raises `ProxyError`."""
        request, accepted = self._let_in(exchange)
        exchange.request = request
        joining.api = request.api
        self._behind.open += 1  # before any other is let in
        joining.is_let_in = True
        open_socket = self._open_socket if request.api is Api.REALTIME else self._pass_through
        answer = await exchange.while_connected(open_socket(request, exchange.trace))
        if not isinstance(answer, SocketAnswer):
            return answer
        loop = asyncio.get_running_loop()
        socket = WebSocket("server", loop, self._behind.max_body_bytes, TAKES_NOTHING_S, joining.holding.may_hold)
        joining.socket, joining.relay = socket, answer.relay
        told = [field for field in relayed(answer.reply.headers) if not field.startswith(_OF_THE_UPSTREAM)]
        fields = [*accepted.fields, *told, f"x-llmproxy-websocket: {request.api}", *exchange.client.added]
        exchange.switch(fields, socket)
        return None

    def _let_in(self, exchange: Exchange) -> tuple[ProxyRequest, Accepted]:
        """Raises `ProxyError`."""
        asked = exchange.head
        below = below_root(asked.raw_path.decode("latin-1"))
        opening = opening_of(asked, None if below is None else below.deployment)
        arrival = self._admission.judge(opening.head, exchange)
        if self._modes.of(opening.model) == "off":
            raise refused_upgrade("WebSockets are not served here: the setting websockets is off.")
        path = _PATHS[0] if below is None else below.path
        if self._admission.keeps_keys_apart:
            raise Closed.tenancy("GET", path, is_list=False)
        if self._behind.open >= self._max_sockets:
            raise TooManySockets
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in asked.headers]
        try:
            accepted = accept(headers, (SUBPROTOCOL,))
        except BadHandshake as error:
            raise InvalidRequest(f"This is no WebSocket handshake: {error}.", code="malformed_request") from None
        route = Route(Api.REALTIME if path in _PATHS else Api.OTHER, path, opening.model or None)
        request = request_of(route, arrival, b"", NO_FIELDS, exchange.request_id, exchange.received)
        onward = request.headers
        if opening.has_subprotocol:
            onward = (*onward, ("sec-websocket-protocol", SUBPROTOCOL))
        return structs.replace(request, stream=True, headers=onward), accepted

    async def _relay(self, socket: WebSocket, relay: Relay, api: Api, exchange: Exchange, began: float) -> None:
        in_flight = self._admission.context.in_flight
        in_flight.add(relay)
        try:
            ending = await relay.run(socket)
        finally:
            in_flight.remove(relay)
            socket.close(1011)
        end = SocketEnd(
            exchange.request_id, api, relay.turns, socket.received_frames, socket.outlets.frames,
            socket.received_bytes, socket.outlets.bytes, round(asyncio.get_running_loop().time() - began, 3),
            ending.code, ending.by, 0, exchange.key_name,
            exchange.trace.endpoint or "",
        )  # fmt: skip
        self._log.closed(end)
