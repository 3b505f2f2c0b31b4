"""What a request refers to, where it decides who may read what."""

import json
from typing import Any

import pytest

from adapters.upstreams.stored_things.references import form_references, query_references, references

ID = "file-XjGxS3KTG0uNmNOK362iJua3"
SHORT = "shape-of-another-provider"


def named(body: Any) -> tuple[str, ...]:
    return tuple(references(json.dumps(body).encode()).ids)


@pytest.mark.parametrize(
    "body",
    [
        {"previous_response_id": SHORT},
        {"conversation": SHORT},
        {"conversation": {"id": SHORT}},
        {"conversation": {"type": "message", "role": "user", "content": "x", "id": SHORT}},
        {"input": [{"type": "item_reference", "id": SHORT}]},
        {"input": [{"id": SHORT}]},
        {"input": [{"type": None, "id": SHORT}]},
        {"input": [{"type": 1, "id": SHORT, "encrypted_content": "x"}]},
        {"input": [{"type": "reasoning", "id": SHORT, "encrypted_content": ""}]},
        {"input": [{"type": "image_generation_call", "id": SHORT}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": SHORT}]}]},
        {"input": [{"type": "function_call_output", "output": [{"type": "input_image", "file_id": SHORT}]}]},
        {"input": [{"type": "mcp_approval_response", "approval_request_id": SHORT}]},
        {"tools": [{"type": "file_search", "vector_store_ids": [SHORT]}]},
        {"tools": [{"type": "code_interpreter", "container": SHORT}]},
        {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": [SHORT]}}]},
        {"tools": [{"type": "image_generation", "input_image_mask": {"file_id": SHORT}}]},
        {"tools": [{"type": "shell", "environment": {"skills": [{"type": "skill_reference", "skill_id": SHORT}]}}]},
        {"messages": [{"role": "assistant", "content": "x", "audio": {"id": SHORT}}]},
        {"messages": [{"role": "assistant", "content": "x", "audio": {"type": "function", "id": SHORT}}]},
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": SHORT}}]}]},
        {"audio": {"voice": {"id": SHORT}}},
        {"prompt": {"id": "pmpt_1", "variables": {"a": {"type": "input_file", "file_id": SHORT}}}},
        {"data_source": {"source": {"type": "file_id", "id": SHORT}}},
        {"input_file_id": SHORT},
        {"training_file": SHORT},
        {"File_ID": SHORT},
        {"file_\u017fid_x": "x", "FILE_ID": SHORT},
        {"part_ids": [SHORT]},
        {"tool_resources": {"file_search": {"vector_stores": [{"file_ids": [SHORT]}]}}},
    ],
)
def test_every_way_to_refer_to_something_is_seen_whatever_its_id_looks_like(body: Any) -> None:
    assert named(body) == (SHORT,)


@pytest.mark.parametrize("body", [{"new_field": ID}, {"new": [{"deep": [[ID]]}]}, {"reference": {"x": ID}}])
def test_what_can_only_be_an_id_is_one_wherever_it_stands(body: Any) -> None:
    assert named(body) == (ID,)


@pytest.mark.parametrize(
    "body",
    [
        {"input": ID},
        {"input": [ID, "batch_abc"]},
        {"input": [{"role": "user", "content": ID}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": ID}]}]},
        {"metadata": {"file_id": ID, "id": ID, "batch": ID}},
        {"tools": [{"type": "function", "name": "run_python3_code", "parameters": {"properties": {"a": [ID]}}}]},
        {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"id": ID}}}},
        {"new_field": "file_search_v2"},
        {"new_field": "batch_17"},
        {"prompt": {"id": "pmpt_68a1b2c3d4e5f6a7b8c9"}},
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "call_1", "function": {"arguments": ID}}]}]},
        {"messages": [{"role": "tool", "tool_call_id": "call_1", "content": "x", "id": "message-1"}]},
        {"input": [{"type": "function_call_output", "call_id": "call_1", "output": ID}]},
        {"user": ID, "safety_identifier": ID, "prompt_cache_key": ID},
        {"previous_response_id": None, "conversation": None},
        {"previous_response_id": ""},
    ],
)  # fmt: skip
def test_words_are_no_references(body: Any) -> None:
    assert named(body) == ()


def test_what_an_item_with_all_its_content_is_called_refers_to_nothing() -> None:
    items = [
        {"type": "message", "role": "user", "content": "x", "id": "a"},
        {"type": "function_call", "id": "b", "call_id": "c", "arguments": "{}"},
        {"type": "reasoning", "id": "d", "encrypted_content": "gAAAA"},
    ]
    found = references(json.dumps({"input": items}).encode())

    assert (found.ids, found.whole) == ((), ("a", "b", "d"))


@pytest.mark.parametrize(
    "text",
    [
        b'{"file_id":"%b","file_id":"x"}' % ID.encode(),
        b'{"file_id":"x","file_id":"%b"}' % ID.encode(),
        b'{"file\\u005fid":"file\\u002dXjGxS3KTG0uNmNOK362iJua3"}',
        b'{"file_id":"\\u0066ile-XjGxS3KTG0uNmNOK362iJua3","x":"\\ud83d"}',
        b'{"input":[{"type":"message","type":"item_reference","id":"%b"}]}' % ID.encode(),
        b'{"input":[{"type":"item_reference","id":"%b","type":"message"}]}' % ID.encode(),
        b'{"conversation":{"id":"%b","id":null}}' % ID.encode(),
    ],
)
def test_no_spelling_hides_one(text: bytes) -> None:
    assert ID in references(text).ids


@pytest.mark.parametrize("text", [b"{", b"{} x", b'{"a":1} {"b":2}', b"[" * 100_000, b"\xff"])
def test_what_is_no_json_is_no_answer(text: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        references(text)


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("file_id", SHORT, (SHORT,)),
        ("FILE_ID", SHORT, (SHORT,)),
        ("input_reference[file_id]", SHORT, (SHORT,)),
        ("file_ids[]", SHORT, (SHORT,)),
        ("video[id]", SHORT, (SHORT,)),
        ("video", json.dumps({"id": SHORT}), (SHORT,)),
        ("new", ID, (ID,)),
        ("prompt", ID, ()),
        ("prompt", json.dumps({"id": SHORT}), ()),
        ("name", "file-1", ()),
    ],
)
def test_forms_name_things_as_json_does(name: str, text: str, found: tuple[str, ...]) -> None:
    assert form_references([(name, text)]) == found


def test_of_a_query_only_what_can_only_be_an_id_counts() -> None:
    assert query_references(f"order=desc&limit=20&after={ID}&tool=file_search_v2") == (ID,)
