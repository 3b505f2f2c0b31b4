"""Which chat answers ended well, and the same answer in another shape."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.upstreams.reshape.answer_formats import OpenAIAnswerFormats
from adapters.upstreams.reshape.reshaping import EVENT_STREAM
from application.messages import Api
from application.store_ports import CachedAnswer, Shape
from simulator.content.answers import chat_reply
from simulator.content.questions import ChatQuestion
from simulator.content.streams import chat_stream_reply
from simulator.content.text import Turn
from tests.unit.chat_shapes import (
    DONE,
    NO_PADDING,
    SAFE,
    STREAM,
    STREAM_WITH_USAGE,
    TOKENS_USED,
    USAGE,
    WHOLE,
    completion,
    event,
    events_of,
    kept,
    stream_of,
    texts,
    value_of,
    whole_answer,
    wholes,
)

formats = OpenAIAnswerFormats()


def chunk(*choices: object, **fields: object) -> dict[str, Any]:
    envelope = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "gpt-4.1"}
    return {**envelope, "choices": list(choices), **fields}


def piece(finish_reason: str | None = None, index: int = 0, **delta: object) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def reshaped(answer: CachedAnswer, shape: Shape) -> CachedAnswer | None:
    return formats.reshaped(Api.CHAT, answer, shape)


ROLE, HELLO, END = piece(role="assistant", content="", refusal=None), piece(content="Hello"), piece("stop")
HELLO_STREAM = (
    chunk(ROLE, usage=None, obfuscation="a1"),
    chunk(HELLO, usage=None, obfuscation="b22"),
    chunk(END, usage=None, obfuscation="c"),
    chunk(usage=TOKENS_USED, obfuscation=""),
)


HELLO_WHOLE = completion({"content": "Hello"})


@given(wholes())
def test_a_whole_answer_told_as_a_stream_and_back_is_the_same_json(whole: dict[str, Any]) -> None:
    stream = reshaped(whole_answer(whole), STREAM_WITH_USAGE)
    assert stream is not None
    assert formats.ended_well(Api.CHAT, stream) == formats.ended_well(Api.CHAT, whole_answer(whole))

    assert value_of(reshaped(stream, WHOLE)) == whole


@given(wholes())
def test_the_usage_is_told_at_the_end_if_asked_for_and_else_nowhere(whole: dict[str, Any]) -> None:
    plain = events_of(reshaped(whole_answer(whole), STREAM))
    *chunks, last = events_of(reshaped(whole_answer(whole), STREAM_WITH_USAGE))

    assert last["choices"] == []
    assert last["usage"] == whole["usage"]
    answering = [chunk for chunk in chunks if chunk["choices"]]
    assert all(chunk["usage"] is None for chunk in answering)
    assert not any("usage" in chunk for chunk in plain)
    assert [{**chunk, "usage": None} for chunk in plain if chunk["choices"]] == answering


@given(texts, st.lists(st.integers(0, 30)), st.booleans())
def test_however_a_text_is_cut_into_deltas_the_whole_is_the_same(text: str, cuts: list[int], calls: bool) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    cut = [text[start:end] for start, end in pairwise(edges)]
    function = {"name": "look", "arguments": text}
    if calls:
        head = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": ""}}
        opening = piece(role="assistant", content=None, tool_calls=[head], refusal=None)
        deltas = [piece(tool_calls=[{"index": 0, "function": {"arguments": part}}]) for part in cut]
        end, message = "tool_calls", {"tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
    else:
        opening, deltas = ROLE, [piece(content=part) for part in cut]
        end, message = "stop", {"content": text}

    merged = reshaped(
        stream_of(*map(chunk, [opening, *deltas, piece(end)]), chunk(usage=TOKENS_USED)),
        WHOLE,
    )

    assert value_of(merged) == completion(message, end)


def test_a_whole_answer_is_written_in_the_order_and_with_the_nulls_of_openai() -> None:
    extra = {"service_tier": "default", "system_fingerprint": None}
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answer = reshaped(
        stream_of(
            chunk(piece(role="assistant", content=None, tool_calls=[call]), **extra),
            chunk({"index": 0, "delta": {}, "finish_reason": "tool_calls"}, **extra),
            chunk(usage={"total_tokens": 2}, **extra),
        ),
        WHOLE,
    )

    assert answer is not None
    assert answer.chunks == (
        b'{"id":"chatcmpl-1","object":"chat.completion","created":5,"model":"gpt-4.1","choices":[{"index":0,"message":'
        b'{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f",'
        b'"arguments":"{}"}}],"refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"tool_calls"}],'
        b'"usage":{"total_tokens":2},"service_tier":"default","system_fingerprint":null}',
    )


def test_a_stream_is_told_as_openai_tells_it() -> None:
    calls = [{"id": f"call_{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in (1, 2)]

    events = events_of(reshaped(whole_answer(completion({"content": "Hi", "tool_calls": calls}, "tool_calls")), STREAM))

    def head(index: int) -> dict[str, Any]:
        function = {"name": "f", "arguments": ""}
        return {"index": index, "id": f"call_{index + 1}", "type": "function", "function": function}

    assert events == [
        chunk(ROLE),
        chunk(piece(content="Hi")),
        chunk(piece(tool_calls=[head(0)])),
        chunk(piece(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}])),
        chunk(piece(tool_calls=[head(1)])),
        chunk(piece(tool_calls=[{"index": 1, "function": {"arguments": "{}"}}])),
        chunk(piece("tool_calls")),
    ]


@pytest.mark.parametrize("is_azure", [False, True])
@pytest.mark.parametrize("tool_choice", ["none", "required"])
def test_a_providers_stream_becomes_the_providers_whole_answer(is_azure: bool, tool_choice: str) -> None:
    asked = {"n": 2, "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": tool_choice}
    question = msgspec.convert({**asked, "stream_options": {"include_usage": True}}, ChatQuestion)
    turn = Turn("alpha", "m", 40, "cda029232946", is_azure, "1", 1_700_000_000, 16)
    events = chat_stream_reply(question, turn).events
    assert events is not None

    merged = value_of(reshaped(kept(STREAM_WITH_USAGE, *events.frames()), WHOLE))

    expected = json.loads(chat_reply(question, turn).body)
    for choice in expected["choices"] if is_azure and tool_choice == "required" else ():
        choice["content_filter_results"] = {}  # what Azure's stream says of calls
    assert merged == expected


def test_an_azure_answer_is_told_with_its_filters_verdicts_where_azure_puts_them() -> None:
    verdicts = [{"prompt_index": 0, "content_filter_results": SAFE}]
    whole = {**completion({"content": "Hello"}), "prompt_filter_results": verdicts}
    whole["choices"][0]["content_filter_results"] = SAFE

    preamble = {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": verdicts}
    assert events_of(reshaped(whole_answer(whole), STREAM)) == [
        preamble,
        chunk({**ROLE, "content_filter_results": {}}),
        chunk({**HELLO, "content_filter_results": SAFE}),
        chunk({**END, "content_filter_results": {}}),
    ]


def test_the_last_word_on_tier_and_fingerprint_counts_and_null_is_none() -> None:
    tiers = [{"service_tier": tier} for tier in ("auto", "default", None)]
    chunks = [chunk(choice, **tier) for choice, tier in zip((ROLE, HELLO, END), tiers, strict=True)]

    whole = value_of(reshaped(stream_of(*chunks, chunk(usage=TOKENS_USED, system_fingerprint=None)), WHOLE))

    assert (whole["service_tier"], whole["system_fingerprint"]) == ("default", None)


def test_headers_are_kept_but_for_the_type_and_length_of_the_body() -> None:
    headers = (("x-kept", "1"), ("content-type", "application/json"), ("content-length", "3"))
    stream = reshaped(kept(WHOLE, json.dumps(HELLO_WHOLE).encode(), headers=headers), STREAM_WITH_USAGE)

    assert stream is not None
    assert (stream.shape, stream.stored_unix) == (STREAM_WITH_USAGE, 7.0)
    assert dict(stream.headers) == {"content-type": EVENT_STREAM, "x-kept": "1"}
    whole = reshaped(stream, WHOLE)
    assert whole is not None
    assert dict(whole.headers) == {"content-type": "application/json", "x-kept": "1"}


def test_an_equal_shape_gets_the_very_answer_even_if_it_is_not_understood() -> None:
    junk = kept(Shape(stream=True, options='{"odd":1}'), b"junk")

    assert reshaped(junk, Shape(stream=True, options='{"odd":1}')) is junk


@pytest.mark.parametrize("options", ["", "null", "{}", '{"include_usage":false}', '{"include_obfuscation":true}'])
def test_options_that_mean_the_same_get_the_recorded_bytes(options: str) -> None:
    recorded = stream_of(*HELLO_STREAM[:3], shape=STREAM)

    answer = reshaped(recorded, Shape(stream=True, options=options))

    assert answer is not None
    assert answer.chunks == recorded.chunks
    assert answer.shape.options == options


def test_a_client_that_asked_for_no_usage_gets_the_stream_without_and_with_its_padding() -> None:
    events = events_of(reshaped(stream_of(*HELLO_STREAM), STREAM))

    assert events == [chunk(ROLE, obfuscation="a1"), chunk(HELLO, obfuscation="b22"), chunk(END, obfuscation="c")]


def test_a_client_that_wants_no_padding_gets_the_stream_without_grouped_as_it_was() -> None:
    first, *rest = map(event, HELLO_STREAM)
    recorded = kept(STREAM_WITH_USAGE, b": hello\n\n" + first, b"".join(rest) + DONE)

    answer = reshaped(recorded, Shape(stream=True, options='{"include_obfuscation":false,"include_usage":true}'))

    assert answer is not None
    assert [len(part.split(b"\n\n")) - 1 for part in answer.chunks] == [2, 4]
    assert b"obfuscation" not in b"".join(answer.chunks)
    assert json.loads(answer.chunks[1].split(b"\n\n")[2].removeprefix(b"data: ")) == chunk(usage=TOKENS_USED)


def test_events_without_anything_unwanted_stay_as_they_are_byte_for_byte() -> None:
    plain = [event(chunk(choice)) for choice in (ROLE, HELLO, END)]
    verdict = {"prompt_filter_results": [{"prompt_index": 0}]}

    answer = reshaped(kept(STREAM_WITH_USAGE, *plain, event(chunk(usage=TOKENS_USED, **verdict)), DONE), STREAM)

    assert answer is not None
    assert answer.chunks[:3] == tuple(plain)
    assert events_of(answer)[3] == chunk(**verdict)


@pytest.mark.parametrize(
    "chunks",
    [
        (*map(event, HELLO_STREAM), DONE, event(HELLO_STREAM[1])),
        (*map(event, HELLO_STREAM), b"event: ping\n" + event(HELLO_STREAM[1]), DONE),
        (event(HELLO_STREAM[0])[:40], event(HELLO_STREAM[0])[40:], *map(event, HELLO_STREAM[1:]), DONE),
        (*map(event, HELLO_STREAM[:2]), event(chunk(HELLO, more=1, usage=None)), DONE),
    ],
)
def test_a_stream_that_is_not_understood_is_given_to_nobody_else(chunks: Sequence[bytes]) -> None:
    assert reshaped(kept(STREAM_WITH_USAGE, *chunks), STREAM) is None


@pytest.mark.parametrize(
    ("answer", "shape"),
    [
        (stream_of(*HELLO_STREAM[:3], shape=STREAM), STREAM_WITH_USAGE),
        (stream_of(*HELLO_STREAM[:3], shape=STREAM), WHOLE),
        (stream_of(*HELLO_STREAM), Shape(stream=True, options='{"include_usage":true,"more":1}')),
        (stream_of(*HELLO_STREAM), Shape(stream=True, options='{"include_usage":1}')),
        (stream_of(*HELLO_STREAM, shape=Shape(stream=True, options='{"more":1}')), WHOLE),
        (stream_of(*HELLO_STREAM), Shape(options=USAGE)),
        (stream_of(*HELLO_STREAM[:3], shape=Shape(stream=True, options=NO_PADDING)),
         Shape(stream=True, options='{"include_obfuscation":true}')),
        (whole_answer(HELLO_WHOLE), Shape(stream=True, options='{"include_obfuscation":true}')),
        (whole_answer({**HELLO_WHOLE, "usage": None}), STREAM_WITH_USAGE),
    ],
)  # fmt: skip
def test_what_was_not_recorded_or_is_not_known_is_a_miss(answer: CachedAnswer, shape: Shape) -> None:
    assert reshaped(answer, shape) is None


NAMELESS = {"index": 0, "id": "call_1", "type": "function", "function": {"arguments": "{}"}}
SECOND = {"index": 1, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
UNLIKE = {"hate": {"filtered": False, "severity": "low"}}


@pytest.mark.parametrize(
    "odd",
    [
        chunk(HELLO, more=1),
        chunk({**HELLO, "more": 1}),
        chunk(piece(reasoning_content="hm")),
        chunk(piece(audio={"id": "a"})),
        chunk({**HELLO, "logprobs": {"more": []}}),
        chunk(HELLO, id="chatcmpl-2"),
        chunk(HELLO, id=""),
        chunk(HELLO, created=6),
        chunk(HELLO, usage=TOKENS_USED),
        chunk(usage={"prompt_tokens": 4}),
        chunk(piece(tool_calls=[NAMELESS])),
        chunk(piece(tool_calls=[{**SECOND, "index": 0, "id": None}])),
        chunk(piece(tool_calls=[SECOND])),
        chunk(piece(tool_calls=[{**NAMELESS, "custom": {}}])),
        chunk(piece(role="user")),
        chunk(piece(index=1, content="Hello")),
        chunk(piece("stop", index=2, content="Hello")),
        chunk(piece("length")),
        chunk({**HELLO, "content_filter_results": SAFE}, {**HELLO, "content_filter_results": UNLIKE}),
        {"error": {"message": "It broke."}},
        [],
    ],
)
def test_a_stream_with_something_odd_in_it_is_no_whole_answer(odd: object) -> None:
    role, hello, *rest = HELLO_STREAM

    assert reshaped(stream_of(role, hello, *rest), WHOLE) is not None
    assert reshaped(stream_of(role, odd, hello, *rest), WHOLE) is None


@pytest.mark.parametrize(
    "odd",
    [
        {**HELLO_WHOLE, "more": 1},
        {**HELLO_WHOLE, "object": "odd"},
        {**HELLO_WHOLE, "choices": [{**HELLO_WHOLE["choices"][0], "more": 1}]},
        {**HELLO_WHOLE, "choices": HELLO_WHOLE["choices"] * 2},
        completion({"reasoning_content": "hm"}),
        completion({"tool_calls": [{"id": "1", "type": "custom", "custom": {"name": "f", "input": "x"}}]}),
        completion({"content": "Hi"}, cast(str, None)),
    ],
)
def test_a_whole_answer_with_something_odd_in_it_is_no_stream(odd: object) -> None:
    assert reshaped(whole_answer(HELLO_WHOLE), STREAM) is not None
    assert reshaped(whole_answer(odd), STREAM) is None


def test_halves_of_a_character_become_one_and_a_lone_half_stays_an_escape() -> None:
    deltas = [piece(content="\ud83d"), piece(content="\ude00 and "), piece(content="\ud83d")]
    merged = reshaped(stream_of(*map(chunk, [ROLE, *deltas, END]), chunk(usage=TOKENS_USED)), WHOLE)

    assert merged is not None
    assert value_of(merged)["choices"][0]["message"]["content"] == "\U0001f600 and \ud83d"
    assert value_of(merged)["usage"] == TOKENS_USED
    assert events_of(reshaped(merged, STREAM))[1] == chunk(piece(content="\U0001f600 and \ud83d"))


def test_what_some_clients_take_for_the_end_of_a_line_is_escaped_in_a_stream() -> None:
    text = "a\x85b\u2028c\u2029d"
    answer = reshaped(whole_answer(completion({"content": text})), STREAM)

    assert answer is not None
    assert len(answer.chunks[1].decode().splitlines()) == 2
    assert events_of(answer)[1]["choices"][0]["delta"]["content"] == text


@pytest.mark.parametrize("reason", ["stop", "tool_calls", "function_call"])
@pytest.mark.parametrize("end", [DONE, b""])
def test_an_answer_whose_model_was_done_ended_well(reason: str, end: bytes) -> None:
    chunks = (event(chunk(ROLE)), event(chunk(HELLO, odd=1)), event(chunk(piece(reason))), end)

    assert formats.ended_well(Api.CHAT, kept(STREAM, *chunks))
    assert formats.ended_well(Api.CHAT, kept(STREAM, *chunks[:3], event(chunk({"index": 0, "odd": 1})), end))
    assert formats.ended_well(Api.CHAT, whole_answer({**completion({"content": "Hi"}, reason), "odd": 1}))


@pytest.mark.parametrize("reason", ["length", "content_filter", "error", "", None])
def test_an_answer_that_ended_for_another_reason_did_not_end_well(reason: Any) -> None:
    whole = completion({"content": "Hi"}, reason)
    two = {**whole, "choices": [HELLO_WHOLE["choices"][0], whole["choices"][0]]}

    assert not formats.ended_well(Api.CHAT, whole_answer(whole))
    assert not formats.ended_well(Api.CHAT, whole_answer(two))
    assert not formats.ended_well(Api.CHAT, stream_of(chunk(ROLE), chunk(piece(reason))))
    assert not formats.ended_well(Api.CHAT, stream_of(chunk(ROLE), chunk(piece(reason, index=1)), chunk(END)))


GOOD = (event(chunk(ROLE)), event(chunk(HELLO)), event(chunk(END)))


@pytest.mark.parametrize(
    "chunks",
    [
        (),
        (DONE,),
        (*GOOD[:2], DONE),
        (*GOOD, event({"error": {"message": "It broke."}})),
        (*GOOD, event(chunk(error={"message": "It broke."}))),
        (*GOOD, b"event: error\ndata: {}\n\n"),
        (*GOOD, b"event: ping\n" + GOOD[1]),
        (*GOOD, b"data: {\n\n"),
        (*GOOD, b"data: []\n\n"),
        (*GOOD, b"data: [DONE]\n"),
        (*GOOD, b'data: {"id"'),
        (*GOOD, DONE, GOOD[1]),
        (*GOOD, b"<html>\n\n"),
        (json.dumps(HELLO_WHOLE).encode(),),
    ],
)
def test_a_stream_that_is_cut_or_broken_did_not_end_well(chunks: Sequence[bytes]) -> None:
    assert formats.ended_well(Api.CHAT, kept(STREAM, *GOOD, DONE))
    assert not formats.ended_well(Api.CHAT, kept(STREAM, *chunks))


def test_a_stream_without_done_is_whole_only_with_the_usage_that_was_asked_for() -> None:
    usage = event(chunk(usage=TOKENS_USED))

    assert not formats.ended_well(Api.CHAT, kept(STREAM_WITH_USAGE, *GOOD))
    assert formats.ended_well(Api.CHAT, kept(STREAM_WITH_USAGE, *GOOD, usage))
    assert formats.ended_well(Api.CHAT, kept(STREAM_WITH_USAGE, *GOOD, DONE))


@pytest.mark.parametrize(
    "odd", [{}, [], {"choices": []}, {**HELLO_WHOLE, "error": {"message": "It broke."}}, {**HELLO_WHOLE, "choices": 1}]
)
def test_a_body_without_an_answer_did_not_end_well(odd: object) -> None:
    assert not formats.ended_well(Api.CHAT, whole_answer(odd))


@pytest.mark.parametrize(("coding", "good"), [("gzip", False), ("BR", False), ("identity", True), ("", True)])
def test_a_coded_body_is_left_alone(coding: str, good: bool) -> None:
    answer = kept(WHOLE, json.dumps(HELLO_WHOLE).encode(), headers=(("content-encoding", coding),))

    assert formats.ended_well(Api.CHAT, answer) is good
    assert (reshaped(answer, STREAM) is not None) is good


def test_of_other_apis_nothing_is_known() -> None:
    other, answer = cast(Api, "other"), whole_answer(HELLO_WHOLE)

    assert not formats.ended_well(other, answer)
    assert formats.reshaped(other, answer, STREAM) is None
    assert formats.reshaped(other, answer, WHOLE) is answer


NEARLY = st.sampled_from([*GOOD, DONE, json.dumps(HELLO_WHOLE).encode(), b"[" * 20_000, b"data: ", b'"\\ud83d"', b"\r"])


@given(st.lists(NEARLY | st.binary(), max_size=5), st.booleans(), st.sampled_from(["", USAGE, "{", "\ud83d"]))
def test_no_bytes_raise_anything(chunks: list[bytes], stream: bool, options: str) -> None:
    answer = kept(Shape(stream, options), *chunks)

    assert formats.ended_well(Api.CHAT, answer) in (True, False)
    for shape in (WHOLE, STREAM, STREAM_WITH_USAGE, Shape(stream=True, options=NO_PADDING)):
        converted = reshaped(answer, shape)
        assert converted is None or converted.shape == shape
