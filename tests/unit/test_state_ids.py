"""Ids of what one account keeps, found in paths, requests and replies."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.upstreams.openai.stored_ids import state_ids

ENCRYPTED = "gAAAAABo+/encrypted+reasoning/content=="


def ids(value: object) -> tuple[str, ...]:
    return tuple(state_ids(json.dumps(value).encode()))


@pytest.mark.parametrize(
    "value",
    [
        {"previous_response_id": "resp_68af4030592c81938ec0a5fbab4a3e9f"},
        {"conversation": "conv_689667905b048191b4740501625afd94"},
        {"conversation": {"id": "conv_689667905b048191b4740501625afd94"}},
        {"input": [{"type": "item_reference", "id": "rs_68af4030baa48193b0b43b4c2a176a1a"}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-6F2ksmvXxt4VdoqmHRw6kL"}]}]},
        {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1234567890"]}]},
        {"tools": [{"type": "code_interpreter", "container": "cntr_682e0e7318108198aa783fd921ff305e"}]},
        {"prompt": {"id": "pmpt_68af4030592c8193"}},
        {"messages": [{"role": "assistant", "audio": {"id": "audio_6725224ac62481908ab55dc283289d87"}}]},
    ],
)
def test_each_way_to_name_what_is_kept_is_seen(value: dict[str, object]) -> None:
    assert len(ids(value)) == 1


def test_a_path_names_what_it_is_about() -> None:
    assert state_ids(b'"""responses""resp_1234567890""input_items"') == ("resp_1234567890",)


@pytest.mark.parametrize(
    "value",
    [
        {"model": "gpt-4o", "input": "What does resp_1234567890 mean?"},
        {"input": "a file-1234567890.txt and more"},
        {"metadata": {"resp_": "resp_"}},
        {"input": "data:image/png;base64,iVBORresp_0KGgo"},
    ],
)
def test_what_is_only_mentioned_in_a_text_is_not_meant(value: dict[str, object]) -> None:
    assert ids(value) == ()


def test_each_is_found_once_in_the_order_of_the_text() -> None:
    assert ids({"b": "resp_bbbbbbb1", "a": ["conv_aaaaaaa1", "resp_bbbbbbb1"]}) == ("resp_bbbbbbb1", "conv_aaaaaaa1")


def test_encrypted_reasoning_is_known_by_a_digest_however_its_letters_are_escaped() -> None:
    plain = f'{{"type":"reasoning","encrypted_content":"{ENCRYPTED}"}}'.encode()
    escaped = plain.replace(b"+", b"\\u002B").replace(b"ntent/", b"ntent\\/")

    (found,) = state_ids(plain)
    assert found.startswith("enc_")
    assert ENCRYPTED not in found
    assert state_ids(escaped) == (found,)
    assert state_ids(plain.replace(b"gAAAA", b"gAAAB")) != (found,)


@given(st.binary(max_size=200))
def test_no_text_is_too_odd_to_look_at(text: bytes) -> None:
    assert isinstance(state_ids(text + b'"encrypted_content": "' + text), tuple)


@pytest.mark.parametrize("name", ["resp_1", "resp_abc", "conv_x", "rs_1", "chatcmpl-9"])
def test_short_ids_of_what_a_dialogue_goes_on_from_are_ids(name: str) -> None:
    assert state_ids(json.dumps({"previous_response_id": name}).encode()) == (name,)


@pytest.mark.parametrize("name", ["step_1", "run_2", "file_v1", "fc_search", "resp_"])
def test_words_that_only_begin_like_ids_are_none(name: str) -> None:
    assert state_ids(json.dumps({"x": name}).encode()) == ()
