"""One socket of the provider: says what there is to say, at its pace, until something goes wrong."""

import time
from collections.abc import Callable

from adapters.websocket.connection import WebSocket
from adapters.websocket.messages import LOST, Piece
from simulator.faults.rules import SocketFault
from simulator.records import CLIENT_CLOSED, COMPLETE, Record, Records
from simulator.settings import ProviderSettings

WRITE_TIMEOUT_S = 120.0


class SocketSession:
    """From the handshake to the end."""

    def __init__(
        self,
        socket: WebSocket,
        settings: ProviderSettings,
        records: Records,
        record: Record,
        fault: SocketFault | None,
        reset: Callable[[], None],
    ) -> None:
        """`reset` cuts the connection without a close frame."""
        self.socket = socket
        self.settings = settings
        self.is_silent = False
        """Is nothing said any more?"""
        self.waits = False
        """Has the client to speak first?"""
        self._records = records
        self._record = record
        self._fault = fault
        self._reset = reset
        self._sent = self._turn = 0

    def heard(self, message: bytes) -> None:
        """The client has said it."""
        self._records.heard(self._record, message)

    def begin_turn(self) -> None:
        """The events that follow are of the next one."""
        self._turn += 1
        if self._fault is not None and self._fault.turn:
            self._sent = 0

    async def say(self, message: bytes) -> None:
        """One event."""
        if self.is_silent:
            return
        self.socket.send(message)
        self._sent += 1
        writable = self.socket.writable()
        if writable is not None:
            await writable
        self.goes_wrong()

    def goes_wrong(self) -> bool:
        """Does the fault end the session now, or the turn that is to begin?"""
        fault = self._fault
        if fault is None or self._sent != fault.after_events or fault.turn not in (0, self._turn):
            return False
        if fault.frame is not None:
            self.socket.send(fault.frame.encode())
        match fault.then:
            case "close":
                self.socket.close(fault.code, fault.reason)
            case "drop":
                self._reset()
            case "silent":
                self.is_silent = True
            case "wait":
                self.waits = True
        return fault.then in ("close", "drop", "end_turn")

    async def end(self) -> None:
        """Waits for the client's own close."""
        while isinstance(await self.socket.receive(), Piece):
            pass
        closed = self.socket.closed
        self._record.close_code = LOST if closed is None else closed.code
        by_client = closed is not None and closed.by == "peer"
        outcome = COMPLETE if not by_client or self._record.close_code == 1000 else CLIENT_CLOSED
        outcome = outcome if self._fault is None else f"fault:{self._fault.kind}"
        self._records.end(self._record, outcome, time.time())
