"""Which answers of Responses, the older completions, embeddings and moderations ended well, and their other shapes."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.upstreams.reshape.answer_formats import OpenAIAnswerFormats
from adapters.upstreams.reshape.reshaping import EVENT_STREAM
from application.messages import Api
from application.store_ports import CachedAnswer, Shape
from simulator.content.answers import completions_reply, embeddings_reply, moderations_reply
from simulator.content.questions import (
    CompletionsQuestion,
    EmbeddingsQuestion,
    ModerationsQuestion,
    ResponsesQuestion,
)
from simulator.content.responses import make_draft, response_object, response_stream_reply
from simulator.content.streams import completions_stream_reply
from simulator.content.text import Turn
from simulator.protocol.reply import Reply
from tests.unit.chat_shapes import (
    DONE,
    NO_PADDING,
    STREAM,
    STREAM_WITH_USAGE,
    TOKENS_USED,
    WHOLE,
    event,
    events_of,
    kept,
    stream_of,
    texts,
    value_of,
    whole_answer,
)

TURN = Turn("alpha", "m", 40, "cda029232946", False, "1", 1_700_000_000, 16)
PADDED = Shape(stream=True, options='{"include_obfuscation":true}')
UNPADDED = Shape(stream=True, options=NO_PADDING)
formats = OpenAIAnswerFormats()


def frames_of(reply: Reply) -> list[bytes]:
    assert reply.events is not None
    return list(reply.events.frames())


def good(api: Api, answer: CachedAnswer) -> bool:
    return formats.ended_well(api, answer)


# Responses


def asked(**fields: object) -> ResponsesQuestion:
    return msgspec.convert({"model": "m", "store": False, **fields}, ResponsesQuestion)


TOOLS = {"tools": [{"type": "function", "name": "f"}], "tool_choice": "required"}
DRAFT = make_draft(asked(), TURN, "account")
RESPONSE = response_object(DRAFT, "completed")
EVENTS = tuple(frames_of(response_stream_reply(DRAFT)))


def named(kind: str, **fields: object) -> bytes:
    return b"event: %b\n%b" % (kind.encode(), event({"type": kind, **fields}))


def completed(**changed: object) -> bytes:
    return named("response.completed", sequence_number=9, response=RESPONSE | changed)


@pytest.mark.parametrize("extra", [{}, TOOLS])
def test_the_response_at_the_end_of_a_stream_is_the_whole_answer_byte_for_byte(extra: dict[str, Any]) -> None:
    draft = make_draft(asked(**extra), TURN, "account")
    frames = frames_of(response_stream_reply(draft))
    stream = kept(STREAM, *frames, headers=(("content-type", "text/event-stream"), ("x-kept", "1")))

    whole = formats.reshaped(Api.RESPONSES, stream, WHOLE)

    assert good(Api.RESPONSES, stream)
    assert whole is not None
    assert whole.headers == (("content-type", "application/json"), ("x-kept", "1"))
    assert (whole.shape, whole.stored_unix) == (WHOLE, 7.0)
    assert whole.chunks[0] in frames[-1]
    assert value_of(whole) == response_object(draft, "completed")
    assert good(Api.RESPONSES, whole)


def test_the_bytes_of_a_response_stand_as_the_provider_wrote_them() -> None:
    written = (
        b'{"id": "resp_1",  "object":"response","new":1.0,"status":"completed",'
        b'"output":[{"type":"message","content":[{"text":"\\u00e9 \xc3\xa9"}]}]}'
    )
    frame = b'event: response.completed\r\ndata: {"type":"response.completed","response": %b }\r\n\r\n' % written

    whole = formats.reshaped(Api.RESPONSES, kept(STREAM, frame), WHOLE)

    assert good(Api.RESPONSES, kept(STREAM, frame))
    assert whole is not None
    assert whole.chunks == (written,)


def test_a_response_with_half_a_character_is_kept_and_serves_its_own_shape_only() -> None:
    frame = completed(output=[{"type": "message", "content": "\ud83d"}])
    stream = kept(STREAM, named("response.output_text.delta", delta="\ud83d"), frame)

    assert good(Api.RESPONSES, stream)
    assert formats.reshaped(Api.RESPONSES, stream, STREAM) is stream
    assert formats.reshaped(Api.RESPONSES, stream, WHOLE) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
        {"incomplete_details": {"reason": "content_filter"}},
        {"status": "failed", "error": {"code": "server_error", "message": "It broke."}},
        {"error": {"code": "server_error", "message": "It broke."}},
        {"status": "in_progress"},
        {"status": "queued"},
        {"status": None},
        {"store": True},
        {"output": []},
        {"output": None},
        {"output": [{"type": "message", "status": "incomplete"}]},
        {"output": [{"type": "reasoning", "encrypted_content": "gAAAA"}, {"type": "message"}]},
        {"object": "response.compaction"},
    ],
)
def test_a_response_that_is_not_completed_or_ties_to_an_account_is_not_kept(changed: dict[str, Any]) -> None:
    assert good(Api.RESPONSES, whole_answer(RESPONSE))
    assert not good(Api.RESPONSES, whole_answer(RESPONSE | changed))
    assert good(Api.RESPONSES, kept(STREAM, *EVENTS[:-1], completed()))
    assert not good(Api.RESPONSES, kept(STREAM, *EVENTS[:-1], completed(**changed)))


@pytest.mark.parametrize(
    "chunks",
    [
        (),
        EVENTS[:-1],
        (*EVENTS[:-1], DONE),
        (*EVENTS[:-1], EVENTS[-1][:-1]),
        (*EVENTS[:-1], EVENTS[-1][:90]),
        (*EVENTS[:-1], named("error", message="It broke.", code="server_error"), EVENTS[-1]),
        (*EVENTS[:-1], event({"error": {"message": "It broke."}}), EVENTS[-1]),
        (*EVENTS[:-1], named("response.in_progress", error={"message": "It broke."}), EVENTS[-1]),
        (*EVENTS[:-1], named("response.failed", response=RESPONSE | {"status": "failed"}), EVENTS[-1]),
        (*EVENTS[:-1], named("response.incomplete", response=RESPONSE)),
        (*EVENTS[:-1], named("response.cancelled", response=RESPONSE)),
        (*EVENTS, EVENTS[-2]),
        (*EVENTS, EVENTS[-1]),
        (*EVENTS, DONE, EVENTS[-1]),
        (*EVENTS, DONE, DONE),
        (*EVENTS, b"<html>\n\n"),
        (b"data: {\n\n", *EVENTS),
        (b"data: []\n\n", *EVENTS),
        (b"event: error\n" + event({"type": "response.created"}), *EVENTS),
        (json.dumps(RESPONSE).encode(),),
    ],
)
def test_a_stream_of_events_that_is_cut_or_broken_is_not_kept(chunks: Sequence[bytes]) -> None:
    stream = kept(STREAM, *chunks)

    assert not good(Api.RESPONSES, stream)
    assert formats.reshaped(Api.RESPONSES, stream, WHOLE) is None


@pytest.mark.parametrize(
    "chunks", [EVENTS, (*EVENTS, DONE), (*EVENTS, b": done\n\n"), (b"".join(EVENTS),), (b": hello\n\n", *EVENTS)]
)
def test_a_stream_of_events_that_is_completed_is_kept(chunks: Sequence[bytes]) -> None:
    assert good(Api.RESPONSES, kept(STREAM, *chunks))


def test_no_events_are_made_up_for_a_whole_response() -> None:
    answer = whole_answer(RESPONSE)

    assert formats.reshaped(Api.RESPONSES, answer, STREAM) is None
    assert formats.reshaped(Api.RESPONSES, answer, WHOLE) is answer


@pytest.mark.parametrize(
    ("have", "wanted", "serves"),
    [
        (STREAM, PADDED, True),
        (PADDED, STREAM, True),
        (PADDED, UNPADDED, False),
        (UNPADDED, STREAM, False),
        (STREAM, STREAM_WITH_USAGE, False),
        (STREAM, Shape(stream=True, options='{"more":1}'), False),
        (STREAM, Shape(options=NO_PADDING), False),
        (Shape(stream=True, options='{"more":1}'), WHOLE, False),
    ],
)
def test_a_recorded_stream_of_events_serves_who_asked_for_the_same(have: Shape, wanted: Shape, serves: bool) -> None:
    recorded = kept(have, *EVENTS)
    answer = formats.reshaped(Api.RESPONSES, recorded, wanted)

    assert (answer is not None) is serves
    if answer is not None:
        assert (answer.chunks, answer.shape) == (recorded.chunks, wanted)


# The older completions


def text_completion(*choices: object, **fields: object) -> dict[str, Any]:
    return {"id": "cmpl-1", "object": "text_completion", "created": 5, "model": "m", "choices": list(choices), **fields}


def text(said: str, finish_reason: str | None = None, index: int = 0, **fields: object) -> dict[str, Any]:
    return {"text": said, "index": index, "logprobs": None, "finish_reason": finish_reason, **fields}


ONCE = text_completion(text("Once", "stop"), usage=TOKENS_USED)
PIECES = (text_completion(text("On")), text_completion(text("ce")), text_completion(text("", "stop")))
USED = text_completion(usage=TOKENS_USED)


@given(said=st.lists(texts, min_size=1, max_size=3), fingerprint=st.sampled_from([{}, {"system_fingerprint": "fp"}]))
def test_texts_told_as_a_stream_and_back_are_the_same_json(said: list[str], fingerprint: dict[str, Any]) -> None:
    choices = [text(one, "stop", index) for index, one in enumerate(said)]
    whole = text_completion(*choices, usage=TOKENS_USED, **fingerprint)
    stream = formats.reshaped(Api.COMPLETIONS, whole_answer(whole), STREAM_WITH_USAGE)
    assert stream is not None
    assert good(Api.COMPLETIONS, stream) == any(said)

    assert value_of(formats.reshaped(Api.COMPLETIONS, stream, WHOLE)) == whole


def test_a_text_is_told_in_one_piece_then_its_end_then_the_usage_if_it_is_wanted() -> None:
    plain = events_of(formats.reshaped(Api.COMPLETIONS, whole_answer(ONCE), STREAM))
    stream = formats.reshaped(Api.COMPLETIONS, whole_answer(ONCE), STREAM_WITH_USAGE)

    assert plain == [text_completion(text("Once")), text_completion(text("", "stop"))]
    assert events_of(stream) == [*({**chunk, "usage": None} for chunk in plain), USED]
    assert stream is not None
    assert dict(stream.headers) == {"content-type": EVENT_STREAM, "x-kept": "1"}


@given(texts, st.lists(st.integers(0, 30)))
def test_however_a_text_is_cut_the_whole_is_the_same(said: str, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(said)) for cut in cuts), len(said)]
    pieces = [text_completion(text(said[start:end])) for start, end in pairwise(edges)]
    stream = stream_of(*pieces, text_completion(text("", "stop")), USED)

    whole = value_of(formats.reshaped(Api.COMPLETIONS, stream, WHOLE))

    assert whole == text_completion(text(said, "stop"), usage=TOKENS_USED)


def test_a_providers_stream_of_texts_becomes_the_providers_whole_answer() -> None:
    question = msgspec.convert({"n": 2, "stream_options": {"include_usage": True}}, CompletionsQuestion)
    stream = kept(STREAM_WITH_USAGE, *frames_of(completions_stream_reply(question, TURN)))

    whole = value_of(formats.reshaped(Api.COMPLETIONS, stream, WHOLE))

    assert good(Api.COMPLETIONS, stream)
    assert whole == json.loads(completions_reply(question, TURN).body)


@pytest.mark.parametrize("reason", ["length", "content_filter", "tool_calls", "", None])
def test_a_text_that_ended_for_another_reason_is_not_kept(reason: Any) -> None:
    assert good(Api.COMPLETIONS, whole_answer(ONCE))
    assert not good(Api.COMPLETIONS, whole_answer(text_completion(text("Once", reason))))
    assert not good(Api.COMPLETIONS, whole_answer(text_completion(text("Once", "stop"), text("Once", reason, 1))))
    assert good(Api.COMPLETIONS, stream_of(*PIECES))
    assert not good(Api.COMPLETIONS, stream_of(*PIECES[:2], text_completion(text("", reason))))
    assert not good(Api.COMPLETIONS, kept(STREAM, *map(event, PIECES[:2])))


@pytest.mark.parametrize(
    "odd",
    [
        {**PIECES[0], "more": 1},
        {**PIECES[0], "id": "cmpl-2"},
        {**PIECES[0], "object": "chat.completion.chunk"},
        text_completion(text("On", logprobs={"tokens": ["On"]})),
        text_completion(text("On", content_filter_results={})),
        text_completion(text("On", index=2)),
        text_completion(text("On", "stop")),
        USED,
        {"error": {"message": "It broke."}},
        [],
    ],
)
def test_a_stream_of_texts_with_something_odd_in_it_is_no_whole_answer(odd: object) -> None:
    assert formats.reshaped(Api.COMPLETIONS, stream_of(*PIECES, USED), WHOLE) is not None
    assert formats.reshaped(Api.COMPLETIONS, stream_of(PIECES[0], odd, *PIECES[1:], USED), WHOLE) is None


@pytest.mark.parametrize(
    ("answer", "shape"),
    [
        (stream_of(*PIECES, shape=STREAM), WHOLE),
        (stream_of(*PIECES, shape=STREAM), STREAM_WITH_USAGE),
        (stream_of(*PIECES, USED), STREAM),
        (stream_of(*PIECES, USED), Shape(options=NO_PADDING)),
        (stream_of(PIECES[0], USED), WHOLE),
        (stream_of(USED, shape=Shape(stream=True, options='{"more":1}')), WHOLE),
        (whole_answer(ONCE), PADDED),
        (whole_answer({**ONCE, "usage": None}), STREAM_WITH_USAGE),
        (whole_answer({**ONCE, "more": 1}), STREAM),
        (whole_answer(text_completion(text("a", "stop"), text("b", "stop"))), STREAM),
        (whole_answer(text_completion(text("a"))), STREAM),
    ],
)
def test_what_was_not_recorded_of_texts_or_is_not_known_is_a_miss(answer: CachedAnswer, shape: Shape) -> None:
    assert formats.reshaped(Api.COMPLETIONS, answer, shape) is None


def test_options_that_mean_the_same_get_the_recorded_texts() -> None:
    recorded = stream_of(*PIECES, shape=STREAM)
    answer = formats.reshaped(Api.COMPLETIONS, recorded, PADDED)

    assert answer is not None
    assert (answer.chunks, answer.shape) == (recorded.chunks, PADDED)


# Embeddings and moderations


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_embeddings_with_a_vector_for_each_input_are_kept(encoding: str) -> None:
    question = msgspec.convert({"input": ["a", "b"], "encoding_format": encoding}, EmbeddingsQuestion)

    assert good(Api.EMBEDDINGS, kept(WHOLE, embeddings_reply(question, TURN).body))


def test_moderations_with_a_verdict_are_kept() -> None:
    reply = moderations_reply(msgspec.convert({"input": "a"}, ModerationsQuestion), TURN)

    assert good(Api.MODERATIONS, kept(WHOLE, reply.body))


VECTOR = {"object": "embedding", "index": 0, "embedding": [0.5]}
VERDICT = {"flagged": False, "categories": {}}
BROKEN = {"message": "It broke."}


@pytest.mark.parametrize(
    ("api", "odd"),
    [
        (Api.EMBEDDINGS, {"data": []}),
        (Api.EMBEDDINGS, {"data": None}),
        (Api.EMBEDDINGS, {}),
        (Api.EMBEDDINGS, []),
        (Api.EMBEDDINGS, {"data": [VECTOR, {"index": 1}]}),
        (Api.EMBEDDINGS, {"data": [VECTOR, {**VECTOR, "embedding": []}]}),
        (Api.EMBEDDINGS, {"data": [VECTOR, {**VECTOR, "embedding": ""}]}),
        (Api.EMBEDDINGS, {"data": [VECTOR, {**VECTOR, "embedding": None}]}),
        (Api.EMBEDDINGS, {"data": [VECTOR], "error": BROKEN}),
        (Api.EMBEDDINGS, {"results": [VERDICT]}),
        (Api.MODERATIONS, {"results": []}),
        (Api.MODERATIONS, {"results": [{}]}),
        (Api.MODERATIONS, {"results": [VERDICT], "error": BROKEN}),
        (Api.MODERATIONS, {"data": [VECTOR]}),
    ],
)
def test_what_lacks_a_result_is_not_kept(api: Api, odd: object) -> None:
    assert good(Api.EMBEDDINGS, whole_answer({"data": [VECTOR]}))
    assert good(Api.MODERATIONS, whole_answer({"results": [VERDICT]}))
    assert not good(api, whole_answer(odd))


@pytest.mark.parametrize(
    ("api", "value"), [(Api.EMBEDDINGS, {"data": [VECTOR]}), (Api.MODERATIONS, {"results": [VERDICT]})]
)
def test_of_lists_there_is_one_shape(api: Api, value: object) -> None:
    answer = whole_answer(value)

    assert formats.reshaped(api, answer, WHOLE) is answer
    assert formats.reshaped(api, answer, STREAM) is None
    assert not good(api, kept(STREAM, *answer.chunks))


# All of them

APIS = (Api.RESPONSES, Api.COMPLETIONS, Api.EMBEDDINGS, Api.MODERATIONS)
ANSWERS = {
    Api.RESPONSES: RESPONSE,
    Api.COMPLETIONS: ONCE,
    Api.EMBEDDINGS: {"data": [VECTOR]},
    Api.MODERATIONS: {"results": [VERDICT]},
}


@pytest.mark.parametrize("api", APIS)
def test_a_coded_body_is_not_kept(api: Api) -> None:
    body = json.dumps(ANSWERS[api]).encode()

    assert good(api, kept(WHOLE, body, headers=(("content-encoding", "identity"),)))
    assert not good(api, kept(WHOLE, body, headers=(("content-encoding", "gzip"),)))


@pytest.mark.parametrize("api", [Api.STORED, Api.OTHER])
def test_of_what_is_stored_and_of_other_paths_nothing_is_kept(api: Api) -> None:
    assert not any(good(api, whole_answer(value)) for value in ANSWERS.values())
    assert formats.reshaped(api, kept(STREAM, *EVENTS), WHOLE) is None


NEARLY = st.sampled_from(
    [*EVENTS, *map(event, PIECES), event(USED), DONE, b"data: ", b"[" * 20_000, b'{"data":[{"embedding":' + b"[" * 9000]
    + [json.dumps(value).encode() for value in ANSWERS.values()]
)  # fmt: skip


@pytest.mark.parametrize("api", APIS)
@given(chunks=st.lists(NEARLY | st.binary(), max_size=5), stream=st.booleans(), options=st.sampled_from(["", "{"]))
def test_no_bytes_raise_anything(api: Api, chunks: list[bytes], stream: bool, options: str) -> None:
    answer = kept(Shape(stream, options), *chunks)

    assert good(api, answer) in (True, False)
    for shape in (WHOLE, STREAM, STREAM_WITH_USAGE, UNPADDED):
        converted = formats.reshaped(api, answer, shape)
        assert converted is None or converted.shape == shape
