"""What a turn sends of a stream is the same however its events are written, and whichever way they come."""

import asyncio
import json
from typing import Any, cast

from hypothesis import example, given
from hypothesis import strategies as st

from adapters.http.server.request.head import NO_HEAD
from adapters.http.sockets.alike import AlikeEvents
from adapters.http.sockets.server_frames import Event, events_in, in_lane, with_status
from adapters.http.sockets.turn import Turn
from adapters.websocket.connection import WebSocket

DELTA = "response.output_text.delta"
KINDS = [DELTA, "response.reasoning_summary_text.delta", "response.created", "response.completed", "error", "x"]
LEARNED = b'event: %b\ndata: {"type":"%b","delta":"a"}\n\n' % (DELTA.encode(), DELTA.encode())


class FakeSocket:
    """Keeps messages, and how many went together."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.writes = 0
        self.draining: object | None = None

    def send(self, message: bytes) -> None:
        self.send_texts([message])

    def send_texts(self, messages: list[bytes]) -> None:
        self.messages += messages
        self.writes += bool(messages)


def turn_on(socket: FakeSocket, lane: str = "") -> Turn:
    async def made() -> Turn:
        return Turn(cast("WebSocket", socket), NO_HEAD, {}, lane, b"{}")

    return asyncio.run(made())


@st.composite
def written(draw: st.DrawFn) -> bytes:
    """One event, as any provider might write it."""
    kind, text = draw(st.sampled_from(KINDS)), draw(st.text(max_size=20))
    fields: dict[str, Any] = {"delta": text, "sequence_number": draw(st.integers(0, 999))}
    fields = {"type": kind} | fields if draw(st.booleans()) else fields | {"type": kind}
    payload = json.dumps(fields, ensure_ascii=draw(st.booleans())).encode()
    if draw(st.booleans()):
        payload = payload.replace(b": ", b":")
    lines = [b"event: " + kind.encode()] if draw(st.booleans()) else []
    match draw(st.integers(0, 5)):
        case 0:
            lines += [b"data:" + part for part in payload.replace(b", ", b",\n", 1).split(b"\n")]
        case 1:
            lines += [b": a comment", b"data: " + payload]
        case 2:
            lines += [b"data: " + payload, b"id: 1"]
        case _:
            lines.append(b"data: " + payload)
    end = draw(st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\r"]))
    return end.join([*lines, b"", b""])


def expected(stream: bytes, lane: str) -> list[bytes]:
    messages = []
    for each in events_in(stream):
        messages.append(in_lane(with_status(each.payload) if each.type == "error" else each.payload, lane))
        if each.type in ("error", "response.completed"):
            break
    return messages


@given(
    pieces=st.lists(st.lists(written(), min_size=1, max_size=3).map(b"".join), max_size=8),
    lane=st.sampled_from(["", "a"]),
    framed=st.booleans(),
)
@example([LEARNED, b"data: [DONE]\n\n", LEARNED[:-1] + b": x\n\n", LEARNED * 2], "", True)
@example([LEARNED, LEARNED.replace(b'"a"}', b'"a"}\r'), LEARNED.replace(DELTA.encode(), b"error")], "", False)
def test_every_event_is_a_message_as_it_stands(pieces: list[bytes], lane: str, framed: bool) -> None:
    socket = FakeSocket()
    turn = turn_on(socket, lane)
    for piece in pieces:
        line = b"%x\r\n" % len(piece)
        if not (framed and turn.send_framed(line + piece + b"\r\n", line, len(piece))):
            turn.send_chunk(piece)

    assert socket.messages == expected(b"".join(pieces), lane)
    assert turn.sent_bytes == sum(map(len, socket.messages))
    assert socket.writes <= len(pieces)


def test_an_event_like_the_one_before_is_sent_out_of_its_chunk_while_the_client_takes_it() -> None:
    socket = FakeSocket()
    turn = turn_on(socket)
    line = b"%x\r\n" % len(LEARNED)
    framed = (line + LEARNED + b"\r\n", line, len(LEARNED))

    assert not turn.send_framed(*framed), "nothing is known yet"
    assert turn.send_chunk(LEARNED)
    assert turn.send_framed(*framed)
    socket.draining = object()
    assert not turn.send_framed(*framed)
    assert socket.messages == [b'{"type":"response.output_text.delta","delta":"a"}'] * 2


def test_what_begins_or_ends_a_response_is_always_read() -> None:
    turn = turn_on(FakeSocket())
    for number in (1, 2):
        turn.send_chunk(b'data: {"type":"response.created","response":{"id":"resp_%d"}}\n\n' % number)
        assert turn.response_id == f"resp_{number}"


def test_a_type_that_is_not_where_types_usually_are_is_not_learned() -> None:
    alike = AlikeEvents()
    piece = b'data: {"delta":"a","type":"x"}\n\n'
    alike.learn(piece, Event("x", piece[6:-2]))

    assert alike.payload(piece, 0, len(piece)) is None
