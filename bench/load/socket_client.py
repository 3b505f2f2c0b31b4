"""A Responses socket as a client has it, for as little work as can be: one turn, and its events timed."""

from collections.abc import Mapping

from bench.load.timed import Timed, Watch
from bench.servers import responses
from bench.wire import head_of

_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_SWITCHED = b"HTTP/1.1 101 "
_TEXT, CLOSE = 0x81, 0x88


def handshake(path: str, headers: Mapping[str, str]) -> bytes:
    """The request that opens one."""
    opening = {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-version": "13",
        "sec-websocket-key": _KEY,
    }
    return head_of("GET", path, {name: headers[name] for name in headers if name != "content-type"} | opening, None)


def frame(message: bytes, opcode: int = _TEXT) -> bytes:
    """One that a client sends, with the mask that changes nothing."""
    size = len(message)
    if size < 126:
        return bytes((opcode, 0x80 | size)) + bytes(4) + message
    if size < 65_536:
        return bytes((opcode, 0x80 | 126)) + size.to_bytes(2) + bytes(4) + message
    return bytes((opcode, 0x80 | 127)) + size.to_bytes(8) + bytes(4) + message


def took(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the payload of a server's frame begins that stands there, and where it ends; None = it is not whole."""
    if len(data) < at + 2:
        return None
    size, start = data[at + 1], at + 2
    if size >= 126:
        start += 2 if size == 126 else 8
        size = int.from_bytes(data[at + 2 : start])
    return (start, start + size) if len(data) >= start + size else None


class SocketStream(Timed):
    """One turn on a socket of its own."""

    def __init__(self, watch: Watch, request: bytes, events: int, turn: bytes) -> None:
        super().__init__(watch, request, events)
        self._turn = turn
        self._is_switched = False
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        if not self._is_switched:
            head, found, data = data.partition(b"\r\n\r\n")
            self._rest = b"" if found else head
            if not found:
                return
            if not head.startswith(_SWITCHED) or self._transport is None:
                self._end(f"status {head[9:12].decode('ascii', 'replace')}")
                return
            self._is_switched = True
            self._transport.write(frame(self._turn))
        at = events = 0
        last = b""
        while (found_frame := took(data, at)) is not None:
            if data[at] != _TEXT:
                self._end("closed" if data[at] == CLOSE else "not a text")
                return
            last, at, events = data[found_frame[0] : found_frame[1]], found_frame[1], events + 1
        self._rest = data[at:]
        if events:
            self._came(events)
            if last.endswith(responses.END):
                self._end_well()
            elif last.startswith(b'{"type":"error"'):
                self._end("error")
