"""The sockets of a provider: answers their handshakes, and lets the sessions run."""

import asyncio
import time
from collections.abc import Callable

from adapters.websocket.connection import WebSocket
from adapters.websocket.handshake import BadHandshake, accept
from simulator.account import Account
from simulator.calls import Call, Request
from simulator.doorkeeper import denied
from simulator.faults.rules import AnyAction, Latency, SocketFault
from simulator.protocol import errors
from simulator.protocol.reply import Reply
from simulator.records import Record, Records
from simulator.sockets.opening import opening_of
from simulator.sockets.realtime import MOST_MESSAGE_BYTES, talk
from simulator.sockets.session import WRITE_TIMEOUT_S, SocketSession
from simulator.sockets.turns import Turns
from simulator.wire.connection import Connection

_SUBPROTOCOL = "realtime"
Refuse = Callable[[Connection, Request, Record, Reply], None]


class Sockets:
    """Of one provider."""

    def __init__(self, account: Account, records: Records, refuse: Refuse) -> None:
        """`refuse` sends a reply that is no 101."""
        self._account = account
        self._records = records
        self._refuse = refuse
        self._running: set[asyncio.Task[None]] = set()

    def open(self, connection: Connection, call: Call, record: Record, action: AnyAction | None) -> None:
        """A handshake has come; `action` is what is to go wrong with it."""
        if isinstance(action, Latency):
            connection.ongoing = _Late(self._records, record)
            asyncio.get_running_loop().call_later(action.seconds, self._answer, connection, call, record, None)
        else:
            self._answer(connection, call, record, action if isinstance(action, SocketFault) else None)

    def _answer(self, connection: Connection, call: Call, record: Record, fault: SocketFault | None) -> None:
        if not connection.is_open:
            return
        connection.ongoing = None
        account = self._account
        is_realtime = call.route.operation != "responses_socket"
        opening = opening_of(call, account) if is_realtime else denied(call, account.settings)
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in call.request.headers]
        try:
            accepted = accept(headers, (_SUBPROTOCOL,) if is_realtime else ())
        except BadHandshake as error:
            opening = errors.invalid_parameter(None, str(error))
        if isinstance(opening, Reply):
            self._refuse(connection, call.request, record, opening)
            return
        fields = "".join(f"{field}\r\n" for field in accepted.fields).encode("latin-1")
        head = b"HTTP/1.1 101 Switching Protocols\r\n%b%b\r\n" % (fields, account.identity_headers(call))
        loop = asyncio.get_running_loop()
        most_bytes = MOST_MESSAGE_BYTES if is_realtime else account.settings.message_bytes
        socket = WebSocket("server", loop, most_bytes, WRITE_TIMEOUT_S)
        connection.switch(head, socket)
        self._records.answered(record, 101)
        session = SocketSession(socket, account.settings, self._records, record, fault, connection.reset)
        session.waits = call.route.operation == "live"
        if opening is None:
            task = loop.create_task(Turns(session, call, account).run())
        else:
            task = loop.create_task(talk(session, opening.conversation, opening.refusal))
        self._running.add(task)
        task.add_done_callback(self._running.discard)


class _Late:
    """A handshake whose answer comes later."""

    def __init__(self, records: Records, record: Record) -> None:
        self._records = records
        self._record = record

    def resume(self) -> None:
        """Nothing was sent yet."""

    def abandon(self, outcome: str) -> None:
        """The client has left."""
        self._records.end(self._record, outcome, time.time())
