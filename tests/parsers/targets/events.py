"""Event streams: the scanner of OpenAI's, what holds back an event that is not whole, and who reads one again."""

from collections.abc import Hashable, Sequence
from typing import Any

from adapters.http.sockets.server_frames import events_in, in_lane, with_status
from adapters.telemetry.otel.reply_facts import ReplyFacts
from adapters.upstreams.http1.framing import FRAMINGS, LENGTHS, LINE_END
from adapters.upstreams.openai.streams.event_buffer import EventBuffer
from adapters.upstreams.openai.streams.expected_end import ExpectedStream
from adapters.upstreams.openai.streams.sse import read_whole, split_events
from adapters.upstreams.openai.streams.stream_scanner import OpenAIStreamScanner
from adapters.upstreams.reshape.answer_formats import OpenAIAnswerFormats
from application.messages import Api
from application.store_ports import CachedAnswer, Shape
from tests.parsers.target import Target, cut, led
from tests.parsers.texts import JSON_WORDS, is_json

_SHAPES = (Shape(), Shape(True), Shape(True, '{"include_usage":true}'), Shape(True, '{"include_obfuscation":true}'))
_FORMATS = OpenAIAnswerFormats()


def _streams(data: bytes) -> Hashable:
    variant, data = led(data)
    expected = ExpectedStream(1 + variant % 3, variant & 8 != 0)
    kinds, fed = _fed(cut(data), expected)
    assert _fed([data], expected)[0] == kinds, "cut"
    relayed = _relayed(list(split_events(data)), expected)
    passed = _passed(list(split_events(data)), expected)
    framed = _passed(list(split_events(data)), expected, in_frames=True)
    assert _said(relayed) == _said(passed) == _said(framed), "what passes unread"
    for scanner in (fed, relayed, passed, framed):
        assert is_json(scanner.error_frame("m", "c").strip().rpartition(b"data: ")[2])
    *told, is_body, rest = kinds
    last = tuple((kind, failure and failure.kind) for kind, failure in told[-2:])
    return last, is_body, bool(rest), _said(fed)[:5], _said(relayed)[:5]


def _fed(pieces: Sequence[bytes], expected: ExpectedStream) -> tuple[Sequence[Any], OpenAIStreamScanner]:
    """As before the first content. What of each event is told, and the scanner."""
    scanner = OpenAIStreamScanner(owns_credential=True, expected=expected)
    frames = [frame for piece in pieces for frame in scanner.feed(piece)]
    rest = scanner.finish()
    came = b"".join(frame.data for frame in frames) + rest
    assert came == b"".join(pieces), "bytes in are bytes out"
    told = [(frame.kind, frame.failure) for frame in frames if _has_fields(frame.data)]
    return (*told, scanner.is_body, rest.lstrip(b"\r\n") if _has_fields(rest) else b""), scanner


def _has_fields(event: bytes) -> bool:
    """Comments and empty lines before an event pass as soon as they are there, so with which event is by the cut."""
    return any(line and not line.startswith(b":") for line in event.replace(b"\r", b"\n").split(b"\n"))


def _relayed(pieces: Sequence[bytes], expected: ExpectedStream) -> OpenAIStreamScanner:
    scanner = OpenAIStreamScanner(owns_credential=True, expected=expected)
    came = b"".join([scanner.relay(piece) for piece in pieces])
    assert came + scanner.finish() == b"".join(pieces), "bytes in are bytes out"
    return scanner


def _passed(pieces: Sequence[bytes], expected: ExpectedStream, *, in_frames: bool = False) -> OpenAIStreamScanner:
    """As `_relayed`, but for events that are like the one before; `in_frames`: each as the chunk that it came in."""
    scanner = OpenAIStreamScanner(owns_credential=True, expected=expected)

    def take(_: bytes) -> bool:
        return True

    def read(chunk: bytes) -> bool:
        scanner.relay(chunk)
        return True

    def take_framed(framed: bytes, line: bytes, size: int) -> bool:
        assert len(framed) == len(line) + size + 2
        return True

    pass_on, pass_frame = scanner.passing(take, read), scanner.passing_framed(take_framed)
    for piece in pieces:
        line, size = FRAMINGS[min(len(b"%x\r\n%b\r\n" % (len(piece), piece)), LENGTHS - 1)]
        if not (in_frames and size == len(piece) and pass_frame(line + piece + LINE_END, line, size)):
            pass_on(piece)
    scanner.finish()
    return scanner


def _said(scanner: OpenAIStreamScanner) -> tuple[Hashable, ...]:
    failure = scanner.failure and (scanner.failure.kind, scanner.failure.reason)
    return scanner.noticed, scanner.ended, scanner.is_done, scanner.may_end, scanner.is_told, failure, scanner.usage


def _buffer(data: bytes) -> Hashable:
    buffer, whole = EventBuffer(), EventBuffer()
    pieces = [buffer.take(piece) for piece in cut(data)]
    came, rest = b"".join(pieces), buffer.flush()
    assert came + rest == data
    at_once = whole.take(data)
    assert at_once + whole.flush() == data
    assert b"".join(split_events(data)) == data
    return bool(came), bool(rest), len(rest) > len(data) - len(at_once)


def _kept(data: bytes) -> Hashable:
    """What reads a stream again: the cache, sockets, traces."""
    variant, data = led(data)
    apis = (Api.CHAT, Api.COMPLETIONS, Api.RESPONSES, Api.EMBEDDINGS, Api.MODERATIONS)
    api, shape = apis[variant % 5], _SHAPES[variant // 5 % 4]
    answer = CachedAnswer(shape, (("content-type", "x"),), (data,) if data else (), 0.0)
    is_good = _FORMATS.ended_well(api, answer)
    made = [_FORMATS.reshaped(api, answer, other) for other in _SHAPES]
    if is_good:
        for again in filter(None, made):
            assert _FORMATS.ended_well(api, again), "what is made of a good answer is a good one"
    events = list(events_in(data))
    for event in events:
        if is_json(event.payload):
            assert is_json(in_lane(event.payload, "lane"))
        assert is_json(with_status(event.payload)) or not is_json(event.payload)
    facts = ReplyFacts().and_then(data)
    try:
        count = min(3, len(list(read_whole(data))))
    except ValueError:
        count = -1
    return is_good, [each is not None for each in made].count(True), min(3, len(events)), bool(facts.id), count


_WORDS = (
    *JSON_WORDS, b"data: ", b"data:", b"event: ", b"event: error\n", b": comment\n", b"id: 1\n", b"retry: 1\n", b"\n\n",
    b"\r\n\r\n", b"\r\r", b"\n\r", b"data: [DONE]\n\n", b"\xef\xbb\xbf",
    b'data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n', b'data: {"error":{"code":"x"}}\n\n',
    b'event: response.output_text.delta\n',
    b'data: {"type":"response.output_text.delta","sequence_number":7,"delta":"x"}\n\n',
    b'data: {"type":"response.created","response":{"id":"resp_1","status":"in_progress"}}\n\n',
    b'data: {"type":"response.completed","response":{"id":"r","object":"response","status":"completed","output":[{'
    b'"type":"message","content":[{"type":"output_text","text":"x"}]}]}}\n\n',
)  # fmt: skip
_WHOLE = (
    b'\x00{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":'
    b'"assistant","content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}',
    b'\x01{"id":"c","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"x","finish_reason":'
    b'"stop","logprobs":null}]}',
    b'\x05data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{'
    b'"role":"assistant","content":"x"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    b'\x03{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1]}],"model":"m"}',
    b'\x04{"id":"m","model":"m","results":[{"flagged":false}]}',
)  # fmt: skip

TARGETS = (
    Target("streams", _streams, _WORDS),
    Target("event-buffer", _buffer, _WORDS[-12:]),
    Target("kept-answers", _kept, (*_WORDS, *_WHOLE)),
)
