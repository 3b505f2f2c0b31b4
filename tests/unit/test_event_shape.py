"""Events like the one before pass unread: whatever stands in them, that is told from reading them by nobody."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.upstreams.openai.streams.event_shape import EventShape
from adapters.upstreams.openai.streams.stream_scanner import OpenAIStreamScanner

CHAT = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "@"}, "finish_reason": None}]}
HIDDEN = {**CHAT, "usage": None, "obfuscation": "aB3"}
RESPONSES = {
    "type": "response.output_text.delta",
    "sequence_number": 7,
    "item_id": "msg_1",
    "delta": "@",
    "logprobs": [],
    "obfuscation": "aB3",
}
PLAIN_EVENTS = [CHAT, HIDDEN, RESPONSES]
BITS = [
    *(b'"', b"\\", b"}", b"]", b",", b"{", b"\n", b"\n\n", b"\r", b"\r\r", b"\r\n\r\n", b"\x00", b"\xff", b" "),
    *(b"[DONE]", b"error", b'"error":{', b'"error":"x"', b'"finish_reason":"stop"', b'"usage":{"prompt_tokens":3}'),
    *(
        b"\n\ndata: [DONE]\n\n",
        b"event: error\n",
        b"response.completed",
        b'"content":"',
        b'"delta":"',
        b'"obfuscation":"',
    ),
]


def event(payload: object, compact: bool = True) -> bytes:
    return b"data: %b\n\n" % json.dumps(payload, separators=(",", ":") if compact else None).encode()


def passed_unread(*events: bytes) -> list[bytes]:
    scanner = OpenAIStreamScanner(owns_credential=True)
    unread: list[bytes] = []

    def read(chunk: bytes) -> bool:
        scanner.relay(chunk)
        return True

    def take(chunk: bytes) -> bool:
        unread.append(chunk)
        return True

    pass_on = scanner.passing(take, read)
    for one in events:
        pass_on(one)
    return unread


def said(scanner: OpenAIStreamScanner) -> tuple[object, ...]:
    failure = scanner.failure and (scanner.failure.kind, scanner.failure.reason)
    return scanner.noticed, scanner.ended, scanner.is_done, scanner.may_end, scanner.is_told, failure, scanner.usage


def named(payload: dict[str, object], text: str) -> bytes:
    return event(payload).replace(b"@", json.dumps(text)[1:-1].encode())


@pytest.mark.parametrize("payload", PLAIN_EVENTS)
def test_what_is_like_the_event_before_passes_unread(payload: dict[str, object]) -> None:
    texts = [" token", "", "é", "a\nline", 'a quote: "', "\\", "[DONE]", "x" * 50_000]

    assert passed_unread(named(payload, ""), *(named(payload, text) for text in texts))[-8:] == [
        named(payload, text) for text in texts
    ]


@pytest.mark.parametrize("payload", PLAIN_EVENTS)
def test_several_events_at_once_pass_unread_as_well(payload: dict[str, object]) -> None:
    several = b"".join(named(payload, text) for text in [" token", "", "a\nline", "[DONE]"])

    assert passed_unread(named(payload, ""), several, several) == [several, several]


@pytest.mark.parametrize(
    "other",
    [
        named(CHAT, "a\nline").replace(b"\\n", b"\\u00g0"),
        named(CHAT, "a\nline" * 20_000),
        event({**CHAT, "usage": {"prompt_tokens": 3}}),
        event({"choices": [{"index": 0, "delta": {"content": "@"}, "finish_reason": "stop"}]}),
        event(CHAT)[:-1],
        event(CHAT) + b"data: [DONE]\n\n",
        event(CHAT) + event({**CHAT, "usage": {"prompt_tokens": 3}}) + event(CHAT),
        event(CHAT).replace(b'"@"', b'"'),
        event(CHAT).replace(b"@", b"x\n\ndata: y"),
        event(CHAT).replace(b"@", b"x\\"),
        event(CHAT).replace(b"\n\n", b"\r\n\r\n"),
    ],
)
def test_what_differs_in_more_than_its_text_is_read(other: bytes) -> None:
    assert other not in passed_unread(event(CHAT), event(CHAT), event(CHAT), other)


def test_after_the_end_of_a_choice_everything_is_read() -> None:
    end = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    unread = passed_unread(event(CHAT), event(CHAT), event(CHAT), end, event(CHAT), event(CHAT))

    assert unread == [event(CHAT), event(CHAT)]


def test_an_event_that_comes_in_pieces_is_put_together() -> None:
    unread = passed_unread(event(CHAT), event(CHAT), event(CHAT)[:9], event(CHAT), event(CHAT))

    assert unread == [event(CHAT)]  # the one before the pieces


def test_a_shape_needs_both_its_parts() -> None:
    shape = EventShape()
    whole = b'data: {"content":"a"}\n\n'
    shape.learn(whole)
    unread: list[bytes] = []
    pass_on = shape.passing(lambda chunk: unread.append(chunk) or True, lambda _: True)

    for one in (whole, whole.replace(b'"a"', b'"'), whole.replace(b'a"}', b"}"), whole):
        pass_on(one)
    assert unread == [whole, whole]


def framed(event: bytes) -> tuple[bytes, bytes, int]:
    """An event as it comes in a chunk of its own."""
    line = b"%x\r\n" % len(event)
    return line + event + b"\r\n", line, len(event)


@pytest.mark.parametrize("size", [30, 255, 256, 257, 2000])
def test_an_event_passes_in_its_framing_where_it_passes_without(size: int) -> None:
    shape = EventShape()
    around = b'data: {"content":"@"}\n\n'
    shape.learn(around)
    passed: list[bytes] = []
    pass_on = shape.passing_framed(lambda framed, line, size: passed.append(framed) or True)
    like = around.replace(b"@", b"x" * (size - len(around) + 1))
    whole, line, _ = framed(like)

    assert len(like) == size
    assert pass_on(whole, line, size)
    assert passed == [whole]
    for other in (whole[:-1], b" " + whole[1:], whole.replace(b'x"', b'""'), whole + whole, whole[:-2] + b"\n\n"):
        assert not pass_on(other, line, size)
    assert not pass_on(*framed(around.replace(b"content", b"error12")))
    shape.forget()
    assert not pass_on(whole, line, size)


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Events of one kind, of which some are tampered with."""
    payload = draw(st.sampled_from(PLAIN_EVENTS))
    plain = event(payload, draw(st.booleans()))
    events = [plain, plain]
    for _ in range(draw(st.integers(1, 6))):
        text = draw(st.sampled_from([b"x", b" words", *BITS]))
        one = plain.replace(b"@", text)
        if draw(st.booleans()):
            at, bit = draw(st.integers(0, len(one))), draw(st.sampled_from(BITS))
            one = one[:at] + bit + one[at + draw(st.integers(0, 3)) :]
        events.append(one)
    sizes = draw(st.lists(st.integers(1, 3), min_size=len(events), max_size=len(events)))
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    return [
        chunk for start, size in zip(starts, sizes, strict=True) if (chunk := b"".join(events[start : start + size]))
    ]


@given(streams(), st.booleans())
def test_unread_or_read_a_stream_says_the_same(events: list[bytes], in_chunks: bool) -> None:
    quick, thorough = OpenAIStreamScanner(owns_credential=True), OpenAIStreamScanner(owns_credential=True)
    first, *rest = events  # which is read, to know that it is content
    for scanner in (quick, thorough):
        scanner.feed(first)
    out: list[bytes] = []

    def take(chunk: bytes) -> bool:
        out.append(chunk)
        return True

    pass_on = quick.passing(take, lambda chunk: take(quick.relay(chunk)))
    pass_framed = quick.passing_framed(lambda chunk, line, _: take(chunk[len(line) : -2]))
    for number, one in enumerate(rest):
        if not (in_chunks and pass_framed(*framed(one))):
            pass_on(one)
        assert b"".join(out) == b"".join([*out[:number], thorough.relay(one)])
        assert said(quick) == said(thorough)
        assert quick.pending_bytes == thorough.pending_bytes
