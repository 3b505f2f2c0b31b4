"""What a reply says that it made: only what the provider itself calls so."""

import json
from typing import Any

import pytest

from adapters.upstreams.stored_things.claims import claims

A = "resp_of_somebody_else_0123456789"


def made(reply: Any, *, is_dialogue: bool = True) -> set[str]:
    return set(claims(json.dumps(reply).encode(), is_dialogue=is_dialogue))


def event(data: Any) -> bytes:
    return b"event: x\r\ndata: " + json.dumps(data).encode() + b"\r\n\r\n"


def test_a_response_its_items_and_what_its_tools_left_in_containers() -> None:
    note = {"type": "container_file_citation", "container_id": "cntr_2", "file_id": "cfile_1"}
    items = [
        {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "x", "annotations": [note]}]},
        {"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1"},
    ]
    reply = {"id": "resp_1", "object": "response", "output": items}
    expected = {"resp_1", "msg_1", "ci_1", "cntr_1", "cntr_2", "cfile_1"}

    assert made(reply) == expected
    stream = event({"type": "response.created", "response": {"id": "resp_1", "output": []}})
    stream += event({"type": "response.output_item.added", "item": items[1]}) + b": comment\n\n"
    stream += event({"type": "response.completed", "response": reply}) + b"data: [DONE]\n\n"
    assert set(claims(stream, is_dialogue=True)) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ({"id": "batch_1", "output_file_id": "f-1", "error_file_id": None, "input_file_id": "f-0"}, {"batch_1", "f-1"}),
        ({"id": "upload_1", "file": {"id": "f-1"}}, {"upload_1", "f-1"}),
        ({"id": "ftjob-1", "result_files": ["f-1"], "fine_tuned_model": "ft:x"}, {"ftjob-1", "f-1", "ft:x"}),
        ({"id": "run_1", "thread_id": "thread_1"}, {"run_1", "thread_1"}),
        (
            {"id": "vs_1", "output": [{"id": A}], "data": [{"id": A}], "response": {"id": A}, "item": {"id": A}},
            {"vs_1"},
        ),
    ],
)
def test_of_other_things_what_they_are_called_and_what_came_of_them(reply: Any, expected: set[str]) -> None:
    assert made(reply, is_dialogue=False) == expected


def test_a_completion_and_its_audio_whole_and_streamed() -> None:
    assert made({"id": "chatcmpl-1", "choices": [{"message": {"audio": {"id": "audio_1"}}}]}) == {
        "chatcmpl-1",
        "audio_1",
    }
    stream = event({"id": "chatcmpl-1", "choices": [{"delta": {"audio": {"id": "audio_1"}}}]})
    assert set(claims(stream, is_dialogue=True)) == {"chatcmpl-1", "audio_1"}


@pytest.mark.parametrize(
    "reply",
    [
        {"id": "resp_1", "metadata": {"id": A, "x": A}},
        {"id": "resp_1", "output": [{"type": "message", "content": [{"type": "output_text", "text": A}]}]},
        {"id": "resp_1", "output": [{"type": "mcp_list_tools", "tools": [{"input_schema": {"id": A}, "id": A}]}]},
        {"id": "resp_1", "output": [{"type": "function_call", "arguments": A, "name": A, "call_id": A}]},
        {"id": "resp_1", "tools": [{"id": A, "vector_store_ids": [A]}], "previous_response_id": A},
        {"id": "resp_1", "text": {"format": {"schema": {"id": A}}}, "instructions": A, "prompt": {"id": A}},
        {"id": "resp_1", "error": {"id": A}},
    ],
)
def test_words_of_a_model_or_a_client_make_nothing_ones_own(reply: Any) -> None:
    assert made(reply) == {"resp_1"}
    assert set(claims(event({"type": "response.completed", "response": reply}), is_dialogue=True)) == {"resp_1"}


@pytest.mark.parametrize("delta", [{"delta": A}, {"type": "x", "text": A}, {"arguments": A}])
def test_nor_do_the_pieces_of_a_stream(delta: Any) -> None:
    assert claims(event(delta), is_dialogue=True) == ()


def test_half_an_emoji_forgets_nothing_and_junk_says_nothing() -> None:
    assert claims(b'{"id":"resp_1","text":"\\ud83d"}', is_dialogue=True) == ("resp_1",)
    assert made({"id": "resp_1", "x": [0] * 200_001}) == {"resp_1"}
    for junk in (b"", b"{", b"[1]", b"data: {", b"data: 1", b'{"id":7,"output":"x","data":[1],"choices":{}}'):
        assert claims(junk, is_dialogue=True) == ()
