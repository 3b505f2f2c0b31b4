"""A Realtime socket of the provider: says what the conversation has to say, at its pace, until something goes wrong."""

import asyncio
import time
from collections.abc import Callable

import msgspec

from adapters.websocket.connection import WebSocket
from adapters.websocket.messages import LOST, Piece
from simulator.faults.rules import SocketFault
from simulator.records import CLIENT_CLOSED, COMPLETE, Record, Records
from simulator.settings import ProviderSettings
from simulator.sockets.conversation import Conversation, Event

MOST_MESSAGE_BYTES = 32 * 1024 * 1024
WRITE_TIMEOUT_S = 120.0


class RealtimeSession:
    """From the handshake to the end."""

    def __init__(
        self,
        socket: WebSocket,
        conversation: Conversation,
        settings: ProviderSettings,
        records: Records,
        record: Record,
        fault: SocketFault | None,
        reset: Callable[[], None],
    ) -> None:
        """`reset` cuts the connection without a close frame."""
        self._socket = socket
        self._conversation = conversation
        self._settings = settings
        self._records = records
        self._record = record
        self._fault = fault
        self._reset = reset
        self._sent = 0
        self._is_silent = False

    async def run(self, refusal: tuple[Event, int, str] | None) -> None:
        """`refusal`: an error, and the close that follows it; None = the client may come in."""
        try:
            if refusal is not None:
                event, code, reason = refusal
                await self._say(event)
                self._socket.close(code, reason)
            elif self._fault is None or self._fault.after_events or not self._go_wrong():
                await self._talk()
        except TimeoutError:
            await self._say(self._conversation.expired())
            self._socket.close(1001, "Your session hit the maximum duration of 60 minutes.")
        finally:
            await self._end()

    async def _talk(self) -> None:
        async with asyncio.timeout(self._settings.session_s):
            await self._say(self._conversation.opened(int(time.time() + self._settings.session_s)))
            while isinstance(piece := await self._socket.receive(), Piece):
                if self._is_silent:
                    continue
                self._records.heard(self._record, piece.data)
                for event in self._conversation.answers(piece.data, is_text=piece.is_text):
                    if not self._socket.is_open:
                        return
                    if self._settings.tokens_per_second and event["type"].endswith(".delta"):
                        await asyncio.sleep(1 / self._settings.tokens_per_second)
                    await self._say(event)

    async def _say(self, event: Event) -> None:
        if self._is_silent:
            return
        self._socket.send(msgspec.json.encode(event))
        self._sent += 1
        writable = self._socket.writable()
        if writable is not None:
            await writable
        if self._fault is not None and self._sent == self._fault.after_events:
            self._go_wrong()

    def _go_wrong(self) -> bool:
        """Does it end the session?"""
        fault = self._fault
        if fault is None:
            return False
        if fault.frame is not None:
            self._socket.send(fault.frame.encode())
        match fault.then:
            case "close":
                self._socket.close(fault.code, fault.reason)
            case "drop":
                self._reset()
            case "silent":
                self._is_silent = True
            case "go_on":
                return False
        return fault.then != "silent"

    async def _end(self) -> None:
        """Waits for the client's own close."""
        while isinstance(await self._socket.receive(), Piece):
            pass
        closed = self._socket.closed
        self._record.close_code = LOST if closed is None else closed.code
        by_client = closed is not None and closed.by == "peer"
        outcome = COMPLETE if not by_client or self._record.close_code == 1000 else CLIENT_CLOSED
        outcome = outcome if self._fault is None else f"fault:{self._fault.kind}"
        self._records.end(self._record, outcome, time.time())
