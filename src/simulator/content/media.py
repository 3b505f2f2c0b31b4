"""What is heard and seen: speech, what was said, pictures. Bytes of the right kind of file, and of no meaning."""

import base64
from typing import Any

from simulator.content.questions import MediaQuestion
from simulator.content.text import Ask, Turn
from simulator.protocol.reply import EVENT_STREAM, EventStream, Reply, encode_json, json_reply

_MP3_FRAME = b"\xff\xfb\x90\x00" + bytes(413)
"""Of silence: MPEG 1, layer III, 128 kbit/s, 44.1 kHz."""
_FRAMES_A_WORD = 12
_PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"
    b"\x00\x00\x00\nIDATx\x9cc\x00\x01\x00\x00\x05\x00\x01\r\n-\xb4\x00\x00\x00\x00IEND\xaeB`\x82"
).decode()
"""One pixel."""


def media_reply(operation: str, question: MediaQuestion, turn: Turn) -> Reply:
    """The answer to POST audio/... or images/...."""
    if operation == "speech":
        words = len(question.input.split())
        return Reply(200, _MP3_FRAME * _FRAMES_A_WORD * max(1, words), b"audio/mpeg", works=True)
    return _image_reply(question, turn) if operation == "image" else _transcript_reply(question, turn)


def _transcript_reply(question: MediaQuestion, turn: Turn) -> Reply:
    content = turn.compose(Ask())
    if question.is_streamed:
        deltas = (_event("transcript.text.delta", {"delta": piece}) for piece in content.pieces)
        events = EventStream([], deltas, [_event("transcript.text.done", {"text": content.text})])
        return Reply(200, content_type=EVENT_STREAM, events=events, works=True)
    if question.response_format in ("text", "srt", "vtt"):
        return Reply(200, f"{content.text}\n".encode(), b"text/plain; charset=utf-8", works=True)
    return json_reply(200, {"text": content.text}, works=True)


def _image_reply(question: MediaQuestion, turn: Turn) -> Reply:
    usage = {"input_tokens": turn.prompt_tokens, "output_tokens": 1, "total_tokens": turn.prompt_tokens + 1}
    if question.is_streamed:
        done = _event("image_generation.completed", {"b64_json": _PNG, "created_at": turn.created_s, "usage": usage})
        return Reply(200, content_type=EVENT_STREAM, events=EventStream([], iter(()), [done]), works=True)
    count = int(question.n or 1)
    return json_reply(
        200, {"created": turn.created_s, "data": [{"b64_json": _PNG}] * count, "usage": usage}, works=True
    )


def _event(kind: str, fields: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), encode_json({"type": kind, **fields}))
