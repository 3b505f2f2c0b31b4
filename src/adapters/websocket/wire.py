"""One side of an open WebSocket as bytes: what comes in becomes pieces of messages, what is sent becomes frames.

`websockets` keeps the rules of RFC 6455 for frames: masks, reserved bits, opcodes, control frames, close codes, sizes,
the answers to pings and closes. What it leaves to its caller is here: text is UTF-8, a message has not too many
fragments, and nothing is logged, since it would log payloads.
"""

import codecs
import logging
from collections.abc import Sequence
from struct import Struct
from typing import Literal

from websockets.exceptions import InvalidState
from websockets.frames import Opcode
from websockets.protocol import CLIENT, OPEN, SERVER, Protocol, State

from adapters.websocket.messages import LOST, NO_CODE, Closed, Piece

MOST_FRAGMENTS = 1024
"""Of one message. Each is an object, however little it carries."""

MOST_REASON_BYTES = 123
"""Of a close frame (RFC 6455, 5.5)."""

_HALF_CLOSE = b""
"""`websockets.protocol.SEND_EOF`."""
_PONG = 0x80 | Opcode.PONG
_WHOLE_TEXT, _WHOLE_BINARY = 0x80 | Opcode.TEXT, 0x80 | Opcode.BINARY
_SMALL, _MEDIUM, _LARGE = Struct("!BB"), Struct("!BBH"), Struct("!BBQ")
_OPEN = State.OPEN
USUAL_BYTES = 2048
"""The head of a text message that is smaller is looked up."""
_DATA = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})

_silent = logging.Logger("llmproxy.websockets", logging.CRITICAL + 1)
"""Of nobody's, and above all levels."""

_utf8 = codecs.getincrementaldecoder("utf-8")


class Wire:
    """From the end of the handshake to the end of the connection. Does no I/O: `send`, and after all else `to_send`,
    say what is to be written."""

    __slots__ = (
        "_decoder", "_failed_before", "_fragments", "_has_failed", "_is_server", "_is_text", "_late_pong", "_protocol",
        "closed", "control_frames", "is_half_closed",
    )  # fmt: skip

    def __init__(self, side: Literal["server", "client"], max_message_bytes: int) -> None:
        """A message that is larger fails the connection with 1009, as soon as its size is known."""
        self._is_server = side == "server"
        self._protocol = Protocol(
            SERVER if self._is_server else CLIENT, state=OPEN, max_size=max_message_bytes, logger=_silent
        )
        self._decoder = _utf8()
        self._is_text = False
        self._fragments = 0
        self._has_failed = False
        self._failed_before: Closed | None = None
        """What the peer did wrong ahead of its close frame, which came with it and is answered already."""
        self._late_pong = b""
        """Waits until the peer takes what it is sent."""
        self.control_frames = 0
        """Pings, pongs and closes that have come."""
        self.closed: Closed | None = None
        """None = the connection is open."""
        self.is_half_closed = False
        """Is nothing more sent, and the transport to be half-closed?"""

    @property
    def unread_bytes(self) -> int:
        """What has come of a frame that is not complete."""
        return len(self._protocol.reader.buffer)

    @property
    def is_open(self) -> bool:
        """May messages be sent?"""
        return self._protocol.state is State.OPEN

    @property
    def takes_whole(self) -> bool:
        """Is it a server's, open, and no message half sent? Then a text goes as one frame with a head that is known."""
        return self._is_server and self.is_open and not self._protocol.expect_continuation_frame

    def receive(self, data: bytes) -> Sequence[Piece | Closed]:
        """What has come with these bytes; `Closed` at most once, and last."""
        if self.closed is not None:
            return ()
        self._protocol.receive_data(data)
        found: list[Piece | Closed] = []
        for frame in self._protocol.events_received():
            opcode = frame.opcode  # type: ignore[union-attr] # of an open connection there are frames only
            if opcode in _DATA:
                piece = self._piece(opcode, bytes(frame.data), frame.fin)  # type: ignore[union-attr]
                if piece is None:
                    break
                found.append(piece)
            else:
                self.control_frames += 1
        ended = self._ended()
        if ended is not None:
            found.append(ended)
        return found

    def receive_end(self) -> Closed | None:
        """The peer sends nothing more; None = it had said so."""
        self._protocol.receive_eof()
        return self._ended()

    def lose(self) -> Closed | None:
        """The connection is gone; None = it had been closed."""
        if self.closed is not None:
            return None
        self.closed = Closed(LOST, "", "peer")
        return self.closed

    def send(self, data: bytes, is_text: bool, is_first: bool = True, is_last: bool = True) -> bytes:
        """A message or a piece of one, to be written now, behind all that `to_send` has said; empty when the connection
        is not open any more."""
        protocol = self._protocol
        if protocol.state is not _OPEN:
            return b""
        if is_first and is_last and self._is_server and not protocol.expect_continuation_frame:
            size = len(data)
            if is_text and size < USUAL_BYTES:
                return TEXT_HEADS[size] + data
            return _head(_WHOLE_TEXT if is_text else _WHOLE_BINARY, size) + data
        if not is_first:
            protocol.send_continuation(data, is_last)
        elif is_text:
            protocol.send_text(data, is_last)
        else:
            protocol.send_binary(data, is_last)
        return b"".join(protocol.data_to_send())

    def ping(self) -> None:
        """Ask for a sign of life."""
        try:
            self._protocol.send_ping(b"")
        except InvalidState:
            return

    def close(self, code: int, reason: str = "") -> None:
        """Begin to close; nothing when that has begun. `NO_CODE` = without a code. Codes that may not be sent become
        1011; a reason that is too long is cut."""
        if self._protocol.state is not State.OPEN:
            return
        if code == NO_CODE:
            self._protocol.send_close()
        else:
            self._protocol.send_close(code if may_be_sent(code) else 1011, cut(reason))

    def fail(self, code: int, reason: str = "") -> None:
        """The peer does what it must not: say so, and read nothing more of it."""
        if self.closed is None:
            self._fail(code, reason)
            self._ended()

    def _fail(self, code: int, reason: str) -> None:
        self._has_failed = True
        if self._protocol.close_rcvd_then_sent:
            self._failed_before = Closed(code, cut(reason), "us")
        self._protocol.fail(code, cut(reason))

    def to_send(self, *, with_pongs: bool = True) -> Sequence[bytes]:
        """To be written now. `with_pongs` False = the peer does not take what it is sent: of the answers to its pings
        it gets the latest only (RFC 6455, 5.5.3), and that when it does."""
        frames = self._protocol.data_to_send()
        if self._late_pong and (with_pongs or not self.is_open):
            frames = [self._late_pong, *frames] if self.is_open else frames
            self._late_pong = b""
        if frames and frames[-1] == _HALF_CLOSE:
            self.is_half_closed = True
            del frames[-1]
        if not with_pongs:
            for pong in [frame for frame in frames if frame[0] == _PONG]:
                frames.remove(pong)
                self._late_pong = pong
        return frames

    def _piece(self, opcode: int, data: bytes, is_last: bool) -> Piece | None:
        """None = it breaks a rule, and the connection has failed."""
        is_first = opcode != Opcode.CONT
        if is_first:
            self._is_text, self._fragments = opcode == Opcode.TEXT, 0
        self._fragments += 1
        if self._fragments > MOST_FRAGMENTS:
            self._fail(1008, f"more than {MOST_FRAGMENTS} fragments")
            return None
        if self._is_text and not (is_first and is_last and data.isascii()):
            try:
                self._decoder.decode(data, is_last)
            except UnicodeDecodeError:
                self._fail(1007, "text is not UTF-8")
                return None
        return Piece(data, self._is_text, is_first, is_last)

    def _ended(self) -> Closed | None:
        """None = it has not, or that was told."""
        if self.closed is not None:
            return None
        protocol = self._protocol
        received, sent = protocol.close_rcvd, protocol.close_sent
        has_failed = self._has_failed or protocol.parser_exc is not None
        if self._failed_before is not None:
            self.closed = self._failed_before
        elif received is not None and not has_failed and protocol.close_rcvd_then_sent is not False:
            self.closed = Closed(int(received.code), received.reason, "peer")
        elif sent is not None and (received is not None or has_failed or protocol.eof_sent):
            self.closed = Closed(int(sent.code), sent.reason, "us")
        elif has_failed or protocol.state is State.CLOSED:
            self.closed = Closed(LOST, "", "peer")
        return self.closed


def _head(first: int, size: int) -> bytes:
    """Of a frame without a mask (RFC 6455, 5.2). A server sends one for every event; the library takes several times as
    long to make it."""
    if size < 126:
        return _SMALL.pack(first, size)
    return _MEDIUM.pack(first, 126, size) if size <= 0xFFFF else _LARGE.pack(first, 127, size)


TEXT_HEADS = tuple(_head(_WHOLE_TEXT, size) for size in range(USUAL_BYTES))
"""Of whole text messages of a server, by their size."""


def may_be_sent(code: int) -> bool:
    """In a close frame (RFC 6455, 7.4; IANA's registry of close codes)."""
    return 3000 <= code <= 4999 or (1000 <= code <= 1014 and code not in {1004, NO_CODE, LOST})


def cut(reason: str) -> str:
    """As much of it as a close frame has room for."""
    return reason.encode()[:MOST_REASON_BYTES].decode(errors="ignore")
