"""An open WebSocket over a transport that does nothing, on a clock that stands still."""

import asyncio
import struct
from typing import Any, cast

import pytest

from adapters.websocket.connection import CLOSE_S, MOST_CONTROL_FRAMES, PING_S, PONG_S
from adapters.websocket.handshake import BadHandshake, Opening, accept
from adapters.websocket.inbox import MOST_WAITING_BYTES, PIECE_BYTES
from adapters.websocket.messages import LOST, Closed, Piece
from adapters.websocket.paced import MOST_FRAMES_AT_ONCE
from adapters.websocket.wire import Wire
from adapters.websocket.write_ahead import MOST_WRITES, WRITE_AHEAD_BYTES
from tests.unit.socket_line import WRITE_S, Line
from tests.websocket_frames import BINARY, CLOSE, CONT, PING, PONG, TEXT, Frame, closing


async def test_messages_are_put_together_and_the_end_comes_last() -> None:
    line = Line()
    line.comes(
        Frame(TEXT, b"one"), Frame(TEXT, b"t", is_last=False), Frame(PING), Frame(CONT, b"w", is_last=False),
        Frame(CONT, b"o"), Frame(BINARY, b"\xff"), closing(1000, b"bye"),
    )  # fmt: skip
    got = [await line.socket.receive() for _ in range(5)]

    assert got == [
        Piece(b"one", True), Piece(b"two", True), Piece(b"\xff", False),
        Closed(1000, "bye", "peer"), Closed(1000, "bye", "peer"),
    ]  # fmt: skip
    assert (line.socket.received_frames, line.socket.received_bytes) == (5, 7)


async def test_pieces_are_handed_on_as_they_were_cut() -> None:
    line = Line()
    line.comes(Frame(TEXT, b"t", is_last=False), Frame(CONT, b"wo"))

    assert await line.socket.receive_piece() == Piece(b"t", True, is_last=False)
    assert await line.socket.receive_piece() == Piece(b"wo", True, is_first=False)


async def test_who_waits_is_woken_by_a_message_and_by_a_loss() -> None:
    line = Line()
    waiting = asyncio.ensure_future(line.socket.receive())
    await asyncio.sleep(0)
    line.comes(Frame(TEXT, b"now"))
    assert await waiting == Piece(b"now", True)

    gone = []
    line.socket.when_gone = lambda: gone.append(True)
    waiting = asyncio.ensure_future(line.socket.receive())
    await asyncio.sleep(0)
    line.socket.connection_lost(None)
    assert await waiting == Closed(LOST, "", "peer")
    assert gone == [True]
    line.socket.send(b"to nobody")
    line.socket.close(1000)
    line.socket.abort()
    assert (line.socket.is_open, line.socket.deadline) == (False, float("inf"))


@pytest.mark.parametrize("sign", [Frame(PONG), Frame(TEXT, b"x"), Frame(PING)])
async def test_a_silent_peer_is_asked_and_any_byte_is_an_answer(sign: Frame) -> None:
    line = Line()
    line.tick(PING_S - 1)
    assert line.sent() == []
    line.tick(1)
    assert line.sent() == [(PING, b"")]
    line.tick(PONG_S - 1)
    line.comes(sign)
    line.tick(PING_S - 1)
    assert not line.transport.is_aborted
    line.tick(1)
    line.tick(PONG_S)
    assert line.transport.is_aborted


async def test_a_large_message_that_is_still_coming_is_a_sign_of_life() -> None:
    line = Line()
    whole = Frame(BINARY, bytes(1_000_000)).to("server")
    for at in range(0, len(whole), 100_000):
        line.socket.data_received(whole[at : at + 100_000])
        line.tick(PING_S - 1)

    assert line.sent() == []
    assert len((await line.socket.receive()).data) == 1_000_000  # type: ignore[union-attr]


async def test_a_peer_that_takes_nothing_is_waited_for_and_cut_off_in_the_end() -> None:
    line = Line()
    assert line.socket.writable() is None
    line.socket.pause_writing()
    waiting = line.socket.writable()
    assert waiting is not None
    assert line.transport.high <= MOST_WAITING_BYTES
    for _ in range(int(WRITE_S) - 1):
        line.tick(1)
        line.comes(Frame(PONG))  # it is there, but does not read
    assert not line.transport.is_aborted
    line.tick(1)
    assert line.transport.is_aborted
    line.socket.connection_lost(None)
    await waiting


async def test_small_messages_that_wait_are_counted_as_well_until_all_are_taken() -> None:
    line = Line()
    for _ in range(2 * MOST_WRITES):
        line.socket.send(b"x")
    assert line.transport.high == WRITE_AHEAD_BYTES  # all were taken
    line.transport.unsent = 2 * MOST_WRITES
    for _ in range(MOST_WRITES):
        line.socket.send(b"x")
    assert line.transport.high == 0
    line.socket.pause_writing()
    line.socket.resume_writing()
    assert line.transport.high == WRITE_AHEAD_BYTES


async def test_a_peer_that_reads_again_has_all_the_time_again() -> None:
    line = Line()
    line.socket.pause_writing()
    line.tick(WRITE_S - 1)
    line.comes(*[Frame(PING, b"%d" % n) for n in range(30)])
    line.socket.resume_writing()
    assert line.sent()[-1] == (PONG, b"29")
    line.comes(Frame(TEXT, b"x"))
    line.tick(2)
    assert not line.transport.is_aborted
    assert line.socket.writable() is None


async def test_no_more_is_read_than_is_taken() -> None:
    line = Line()
    line.comes(*[Frame(BINARY, bytes(MOST_WAITING_BYTES // 4))] * 4)
    assert not line.transport.is_reading
    await line.socket.receive()
    assert line.transport.is_reading


async def test_empty_messages_take_room_too_and_what_comes_with_them_waits_unread() -> None:
    held: list[int] = []
    line = Line(may_hold=lambda size: held.append(size) is None)
    line.comes(*[Frame(TEXT)] * 40_000)
    for _ in range(50):
        await asyncio.sleep(0)
    assert line.socket.received_frames * PIECE_BYTES < 2 * MOST_WAITING_BYTES
    assert max(held) < 3 * MOST_WAITING_BYTES

    taken = 0
    async with asyncio.timeout(30):
        while taken < 40_000:
            assert await line.socket.receive() == Piece(b"", True)
            taken += 1
            if not line.socket._inbox.held_bytes:
                await asyncio.sleep(0)
    assert line.transport.is_reading
    assert held[-1] == 0


async def test_a_message_in_many_pieces_larger_than_what_may_wait_is_read_all_the_same() -> None:
    line = Line()
    taking = asyncio.ensure_future(line.socket.receive())
    for at in range(12):
        await asyncio.sleep(0)
        assert line.transport.is_reading
        line.comes(Frame(CONT if at else BINARY, bytes(MOST_WAITING_BYTES // 4), is_last=at == 11))

    assert len((await taking).data) == 3 * MOST_WAITING_BYTES  # type: ignore[union-attr]


async def test_many_small_frames_are_read_in_several_goes_and_in_their_order() -> None:
    line = Line()
    line.comes(*[Frame(TEXT, b"%d" % number) for number in range(3 * MOST_FRAMES_AT_ONCE)])
    first = line.socket.received_frames
    assert MOST_FRAMES_AT_ONCE <= first < 2 * MOST_FRAMES_AT_ONCE
    assert not line.transport.is_reading
    line.comes(Frame(TEXT, b"last"))
    assert line.socket.eof_received()
    assert line.socket.received_frames == first

    for _ in range(8):
        await asyncio.sleep(0)

    expected = [*(b"%d" % number for number in range(3 * MOST_FRAMES_AT_ONCE)), b"last"]
    assert [(await line.socket.receive()).data for _ in expected] == expected  # type: ignore[union-attr]
    assert await line.socket.receive() == Closed(LOST, "", "peer")
    assert line.transport.is_closed


async def test_what_waits_to_be_read_is_dropped_with_the_connection() -> None:
    line = Line()
    line.comes(*[Frame(TEXT, b"x")] * 3 * MOST_FRAMES_AT_ONCE)
    taken = line.socket.received_frames
    line.socket.connection_lost(None)
    for _ in range(8):
        await asyncio.sleep(0)

    assert line.socket.received_frames == taken


async def test_a_large_message_is_read_in_one_go() -> None:
    line = Line()
    line.comes(Frame(BINARY, bytes(200_000)))

    assert line.socket.received_bytes == 200_000
    assert line.transport.is_reading


async def test_what_is_held_is_told_and_where_there_is_no_room_the_socket_fails() -> None:
    told: list[int] = []
    line = Line(may_hold=lambda size: told.append(size) or size < 1000)
    line.comes(Frame(TEXT, b"x" * 300))
    line.socket.data_received(Frame(TEXT, b"x" * 300).to("server")[:200])
    await line.socket.receive()
    assert told == [300 + PIECE_BYTES, 492 + PIECE_BYTES, 192]  # a head of eight bytes is read
    line.socket.data_received(Frame(TEXT, b"x" * 300).to("server")[200:])
    line.comes(Frame(TEXT, b"x" * 900))

    assert [code for opcode, data in line.sent() for code in struct.unpack("!H", data[:2]) if opcode == CLOSE] == [1013]
    assert await line.socket.receive() == Piece(b"x" * 300, True)


async def test_a_flood_of_control_frames_is_cut_off_and_a_few_every_second_are_not() -> None:
    line = Line()
    for _ in range(5):
        line.comes(*[Frame(PING)] * (MOST_CONTROL_FRAMES // 2))
        line.tick(1)
    assert line.socket.is_open
    for _ in range(4):
        line.comes(*[Frame(PONG)] * (MOST_CONTROL_FRAMES // 2))
    assert line.sent()[-1][1][:2] == struct.pack("!H", 1008)
    assert not line.socket.is_open


async def test_after_our_close_the_peer_has_so_long_to_answer() -> None:
    line = Line()
    line.socket.close(1001, "going")
    line.tick(CLOSE_S - 1)
    line.comes(Frame(TEXT, b"crossed"))
    assert await line.socket.receive() == Piece(b"crossed", True)
    line.tick(0.5)
    assert not line.transport.is_aborted
    line.tick(0.5)
    assert line.transport.is_aborted


@pytest.mark.parametrize("half_closes", [True, False])
async def test_a_server_ends_the_connection_and_reads_on_until_the_peer_does_too(half_closes: bool) -> None:
    line = Line(half_closes=half_closes)
    line.socket.pause_writing()
    line.socket.resume_writing()
    line.comes(closing(1000))
    assert line.sent() == [(CLOSE, b"\x03\xe8")]
    assert (line.transport.is_half_closed, line.transport.is_closed) == (half_closes, not half_closes)
    line.comes(Frame(TEXT, b"too late"))
    assert await line.socket.receive() == Closed(1000, "", "peer")
    assert line.socket.eof_received() is False


async def test_a_client_waits_for_the_server_to_end_it() -> None:
    line = Line("client")
    line.comes(closing(1000))
    assert not line.transport.is_half_closed
    line.socket.eof_received()
    assert line.transport.is_half_closed


async def test_a_stopping_server_says_so_or_leaves_it_to_the_owner() -> None:
    line = Line()
    line.socket.shutdown()
    assert line.sent() == [(CLOSE, b"\x03\xe9the server stops")]
    told, line = [], Line()
    line.socket.when_stopping = lambda: told.append(True)
    line.socket.shutdown()
    assert (told, line.sent()) == ([True], [])


async def test_who_has_nobody_that_looks_looks_by_itself() -> None:
    line = Line("client")
    line.socket.watch()
    for _ in range(int(PING_S)):
        line.loop.now += 1
        ((seconds, look),) = line.loop.later
        assert seconds == 1.0
        line.loop.later.clear()
        look()
    assert line.sent() == [(PING, b"")]
    line.socket.connection_lost(None)
    line.loop.later[0][1]()
    assert len(line.loop.later) == 1


# The handshake. The key and its answer are those of RFC 6455, 1.3.

ASKED = (
    ("Host", "h"), ("Upgrade", "websocket"), ("Connection", "keep-alive, Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13"),
)  # fmt: skip


def without(name: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (*(pair for pair in ASKED if pair[0] != name), *more)


def test_a_handshake_is_accepted_and_extensions_are_declined() -> None:
    accepted = accept((*ASKED, ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")))

    assert accepted.subprotocol == ""
    assert sorted(accepted.fields) == [
        "connection: Upgrade", "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "upgrade: websocket",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [("realtime, openai-insecure-api-key.sk-x", "realtime"), ("other", ""), ("a, realtime", "realtime")],
)
def test_of_the_subprotocols_ours_is_chosen_and_never_one_with_a_key(offered: str, chosen: str) -> None:
    accepted = accept((*ASKED, ("Sec-WebSocket-Protocol", offered)), ("realtime",))

    assert accepted.subprotocol == chosen
    assert [each for each in accepted.fields if "protocol" in each] == (
        [f"sec-websocket-protocol: {chosen}"] if chosen else []
    )


@pytest.mark.parametrize(
    "headers",
    [
        without("Upgrade"), without("Connection"), without("Sec-WebSocket-Key"), without("Sec-WebSocket-Version"),
        without("Sec-WebSocket-Version", ("Sec-WebSocket-Version", "8")),
        without("Sec-WebSocket-Key", ("Sec-WebSocket-Key", "dG9vIHNob3J0")),
        without("Sec-WebSocket-Key", ("Sec-WebSocket-Key", "no base64!")),
        (*ASKED, ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")),
    ],
)  # fmt: skip
def test_what_is_no_handshake_is_refused(headers: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(BadHandshake):
        accept(headers)


def test_both_sides_of_a_handshake_agree_and_a_client_takes_nothing_else_for_an_answer() -> None:
    opening = Opening(("realtime",))
    accepted = accept(opening.fields, ("realtime",))
    answer = [tuple(field.split(": ", 1)) for field in accepted.fields]

    assert opening.check(101, cast("Any", answer)) == "realtime"
    wrong: list[tuple[int, list[tuple[str, str]]]] = [
        (200, answer),  # type: ignore[list-item]
        (101, [pair for pair in answer if pair[0] != "upgrade"]),  # type: ignore[misc]
        (101, [("sec-websocket-accept", "x") if pair[0].endswith("accept") else pair for pair in answer]),  # type: ignore[misc]
        (101, [*answer, ("sec-websocket-extensions", "permessage-deflate")]),  # type: ignore[list-item]
        (101, [("sec-websocket-protocol", "b") if "protocol" in pair[0] else pair for pair in answer]),  # type: ignore[misc]
    ]
    for status, headers in wrong:
        with pytest.raises(BadHandshake):
            opening.check(status, headers)
    with pytest.raises(BadHandshake):
        Opening().check(101, cast("Any", answer))


def test_what_stands_in_the_limits_is_what_a_side_holds_at_most() -> None:
    assert WRITE_AHEAD_BYTES <= MOST_WAITING_BYTES == 1 << 18
    assert Wire("server", 1).unread_bytes == 0


async def test_a_message_of_several_fragments_is_held_no_more_once_it_is_taken() -> None:
    held: list[int] = []
    line = Line(may_hold=lambda size: held.append(size) is None)
    line.comes(Frame(TEXT, b"x" * 100, is_last=False), Frame(CONT, b"y" * 10))
    await line.socket.receive()

    assert max(held) == 110 + 2 * PIECE_BYTES
    assert held[-1] == 0
