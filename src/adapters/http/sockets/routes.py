"""Requests that open a WebSocket, if they may come in: those for Responses are bridged or joined to an endpoint's, and
so are all others, Realtime among them."""

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import NoReturn

from msgspec import Struct, structs

from adapters.http.access.guards import refused_upgrade
from adapters.http.admission import Admission
from adapters.http.exchange.exchange import Exchange
from adapters.http.paths.routes import below_root
from adapters.http.server.client import Client
from adapters.http.server.request.head import RequestHead
from adapters.http.sockets.behind import Behind, SocketModes
from adapters.http.sockets.native import NativeSession
from adapters.http.sockets.realtime import RealtimeCalls
from adapters.http.sockets.session import Session
from adapters.websocket.connection import WebSocket
from adapters.websocket.handshake import Accepted, BadHandshake, accept
from adapters.websocket.messages import Piece
from application.errors import InvalidRequest, ProxyError
from application.held_bytes import Holding
from application.telemetry_ports import SocketEnd, SocketLog

PATIENCE_S = 240.0
"""The first content of a turn has to come within it. Clients give up after 300 s without a message, pings are none."""

_OF_THE_HANDSHAKE = frozenset({b"upgrade", b"connection", b"content-type", b"accept"})
_TURN_FIELDS = ((b"content-type", b"application/json"), (b"accept", b"text/event-stream"))
_BETA, _BETA_OF_SOCKETS = b"openai-beta", b"responses_websockets="


class SocketRoutes:
    """Lets sockets in."""

    def __init__(
        self,
        admission: Admission,
        behind: Behind,
        realtime: RealtimeCalls,
        log: SocketLog,
        modes: SocketModes,
        max_sockets: int,
        write_timeout_s: float,
    ) -> None:
        """`max_sockets`: of this worker. `write_timeout_s`: a client that takes nothing for so long is cut off."""
        self._admission = admission
        self._behind = behind
        self._realtime = realtime
        self._log = log
        self._max_sockets = 0 if modes.is_off else max_sockets
        self._write_timeout_s = write_timeout_s

    def serves(self, head: RequestHead) -> bool:
        """Is it a path that sockets are served at, whether any may be opened or not?"""
        return _is_for_responses(head) or self._realtime.serves(head)

    def begin(self, client: Client) -> Awaitable[None] | None:
        """See `Application`."""
        if not _is_for_responses(client.head):
            return self._realtime.begin(client)
        exchange = Exchange(client, self._admission.context)
        try:
            head, accepted = self._let_in(exchange)
        except ProxyError as refusal:
            return exchange.begin(partial(_raise, refusal))
        self._behind.open += 1  # before any other is let in; what is returned is awaited in any case
        return self._serve(client, head, accepted, exchange.request_id, exchange.key_name)

    def _let_in(self, exchange: Exchange) -> tuple[RequestHead, Accepted]:
        """Raises `ProxyError`. Over the limit it is the 426 at which clients go on over HTTP at once."""
        asked = exchange.head
        head = _head_of_turns(asked)
        arrival = self._admission.judge(head, exchange)
        if self._behind.open >= self._max_sockets:
            raise refused_upgrade("No more WebSockets are served here now; use the HTTP API with stream: true.")
        try:
            accepted = accept([(name.decode("latin-1"), value.decode("latin-1")) for name, value in asked.headers])
        except BadHandshake as error:
            raise InvalidRequest(f"This is no WebSocket handshake: {error}.", code="malformed_request") from None
        patience = PATIENCE_S if arrival.patience_s is None else min(PATIENCE_S, arrival.patience_s)
        head.judged = structs.replace(arrival, patience_s=patience)
        return head, accepted

    async def _serve(
        self, client: Client, head: RequestHead, accepted: Accepted, socket_id: str, key_name: str
    ) -> None:
        loop = asyncio.get_running_loop()
        behind, began = self._behind, loop.time()
        holding = Holding(behind.held)
        socket = WebSocket("server", loop, behind.max_body_bytes, self._write_timeout_s, holding.may_hold)
        fields = [*accepted.fields, f"x-llmproxy-request-id: {socket_id}", *client.added]
        if not behind.modes.has_native:
            fields.append("x-llmproxy-websocket: bridge")
        try:
            if not client.switch(fields, socket):
                return
            talked = await self._talk(client, head, socket)
        finally:
            behind.open -= 1
            holding.close()
        seconds = round(loop.time() - began, 3)
        counts = socket.received_frames, socket.outlets.frames, socket.received_bytes, socket.outlets.bytes
        end = SocketEnd(
            socket_id, talked.kind, talked.turns, *counts, seconds, talked.code, talked.by, talked.handovers, key_name,
            talked.endpoint,
        )  # fmt: skip
        self._log.closed(end)

    async def _talk(self, client: Client, head: RequestHead, socket: WebSocket) -> "_Talked":
        """Until the socket is closed."""
        behind, by_name = self._behind, client.head.by_name
        shows_turns = by_name.get(b"x-llmproxy-events", b"").strip().lower() == b"true"
        first: Piece | None = None
        if behind.modes.has_native:
            beta = by_name.get(_BETA, b"").decode("latin-1")
            native = NativeSession(socket, head, beta, client.addresses, behind, shows_turns=shows_turns)
            end = await native.run()
            if not isinstance(end, Piece):
                relay = native.relay
                of_relay = ("", 0, 0) if relay is None else (relay.endpoint.id, relay.turns, relay.handovers)
                return _Talked("native", end.code, end.by, *of_relay)
            first = end
        session = Session(socket, head, client.addresses, behind, shows_turns=shows_turns)
        closed = await session.run(first)
        return _Talked("bridge", closed.code, closed.by, "", session.turns, session.handovers)


class _Talked(Struct, frozen=True):
    """What came of a socket; see `SocketEnd`."""

    kind: str
    code: int
    by: str
    endpoint: str
    turns: int
    handovers: int


def _is_for_responses(head: RequestHead) -> bool:
    below = below_root(head.raw_path.decode("latin-1"))
    return below is not None and below.path == "/responses"


def _head_of_turns(asked: RequestHead) -> RequestHead:
    """What each turn would have been asked with over HTTP."""
    headers = [
        (name, value)
        for name, value in asked.headers
        if name not in _OF_THE_HANDSHAKE and not name.startswith(b"sec-websocket-")
    ]
    beta = [part.strip() for name, value in headers if name == _BETA for part in value.split(b",")]
    kept = [part for part in beta if part and not part.startswith(_BETA_OF_SOCKETS)]
    headers = [pair for pair in headers if pair[0] != _BETA] + ([(_BETA, b", ".join(kept))] if kept else [])
    headers += _TURN_FIELDS
    return RequestHead("POST", "1.1", asked.raw_path, asked.path, asked.query_string, headers, keeps=True)


def _raise(error: ProxyError, _: Exchange) -> NoReturn:
    raise error
