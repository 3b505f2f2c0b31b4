"""What a turn sends of a stream is the same however its events are written, and whichever way they come."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.http.server.request.head import NO_HEAD
from adapters.http.sockets.alike import beginning_of
from adapters.http.sockets.server_frames import Event, events_in, in_lane, with_status
from adapters.http.sockets.turn import Turn
from adapters.upstreams.http1.framing import LENGTHS
from adapters.websocket.outlets import Outlet
from tests.unit.socket_line import Line
from tests.websocket_frames import CLOSE, CONT, TEXT, Frame

DELTA = "response.output_text.delta"
KINDS = [DELTA, "response.reasoning_summary_text.delta", "response.created", "response.completed", "error", "x"]
LEARNED = b'event: %b\ndata: {"type":"%b","item_id":"msg_%b","delta":"a"}\n\n' % (
    DELTA.encode(),
    DELTA.encode(),
    b"0" * 64,
)
PAYLOAD = LEARNED.partition(b"data: ")[2][:-2]


class Written(Line):
    """A socket, one turn on it, and what the client is sent."""

    def __init__(self, lane: str = "") -> None:
        super().__init__()
        self.turn = Turn(self.socket, NO_HEAD, {}, lane, b"{}")
        self.socket.outlets.lend(self.turn.alike)
        self.writes = 0
        self._messages: list[bytes] = []
        write = self.transport.write

        def counted(data: bytes) -> None:
            self.writes += 1
            write(data)

        self.transport.write = counted  # type: ignore[method-assign]

    @property
    def messages(self) -> list[bytes]:
        """All that have come."""
        self._messages += [payload for opcode, payload in self.sent() if opcode == TEXT]
        return self._messages

    def comes_framed(self, piece: bytes) -> bool:
        """From the provider, as a chunk of its own."""
        line = b"%x\r\n" % len(piece)
        return self.turn.send_framed(line + piece + b"\r\n", line, len(piece))


@st.composite
def written(draw: st.DrawFn) -> bytes:
    """One event, as any provider might write it."""
    kind, text = (
        draw(st.sampled_from(KINDS)),
        draw(st.one_of(st.text(max_size=20), st.text(min_size=100, max_size=120))),
    )
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
    async def sent() -> Written:
        written = Written(lane)
        for piece in pieces:
            if not (framed and len(piece) < LENGTHS and written.comes_framed(piece)):
                written.turn.send_chunk(piece)
        return written

    written = asyncio.run(sent())
    assert written.messages == expected(b"".join(pieces), lane)
    assert written.turn.sent_bytes == sum(map(len, written.messages))
    assert written.writes <= len(pieces)
    written.socket.outlets.take_back(written.turn.alike)
    assert written.socket.outlets.bytes == written.turn.sent_bytes
    assert written.socket.outlets.frames == len(written.messages)


async def learned(lane: str = "") -> Written:
    """One event like `LEARNED` has passed."""
    written = Written(lane)
    assert not written.comes_framed(LEARNED), "nothing is known yet"
    assert written.turn.send_chunk(LEARNED)
    assert written.comes_framed(LEARNED)
    return written


@pytest.mark.parametrize("lane", ["", "a"])
async def test_an_event_like_the_one_before_is_sent_out_of_its_chunk_while_the_client_takes_it(lane: str) -> None:
    written = await learned(lane)
    written.socket.pause_writing()
    assert not written.comes_framed(LEARNED)
    written.socket.resume_writing()
    assert written.comes_framed(LEARNED)

    assert written.messages == [in_lane(PAYLOAD, lane)] * 3


async def test_an_event_too_short_for_its_costs_takes_the_way_on_which_it_is_counted() -> None:
    written = await learned()
    short = LEARNED.replace(b"0" * 64, b"")

    assert not written.comes_framed(short)
    written.turn.send_chunk(short)
    assert written.messages[-1] == short.partition(b"data: ")[2][:-2]


@pytest.mark.parametrize("size", [1, 15, 40, 180, 255, 256, 257, 1750])
async def test_events_of_all_sizes_are_sent_out_of_their_chunks(size: int) -> None:
    written = await learned()
    piece = LEARNED.replace(b'"a"', b'"%b"' % (b"x" * size))

    assert written.comes_framed(piece)
    assert written.messages[-1] == piece.partition(b"data: ")[2][:-2]


@pytest.mark.parametrize("lane", ["", "a"])
async def test_of_a_turn_that_is_over_nothing_is_sent(lane: str) -> None:
    written = await learned(lane)
    written.turn.disconnect()
    if not written.comes_framed(LEARNED):
        written.turn.send_chunk(LEARNED)
    assert len(written.messages) == 2

    written = await learned(lane)
    written.turn.cancel()
    if not written.comes_framed(LEARNED):
        written.turn.send_chunk(LEARNED)
    assert len(written.messages) == 3, "the last is its end"


@pytest.mark.parametrize(
    "ends",
    [
        lambda written: written.socket.close(1000),
        lambda written: written.comes(Frame(CLOSE)),
        lambda written: written.comes(Frame(CONT, b"behind nothing")),
        lambda written: written.socket.eof_received(),
        lambda written: written.socket.abort(),
        lambda written: written.socket.connection_lost(None),
    ],
)
async def test_behind_the_end_of_a_socket_no_event_is_sent(ends: Callable[[Written], None]) -> None:
    written = await learned()
    ends(written)
    before = written.writes

    assert not written.comes_framed(LEARNED)
    written.turn.send_chunk(LEARNED)
    assert written.writes == before


async def test_no_event_is_sent_into_a_message_of_which_half_is_sent() -> None:
    written = await learned()
    written.socket.send(b"ha", is_last=False)
    assert not written.comes_framed(LEARNED)
    written.socket.send(b"lf", is_first=False)
    assert written.comes_framed(LEARNED)


async def test_an_outlet_is_lent_as_the_socket_is_and_leads_nowhere_when_it_is_back() -> None:
    line, outlet, late = Line(), Outlet(), Outlet()
    line.socket.outlets.lend(outlet)
    assert outlet.to is line.transport
    line.socket.pause_writing()
    line.socket.outlets.lend(late)
    assert (outlet.to, late.to) == (None, None)
    line.socket.outlets.take_back(outlet)
    line.socket.resume_writing()
    assert (outlet.to, late.to) == (None, line.transport)


def test_no_outlet_of_a_client_leads_anywhere_as_its_frames_are_masked() -> None:
    line, outlet = Line("client"), Outlet()
    line.socket.outlets.lend(outlet)

    assert outlet.to is None


async def test_what_begins_or_ends_a_response_is_always_read() -> None:
    turn = Written().turn
    for number in (1, 2):
        turn.send_chunk(b'data: {"type":"response.created","response":{"id":"resp_%d"}}\n\n' % number)
        assert turn.response_id == f"resp_{number}"


def test_a_type_that_is_not_where_types_usually_are_is_not_learned() -> None:
    piece = b'data: {"delta":"a","type":"x"}\n\n'

    assert beginning_of(piece, Event("x", piece[6:-2])) is None


@pytest.mark.parametrize("lane", ["", "a"])
async def test_a_stream_that_says_why_it_failed_and_no_more_is_sent_event_by_event(lane: str) -> None:
    written = Written(lane)
    created, failed = b'{"type":"response.created","response":{"id":"r"}}', b'{"type":"response.failed","response":{}}'

    written.turn.reply(200, ["content-type: text/event-stream"], b"data: %b\n\ndata: %b\n\n" % (created, failed))

    assert written.messages == [in_lane(created, lane), in_lane(failed, lane)]
    assert (written.turn.has_ended, written.turn.answer) == (True, None)


@pytest.mark.parametrize(
    ("error", "status"),
    [({"type": "invalid_request", "code": "cyber_policy"}, 400), ({"code": "rate_limit_exceeded"}, 429),
     ({"message": "odd"}, 502), ({"type": "server_error", "code": "new"}, 502)],
)  # fmt: skip
async def test_an_error_that_came_whole_with_a_200_is_one(error: dict[str, Any], status: int) -> None:
    written = Written()

    written.turn.reply(200, [], json.dumps({"error": error}).encode())

    (told,) = map(json.loads, written.messages)
    assert told == {"type": "error", "status": status, "error": error}
    assert written.turn.answer is None


@pytest.mark.parametrize("status", ["completed", "incomplete", "failed"])
async def test_a_response_that_came_whole_is_the_end_of_one(status: str) -> None:
    written = Written()
    response = {"id": "r", "status": status, "output": [], "error": {"code": "x"} if status == "failed" else None}

    written.turn.reply(200, [], json.dumps(response).encode())

    (told,) = map(json.loads, written.messages)
    assert told == {"type": f"response.{status}", "response": response}


@pytest.mark.parametrize("body", [b"", b"data: [DONE]\n\n", b"<html>"])
async def test_a_reply_without_an_end_is_an_error(body: bytes) -> None:
    written = Written()

    written.turn.reply(200, [], body)

    (told,) = map(json.loads, written.messages)
    assert (told["type"], told["status"]) == ("error", 502)


async def test_a_keeper_that_denies_inside_a_stream_denies() -> None:
    turn = Turn(Line().socket, NO_HEAD, {}, "", b"{}", may_move=True)

    turn.reply(200, [], b'data: {"type":"error","error":{"code":"previous_response_not_found"}}\n\n')

    assert (turn.wants_another, turn.has_ended) == (True, False)
