"""Bytes in, events and bytes out: the groups of the Autobahn suite as a table, for both sides, and cut anywhere."""

import logging
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ProtocolError
from websockets.frames import Frame as LibraryFrame
from websockets.frames import Opcode

from adapters.websocket.messages import LOST, NO_CODE, Closed, Piece
from adapters.websocket.wire import MOST_FRAGMENTS, Wire, cut, may_be_sent
from tests.websocket_frames import BINARY, CLOSE, CONT, PING, PONG, TEXT, Frame, Side, closing, frames_in

MAX_BYTES = 200_000


def text(data: bytes, **of: bool) -> Piece:
    return Piece(data, True, **of)


def failed(code: int) -> int:
    """Expected: we close, with that code, for a reason of our own."""
    return code


HELLO = "Hello-µ@ßöäüàá-UTF-8!!".encode()
SIZES = (0, 125, 126, 127, 128, 65_535, 65_536)
FIRST, MIDDLE, END = ({"is_first": True, "is_last": False}, {"is_first": False, "is_last": False}, {"is_first": False})
LETTER = "κ".encode()

TABLE: dict[str, tuple[Sequence[Frame], Sequence[Piece | int], Sequence[bytes]]] = {
    # 1: what comes in one frame. Expected: pieces, or the code of our failure; payloads of the pongs.
    **{f"1.1 text of {n}": ([Frame(TEXT, b"*" * n)], [text(b"*" * n)], []) for n in SIZES},
    **{f"1.2 binary of {n}": ([Frame(BINARY, b"\xfe" * n)], [Piece(b"\xfe" * n, False)], []) for n in SIZES},
    "length in more bits than it needs": ([Frame(TEXT, b"hi", long_form=64)], [text(b"hi")], []),
    # 2: pings and pongs.
    "2.1 empty ping": ([Frame(PING)], [], [b""]),
    "2.4 ping of 125": ([Frame(PING, b"\xfe" * 125)], [], [b"\xfe" * 125]),
    "2.5 ping of 126": ([Frame(PING, b"\xfe" * 126)], [failed(1002)], []),
    "2.7 unasked pongs": ([Frame(PONG), Frame(PONG, b"unasked")], [], []),
    "2.10 ten pings": ([Frame(PING, b"%d" % n) for n in range(10)], [], [b"%d" % n for n in range(10)]),
    # 3: reserved bits.
    **{f"3 reserved bits {n}": ([Frame(TEXT, b"a", reserved=n)], [failed(1002)], []) for n in range(1, 8)},
    "3.3 after a good one": ([Frame(TEXT, b"a"), Frame(TEXT, b"b", reserved=4)], [text(b"a"), failed(1002)], []),
    "3 in a ping": ([Frame(PING, reserved=2)], [failed(1002)], []),
    # 4: opcodes.
    **{f"4 opcode {n}": ([Frame(n)], [failed(1002)], []) for n in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "4 behind a message": ([Frame(TEXT, b"a"), Frame(7, b"x"), Frame(PING)], [text(b"a"), failed(1002)], []),
    # 5: fragments.
    "5.1 ping in two": ([Frame(PING, b"a", is_last=False), Frame(CONT, b"b")], [failed(1002)], []),
    "5.3 text in two": (
        [Frame(TEXT, b"a", is_last=False), Frame(CONT, b"b")], [text(b"a", **FIRST), text(b"b", **END)], [],
    ),
    "5.6 a ping between": (
        [Frame(TEXT, b"a", is_last=False), Frame(PING, b"p"), Frame(CONT, b"b")],
        [text(b"a", **FIRST), text(b"b", **END)],
        [b"p"],
    ),
    "5.9 continues nothing": ([Frame(CONT, b"a"), Frame(TEXT, b"b")], [failed(1002)], []),
    "5.12 continues nothing, not last": ([Frame(CONT, b"a", is_last=False)], [failed(1002)], []),
    "5.18 two texts begun": (
        [Frame(TEXT, b"a", is_last=False), Frame(TEXT, b"b")], [text(b"a", **FIRST), failed(1002)], [],
    ),
    "5 empty fragments": (
        [Frame(TEXT, is_last=False), Frame(CONT, is_last=False), Frame(CONT)],
        [text(b"", **FIRST), text(b"", **MIDDLE), text(b"", **END)],
        [],
    ),
    "5 behind one, another": (
        [Frame(BINARY, b"a", is_last=False), Frame(CONT, b"b"), Frame(TEXT, b"c")],
        [Piece(b"a", False, is_last=False), Piece(b"b", False, is_first=False), text(b"c")],
        [],
    ),
    # 6: UTF-8.
    "6.1 empty": ([Frame(TEXT)], [text(b"")], []),
    "6.2 whole": ([Frame(TEXT, HELLO)], [text(HELLO)], []),
    "6.2 cut inside a letter": (
        [Frame(TEXT, LETTER[:1], is_last=False), Frame(CONT, LETTER[1:])],
        [text(LETTER[:1], **FIRST), text(LETTER[1:], **END)],
        [],
    ),
    "6 ends inside a letter": ([Frame(TEXT, LETTER[:1])], [failed(1007)], []),
    "6 a fragment that cannot go on": (
        [Frame(TEXT, LETTER[:1], is_last=False), Frame(CONT, b"a", is_last=False)],
        [text(LETTER[:1], **FIRST), failed(1007)],
        [],
    ),
    **{
        f"6 {what}": ([Frame(TEXT, b"ok " + data)], [failed(1007)], [])
        for what, data in {
            "overlong": b"\xc0\xaf", "overlong in three": b"\xe0\x80\xaf", "surrogate": b"\xed\xa0\x80",
            "beyond the last": b"\xf4\x90\x80\x80", "five bytes": b"\xf8\x88\x80\x80\x80", "lone": b"\x80",
            "Latin-1": b"\xe4", "FE": b"\xfe",
        }.items()
    },
    "6 binary may be anything": ([Frame(BINARY, b"\xff\xfe")], [Piece(b"\xff\xfe", False)], []),
    "6.5 noncharacters are letters": ([Frame(TEXT, b"\xef\xbf\xbe")], [text(b"\xef\xbf\xbe")], []),
    # 7: closes that are none. Good ones: below.
    "7.3.2 one byte": ([Frame(CLOSE, b"a")], [failed(1002)], []),
    "7.3.6 too long": ([closing(1000, b"r" * 124)], [failed(1002)], []),
    "7.5.1 reason is no UTF-8": ([closing(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80")], [failed(1007)], []),
    **{
        f"7.9 code {code}": ([closing(code)], [failed(1002)], [])
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)
    },
    "7 in pieces": ([Frame(CLOSE, b"\x03\xe8", is_last=False)], [failed(1002)], []),
    "7 inside a message": (
        [Frame(TEXT, b"a", is_last=False), closing(1000)], [text(b"a", **FIRST), failed(1002)], [],
    ),
    # 9: sizes.
    "9 as large as may be": ([Frame(BINARY, bytes(MAX_BYTES))], [Piece(bytes(MAX_BYTES), False)], []),
    "9 one byte more": ([Frame(BINARY, length=MAX_BYTES + 1)], [failed(1009)], []),
    "9 2^63": ([Frame(TEXT, length=2**63)], [failed(1009)], []),
    "9 in pieces": (
        [Frame(BINARY, bytes(MAX_BYTES), is_last=False), Frame(CONT, b"a")],
        [Piece(bytes(MAX_BYTES), False, is_last=False), failed(1009)],
        [],
    ),
    "12 deflated, though declined": ([Frame(TEXT, b"\x00", reserved=4)], [failed(1002)], []),
    "masked wrongly": ([Frame(TEXT, b"a", is_wrongly_masked=True)], [failed(1002)], []),
    "ping masked wrongly": ([Frame(PING, b"a", is_wrongly_masked=True)], [failed(1002)], []),
}  # fmt: skip


def fed(side: Side, pieces: Sequence[bytes]) -> tuple[list[Piece | Closed], bytes, Wire]:
    wire = Wire(side, MAX_BYTES)
    events: list[Piece | Closed] = []
    sent = b""
    for piece in pieces:
        events += wire.receive(piece)
        sent += b"".join(wire.to_send())
    return events, sent, wire


def check(side: Side, frames: Sequence[Frame], expected: Sequence[Piece | int], pongs: Sequence[bytes], cuts) -> None:  # type: ignore[no-untyped-def]
    events, sent, wire = fed(side, cuts(b"".join(frame.to(side) for frame in frames)))
    answers = frames_in(sent, side)
    failure = next((each for each in expected if isinstance(each, int)), None)
    got = [each.code if isinstance(each, Closed) and each.by == "us" else each for each in events]

    assert got == list(expected)
    assert [data for opcode, data in answers if opcode == PONG] == list(pongs)
    closes = [struct.unpack("!H", data[:2])[0] for opcode, data in answers if opcode == CLOSE]
    assert closes == ([] if failure is None else [failure])
    assert wire.is_open == (failure is None)
    assert wire.is_half_closed == (failure is not None and side == "server")
    assert wire.receive(Frame(TEXT, b"more").to(side)) == (() if failure else [text(b"more")])


@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize("case", TABLE.values(), ids=TABLE.keys())
def test_the_table_at_once_and_in_two(
    side: Side, case: tuple[Sequence[Frame], Sequence[Piece | int], Sequence[bytes]]
) -> None:
    check(side, *case, cuts=lambda data: [data])
    check(side, *case, cuts=lambda data: [data[: len(data) // 2], data[len(data) // 2 :]])


SHORT = [name for name, (frames, _, _) in TABLE.items() if sum(len(frame.data) for frame in frames) < 500]


@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize("name", SHORT)
def test_the_table_byte_by_byte(side: Side, name: str) -> None:
    check(side, *TABLE[name], cuts=lambda data: [data[at : at + 1] for at in range(len(data))])


@given(st.sampled_from(SHORT), st.sampled_from(["server", "client"]), st.lists(st.integers(1, 60), max_size=20))
def test_the_table_cut_anywhere(name: str, side: Side, steps: list[int]) -> None:
    def cuts(data: bytes) -> list[bytes]:
        pieces = []
        for step in steps:
            pieces.append(data[:step])
            data = data[step:]
        return [*pieces, data]

    check(side, *TABLE[name], cuts=cuts)


@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize(
    ("frame", "code", "reason"),
    [
        (Frame(CLOSE), NO_CODE, ""),
        (closing(1000, b"r" * 123), 1000, "r" * 123),
        *[(closing(code), code, "") for code in (1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014)],
        *[(closing(code, "ä".encode()), code, "ä") for code in (3000, 3999, 4000, 4999)],
    ],
)
def test_a_close_is_answered_with_the_same(side: Side, frame: Frame, code: int, reason: str) -> None:
    events, sent, wire = fed(side, [frame.to(side) + Frame(TEXT, b"behind it").to(side) + frame.to(side)])

    assert events == [Closed(code, reason, "peer")]
    assert frames_in(sent, side) == [(CLOSE, frame.data)]
    assert wire.is_half_closed == (side == "server")


@pytest.mark.parametrize("side", ["server", "client"])
def test_our_close_is_over_when_it_was_answered_and_what_comes_before_that_is_read(side: Side) -> None:
    wire = Wire(side, MAX_BYTES)
    wire.close(1001, "going")
    wire.close(1000, "twice")

    assert wire.send(b"late", is_text=True) == b""
    assert frames_in(b"".join(wire.to_send()), side) == [(CLOSE, b"\x03\xe9going")]
    assert wire.receive(Frame(TEXT, b"crossed").to(side)) == [text(b"crossed")]
    assert wire.receive(closing(1001).to(side)) == [Closed(1001, "going", "us")]
    assert wire.receive_end() is None


@pytest.mark.parametrize("side", ["server", "client"])
def test_an_end_without_a_close_is_a_loss(side: Side) -> None:
    wire = Wire(side, MAX_BYTES)
    wire.receive(Frame(TEXT, b"half", is_last=False).to(side))

    assert wire.receive_end() == Closed(LOST, "", "peer")
    assert wire.to_send() in ([], ())
    assert Wire(side, MAX_BYTES).lose() == Closed(LOST, "", "peer")


@pytest.mark.parametrize("count", [MOST_FRAGMENTS, MOST_FRAGMENTS + 1])
def test_a_message_has_only_so_many_fragments(count: int) -> None:
    frames = [Frame(TEXT, b"a", is_last=False), *[Frame(CONT, b"b", is_last=False)] * (count - 2), Frame(CONT)]
    events, _, wire = fed("server", [frame.to("server") for frame in frames])

    assert wire.is_open == (count == MOST_FRAGMENTS)
    assert isinstance(events[-1], Closed) == (count > MOST_FRAGMENTS)
    assert wire.closed is None or wire.closed.code == 1008


@pytest.mark.parametrize("side", ["server", "client"])
@given(data=st.binary(max_size=70_000), is_text=st.booleans(), pieces=st.integers(1, 4))
def test_what_one_side_sends_the_other_reads(side: Side, data: bytes, is_text: bool, pieces: int) -> None:
    data = data.hex().encode() if is_text else data
    here, there = Wire(side, MAX_BYTES), Wire("client" if side == "server" else "server", MAX_BYTES)
    size = -(-len(data) // pieces)
    parts = [data[at * size : (at + 1) * size] for at in range(pieces)]
    sent = [here.send(part, is_text, at == 0, at == pieces - 1) for at, part in enumerate(parts)]
    got = there.receive(b"".join(sent))

    assert [(each.is_text, each.is_first, each.is_last) for each in got if isinstance(each, Piece)] == [
        (is_text, at == 0, at == pieces - 1) for at in range(pieces)
    ]
    assert b"".join(each.data for each in got if isinstance(each, Piece)) == data


@pytest.mark.parametrize("size", [0, 125, 126, 127, 65_535, 65_536])
@pytest.mark.parametrize("is_text", [True, False])
def test_a_servers_whole_messages_are_framed_as_the_library_frames_them(size: int, is_text: bool) -> None:
    data = b"x" * size
    by_library = LibraryFrame(Opcode.TEXT if is_text else Opcode.BINARY, data).serialize(mask=False)

    assert Wire("server", MAX_BYTES).send(data, is_text) == by_library


def test_within_a_fragmented_message_no_other_is_sent() -> None:
    wire = Wire("server", MAX_BYTES)
    wire.send(b"a", is_text=True, is_last=False)

    with pytest.raises(ProtocolError):
        wire.send(b"b", is_text=True)


def test_a_peer_that_does_not_read_gets_the_latest_pong_only() -> None:
    wire = Wire("server", MAX_BYTES)
    wire.receive(b"".join(Frame(PING, b"%d" % n).to("server") for n in range(50)))

    assert not wire.to_send(with_pongs=False)
    wire.receive(Frame(PING, b"50").to("server"))
    assert not wire.to_send(with_pongs=False)
    assert frames_in(b"".join(wire.to_send()), "server") == [(PONG, b"50")]
    assert not wire.to_send()
    assert wire.control_frames == 51


def test_after_a_close_no_pong_is_sent_that_waited() -> None:
    wire = Wire("server", MAX_BYTES)
    wire.receive(Frame(PING, b"a").to("server"))
    assert not wire.to_send(with_pongs=False)
    wire.close(1000)

    assert frames_in(b"".join(wire.to_send(with_pongs=False)), "server") == [(CLOSE, b"\x03\xe8")]
    assert not wire.to_send()


def test_codes_that_may_not_be_sent_and_reasons_that_are_too_long_are_mended() -> None:
    for code in (0, 999, 1004, 1006, 1015, 2000, 5000):
        assert not may_be_sent(code)
        wire = Wire("server", MAX_BYTES)
        wire.close(code, "ä" * 100)
        ((_, data),) = frames_in(b"".join(wire.to_send()), "server")
        assert data == b"\x03\xf3" + "ä".encode() * 61
    assert cut("a" * 124) == "a" * 123
    wire = Wire("server", MAX_BYTES)
    wire.close(NO_CODE)
    assert wire.to_send() == [b"\x88\x00"]


def test_nothing_is_logged_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("websockets", "websockets.server", "websockets.client", "llmproxy.websockets"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    fed("server", [Frame(TEXT, b"a secret prompt").to("server"), Frame(7).to("server")])
    fed("client", [Frame(CLOSE).to("client")])

    assert caplog.records == []


@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ([Frame(TEXT, b"\xff")], 1007),
        ([Frame(TEXT, b"", is_last=False), *[Frame(CONT, b"", is_last=False)] * MOST_FRAGMENTS, Frame(CONT)], 1008),
    ],
    ids=["UTF-8", "fragments"],
)
@pytest.mark.parametrize("is_at_once", [True, False])
def test_what_is_wrong_ahead_of_a_close_is_what_ended_the_connection(
    side: Side, wrong: list[Frame], code: int, is_at_once: bool
) -> None:
    pieces = [b"".join(frame.to(side) for frame in wrong), closing(1000, b"bye").to(side)]

    events, sent, wire = fed(side, [b"".join(pieces)] if is_at_once else pieces)

    assert isinstance(events[-1], Closed)
    assert (events[-1].code, events[-1].by) == (code, "us")
    assert [opcode for opcode, _ in frames_in(sent, side)] == [CLOSE]
    assert not wire.is_open
