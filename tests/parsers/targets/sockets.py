"""WebSockets: the frames of either side, and what clients say on a Responses socket."""

from collections.abc import Hashable, Sequence

from adapters.http.sockets.client_frames import Addition, BadFrame, Cancel, Create, client_event
from adapters.http.sockets.server_frames import (
    cancelled,
    error_frame,
    event_of,
    is_thought,
    kept_items,
    reply_frame,
    response_in,
    with_status,
)
from adapters.websocket.messages import Closed, Piece
from adapters.websocket.wire import Wire
from tests.parsers.target import Target, cut, led
from tests.parsers.texts import JSON_WORDS, by_json, is_json
from tests.websocket_frames import BINARY, CLOSE, CONT, PING, TEXT, Frame, Side, closing, frames_in

_MAX_MESSAGE_BYTES = 1000


def _frames(data: bytes) -> Hashable:
    variant, data = led(data)
    side: Side = "server" if variant % 2 else "client"
    whole, sent = _received(side, [data])
    pieces, sent_in_pieces = _received(side, cut(data))
    answers = frames_in(b"".join(sent), side)
    if not _breaks_two_rules(whole, pieces):
        assert pieces == whole, "cut"
        assert frames_in(b"".join(sent_in_pieces), side) == answers, "cut"
    assert all(opcode in (CLOSE, 10) for opcode, _ in answers)
    messages = [each for each in whole if isinstance(each, Piece)]
    closed = whole[-1] if whole and isinstance(whole[-1], Closed) else None
    _check_messages(messages, is_cut=closed is not None)
    return min(3, len(messages)), closed and (closed.code, closed.by), len(answers) > 0


def _breaks_two_rules(whole: Sequence[Piece | Closed], pieces: Sequence[Piece | Closed]) -> bool:
    """Which is told first is a matter of pieces."""
    ends = [each[-1] for each in (whole, pieces) if each]
    return len(ends) == 2 and all(isinstance(end, Closed) and end.by == "us" and end.code != 1000 for end in ends)


def _received(side: Side, pieces: Sequence[bytes]) -> tuple[list[Piece | Closed], list[bytes]]:
    wire = Wire(side, _MAX_MESSAGE_BYTES)
    found: list[Piece | Closed] = []
    sent: list[bytes] = []
    for piece in pieces:
        came = wire.receive(piece)
        assert not (came and found and isinstance(found[-1], Closed)), "nothing comes after the end"
        found += came
        sent += wire.to_send()
    return found, sent


def _check_messages(pieces: Sequence[Piece], is_cut: bool) -> None:
    message = b""
    for piece in pieces:
        message = piece.data if piece.is_first else message + piece.data
        assert len(message) <= _MAX_MESSAGE_BYTES
        if piece.is_last and piece.is_text:
            message.decode()
    assert sum(piece.is_first for piece in pieces) - sum(piece.is_last for piece in pieces) in (0, 1)


def _client_events(data: bytes) -> Hashable:
    """A message of text, which the framing holds to UTF-8."""
    data = data.decode("utf-8", "ignore").encode()
    try:
        event = client_event(data)
    except BadFrame as bad:
        assert is_json(error_frame(str(bad), bad.code, 400, bad.lane, param=bad.param))
        return bad.code
    if isinstance(event, Cancel | Addition):
        return type(event).__name__, bool(event.response_id)
    if not isinstance(event, Create):
        return type(event).__name__
    item = b'{"type":"message"}'
    for body in (event.body(), event.body([item], "resp_1"), event.with_items([item]).body(previous="")):
        assert is_json(body)
    other = by_json(data)
    if isinstance(other, dict):
        made = by_json(event.body())
        assert made.get("stream") is True
        assert repr(made.get("model")) == repr(other.get("model"))
        assert made.get("store") == other.get("store")
    return event.generate, event.is_stored, min(2, len(event.items)), bool(event.previous), bool(event.lane)


def _server_frames(data: bytes) -> Hashable:
    variant, data = led(data)
    told = reply_frame(400 + variant, ["x-request-id: r", "date: x"], data, "lane" if variant % 2 else "")
    assert is_json(told)
    assert is_json(cancelled(data))
    status = with_status(data)
    assert is_json(status) or status == data
    response = response_in(data)
    kept = kept_items(response.output)
    return event_of(data).type, response.id == "", min(2, len(kept)), is_thought(data), status == data


def _peer(*frames: Frame) -> tuple[bytes, bytes]:
    return b"\x01" + b"".join(frame.to("server") for frame in frames), b"\x00" + b"".join(
        frame.to("client") for frame in frames
    )


_FRAMES = (
    *_peer(Frame(TEXT, b"hello"), Frame(PING, b"p")),
    *_peer(Frame(TEXT, "é".encode()[:1], is_last=False), Frame(CONT, "é".encode()[1:])),
    *_peer(Frame(BINARY, b"\0" * 200), closing(1000, b"bye")),
    *_peer(Frame(BINARY, b"x", is_last=False), Frame(PING), Frame(CONT, b"y")),
    *_peer(Frame(TEXT, b"x", reserved=4)),
    *_peer(Frame(TEXT, b"x", length=1001)),
    *_peer(Frame(TEXT, b"x", long_form=64)),
    *_peer(Frame(CLOSE)),
    *_peer(closing(1005)),
    *_peer(closing(4000, b"\xff")),
)

TARGETS = (
    Target("websocket-frames", _frames, _FRAMES),
    Target(
        "client-events",
        _client_events,
        (
            *JSON_WORDS, b'{"type":"response.create","model":"m","input":"hi"}', b'"stream_id":"a"',
            b'"generate":false',
            b'{"type":"response.create","store":false,"input":[{"role":"user"}],"previous_response_id":"resp_1"}',
            b'"background":false',
            b'{"type":"response.cancel","response_id":"resp_1"}',
            b'{"type":"response.steer","previous_response_id":"r","input":[]}',
            b'"prompt_cache_options":{"prewarm":true}', b'"include":["x"]', b'{"type":"response.processed"}',
            b'"temperature":0',
        ),
    ),
    Target(
        "server-events",
        _server_frames,
        (
            *JSON_WORDS,
            b'\x00{"type":"error","error":{"code":"rate_limit_exceeded","message":"m"},"sequence_number":3}',
            b'\x00{"type":"response.created","response":{"id":"r","output":[{"type":"reasoning","encrypted_content":"x"}]}}',
            b'{"status":"incomplete"}', b'\x01{"error":{"code":1}}', b'"error_type":"x"',
        ),
    ),
)  # fmt: skip
