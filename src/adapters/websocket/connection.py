"""An open WebSocket on a transport, either side: messages in and out, signs of life, and an end in order."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, cast

from adapters.half_close import half_close
from adapters.websocket.inbox import Inbox
from adapters.websocket.messages import Closed, Piece
from adapters.websocket.outlets import Outlets
from adapters.websocket.paced import Paced
from adapters.websocket.wire import Wire
from adapters.websocket.write_ahead import WriteAhead

PING_S = 20.0
"""After so long without a byte the peer is asked whether it is there."""
PONG_S = 40.0
"""So long it may then say nothing. Any byte counts: behind a large message no pong can come."""
CLOSE_S = 10.0
"""So long the peer may take to close as well."""

MOST_CONTROL_FRAMES = 100
"""A second. Each is answered, and none says anything."""

_NEVER = float("inf")


class WebSocket(asyncio.Protocol):
    """From the end of the handshake on. Its owner looks at `deadline` about once a second, calls `expire`; `watch`
    does so for those who have nobody that looks.

    Nothing raises: what is sent to a socket that is closed is dropped, and `receive` says why it is.
    """

    def __init__(
        self,
        side: Literal["server", "client"],
        loop: asyncio.AbstractEventLoop,
        max_message_bytes: int,
        write_timeout_s: float,
        may_hold: Callable[[int], bool] = lambda _: True,
    ) -> None:
        """`write_timeout_s`: a peer that takes nothing for so long is cut off. `may_hold`: is told how many bytes of
        messages, complete or not, wait here; where it says no, the socket fails with 1013."""
        self.loop = loop
        self.deadline = _NEVER
        """When `expire` is to be called, unless something happens before."""
        self.when_gone: Callable[[], None] | None = None
        """Called once, when the transport is gone."""
        self.when_stopping: Callable[[], None] | None = None
        """Ends it in order when the server stops; None = it closes at once."""
        self.received_frames = self.received_bytes = 0
        """Of messages, not of what is around them."""
        self.outlets = Outlets()
        self._ahead = WriteAhead()
        self._wire = Wire(side, max_message_bytes)
        self._paced = Paced(loop, self._read, lambda: not self._inbox.is_full, self._caught_up)
        self._ends_then = False
        """Has the peer ended, behind what is not read yet?"""
        self._write_timeout_s = write_timeout_s
        self._may_hold = may_hold
        self._transport: asyncio.Transport | None = None
        self._inbox = Inbox(loop, self._taken, lambda: self.closed)
        self._closes_by = _NEVER
        self.draining: asyncio.Future[None] | None = None
        """Done when the peer has taken enough; None = it takes what is sent."""
        self._is_reading = True
        self._is_asked = False
        """Was the peer pinged since it was heard last?"""
        self._heard = self._second = loop.time()
        self._stuck_since = _NEVER
        self._control_frames = 0

    # What asyncio tells us.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ahead.begin(self._transport)
        self._hears()
        self._lead_outlets()

    def data_received(self, data: bytes) -> None:
        self._hears()
        self._paced.feed(data)
        if self._paced.waiting:
            self._pause_reading()

    def _read(self, data: bytes) -> int:
        wire = self._wire
        before = self.received_frames + wire.control_frames
        for event in wire.receive(data):
            if isinstance(event, Piece):
                self.received_frames += 1
                self.received_bytes += len(event.data)
                self._inbox.put(event)
        if wire.control_frames > self._control_frames + MOST_CONTROL_FRAMES and self._is_flood():
            wire.fail(1008, f"more than {MOST_CONTROL_FRAMES} control frames a second")
        held = self._held_bytes
        if held and not self._may_hold(held):
            wire.fail(1013, "no room for what was sent; try again later")
        elif self._inbox.is_full:
            self._pause_reading()
        self._flush()
        self._inbox.wake()
        return self.received_frames + wire.control_frames - before

    def _caught_up(self) -> None:
        self._resume_reading()
        transport = self._transport
        if self._ends_then and transport is not None:
            self.eof_received()
            transport.close()

    def eof_received(self) -> bool:
        if self._paced.waiting:
            self._ends_then = True
            return True
        self._wire.receive_end()
        self._flush()
        self._inbox.wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        self._transport = None
        self.deadline = _NEVER
        self._wire.lose()
        self._inbox.wake()
        self.resume_writing()
        gone, self.when_gone = self.when_gone, None
        if gone is not None:
            gone()

    def pause_writing(self) -> None:
        self._stuck_since = self.loop.time()
        if self.draining is None:
            self.draining = self.loop.create_future()
        self._lead_outlets()
        self._set_deadline()

    def resume_writing(self) -> None:
        self._stuck_since = _NEVER
        drained, self.draining = self.draining, None
        self._ahead.resume(self._transport)
        if drained is not None and not drained.done():
            drained.set_result(None)
        self._flush()
        self._set_deadline()

    # What its owner does with it.

    @property
    def is_open(self) -> bool:
        """May messages be sent?"""
        return self._wire.is_open and self._transport is not None

    @property
    def closed(self) -> Closed | None:
        """Why it is; None = it is not, though it may be about to."""
        return self._wire.closed

    async def receive(self) -> Piece | Closed:
        """The next message as a whole, or why there is none."""
        return await self._inbox.message()

    async def receive_piece(self) -> Piece | Closed:
        """The next piece as its sender cut it, or why there is none. Not beside `receive`."""
        return await self._inbox.piece()

    async def next_piece(self) -> Piece | None:
        """As `receive_piece`; None = there is none, and `closed` says why."""
        piece = await self.receive_piece()
        return piece if isinstance(piece, Piece) else None

    @property
    def _held_bytes(self) -> int:
        return self._inbox.held_bytes + len(self._paced.waiting) + self._wire.unread_bytes

    def send(self, data: bytes, *, is_text: bool = True, is_first: bool = True, is_last: bool = True) -> None:
        """A message, or a piece of one."""
        self.outlets.frames += 1
        self.outlets.bytes += len(data)
        self._write(self._wire.send(data, is_text, is_first, is_last))
        if not (is_first and is_last):
            self._lead_outlets()

    def send_texts(self, messages: Sequence[bytes]) -> None:
        """Whole messages, written together."""
        self.outlets.frames += len(messages)
        self.outlets.bytes += sum(map(len, messages))
        self._write(b"".join([self._wire.send(message, is_text=True) for message in messages]))

    def writable(self) -> Awaitable[None] | None:
        """To be awaited before the next `send`; None = no need."""
        return None if self.draining is None else asyncio.shield(self.draining)

    def close(self, code: int, reason: str = "") -> None:
        """Begin to close; what has come before can still be received."""
        self._wire.close(code, reason)
        self._flush()
        self._set_deadline()

    def abort(self) -> None:
        """Cut it now."""
        if self._transport is not None:
            self._transport.abort()
            self._lead_outlets()

    def expire(self) -> None:
        """The deadline has come."""
        now = self.loop.time()
        if not self._wire.is_open or now >= self._stuck_since + self._write_timeout_s or self._is_asked:
            self.abort()
            return
        self._is_asked = True
        self._wire.ping()
        self._flush()
        self._set_deadline()

    def shutdown(self) -> None:
        """Whoever keeps it stops: `when_stopping` is told, else it closes."""
        if self.when_stopping is None:
            self.close(1001, "the server stops")
        else:
            self.when_stopping()

    def watch(self) -> None:
        """From now on, until the transport is gone."""
        if self._transport is not None:
            if self.deadline <= self.loop.time():
                self.expire()
            self.loop.call_later(1.0, self.watch)

    # What both have in common.

    def _hears(self) -> None:
        self._heard = self.loop.time()
        self._is_asked = False
        self._set_deadline()

    def _set_deadline(self) -> None:
        if self._transport is None:
            self.deadline = _NEVER
        elif not self._wire.is_open:
            self.deadline = self._closes_by = min(self._closes_by, self.loop.time() + CLOSE_S)
        else:
            silent = self._heard + PING_S + (PONG_S if self._is_asked else 0.0)
            self.deadline = min(silent, self._stuck_since + self._write_timeout_s)

    def _is_flood(self) -> bool:
        """Have so many control frames come within a second?"""
        since, self._second = self._second, self.loop.time()
        self._control_frames = self._wire.control_frames
        return self._second - since < 1.0

    def _pause_reading(self) -> None:
        if self._is_reading and self._transport is not None:
            self._is_reading = False
            self._transport.pause_reading()

    def _taken(self) -> None:
        if self._paced.waiting:
            self._paced.go_on()
        else:
            self._resume_reading()
        self._may_hold(self._held_bytes)

    def _resume_reading(self) -> None:
        if not self._inbox.is_full and not self._is_reading and self._transport is not None:
            self._is_reading = True
            self._transport.resume_reading()

    def _lead_outlets(self) -> None:
        transport = self._transport
        takes = self.draining is None and transport is not None and not transport.is_closing()
        self.outlets.lead(transport if takes and self._wire.takes_whole else None)

    def _write(self, frames: bytes) -> None:
        transport = self._transport
        if frames and transport is not None and not transport.is_closing():
            self._ahead.write(transport, frames)

    def _flush(self) -> None:
        self._lead_outlets()
        if (transport := self._transport) is None or transport.is_closing():
            return
        self._write(b"".join(self._wire.to_send(with_pongs=self.draining is None)))
        if self._wire.is_half_closed:
            self._end(transport)

    def _end(self, transport: asyncio.Transport) -> None:
        """Nothing more is sent. What still comes is read until the peer closes too: closing at once might reset the
        connection, and take the last frame from it."""
        self._set_deadline()
        if transport.can_write_eof():
            half_close(transport)
            if not self._is_reading:
                self._is_reading = True
                transport.resume_reading()
        else:
            transport.close()
