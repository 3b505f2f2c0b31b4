"""Frames of WebSockets as a peer writes and reads them, right or wrong, independently of the code under test."""

import struct
from typing import Literal, NamedTuple

Side = Literal["server", "client"]

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Frame(NamedTuple):
    """One that a peer sends, right or wrong."""

    opcode: int
    data: bytes = b""
    is_last: bool = True
    reserved: int = 0
    length: int | None = None
    is_wrongly_masked: bool = False
    long_form: int = 0
    """So many bits for the length, whether it needs them or not."""

    def to(self, side: Side) -> bytes:
        size = len(self.data) if self.length is None else self.length
        is_masked = (side == "server") != self.is_wrongly_masked
        mask = 0x80 if is_masked else 0
        head = bytes([self.is_last << 7 | self.reserved << 4 | self.opcode])
        if size < 126 and not self.long_form:
            head += bytes([mask | size])
        elif size < 65_536 and self.long_form < 64:
            head += bytes([mask | 126]) + struct.pack("!H", size)
        else:
            head += bytes([mask | 127]) + struct.pack("!Q", size)
        key = b"\x5a\x00\xff\x13"
        masked = bytes(byte ^ key[at % 4] for at, byte in enumerate(self.data))
        return head + (key + masked if is_masked else self.data)


def closing(code: int, reason: bytes = b"") -> Frame:
    return Frame(CLOSE, struct.pack("!H", code) + reason)


def frames_in(sent: bytes, side: Side) -> list[tuple[int, bytes]]:
    """What a side has sent, read independently of the code under test: opcode and payload."""
    found = []
    while sent:
        opcode, size = sent[0] & 15, sent[1] & 127
        assert sent[0] & 0x70 == 0
        assert bool(sent[1] & 0x80) == (side == "client")
        sent = sent[2:]
        if size > 125:
            digits = 2 if size == 126 else 8
            size, sent = int.from_bytes(sent[:digits], "big"), sent[digits:]
        key, sent = (sent[:4], sent[4:]) if side == "client" else (bytes(4), sent)
        found.append((opcode, bytes(byte ^ key[at % 4] for at, byte in enumerate(sent[:size]))))
        sent = sent[size:]
    return found
