"""What is read of replies for traces: what they say of themselves, and nothing of their content."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.telemetry.otel.reply_facts import ReplyFacts

NOTHING = ReplyFacts()
USAGE = {
    "prompt_tokens": 9,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 0},
}


def facts(*said: dict[str, Any]) -> ReplyFacts:
    """Of a stream of these events."""
    return NOTHING.and_then(
        b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in said) + b"data: [DONE]\n\n"
    )


def test_a_whole_chat() -> None:
    choices = [{"finish_reason": "stop", "message": {"content": "secret"}}, {"finish_reason": "length"}]
    said = {"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-x", "choices": choices, "usage": USAGE}

    assert NOTHING.and_then(json.dumps(said).encode()) == ReplyFacts("chatcmpl-1", "gpt-x", ("stop", "length"), 4, 0)


def test_a_chat_stream_in_two_parts() -> None:
    first = {"id": "chatcmpl-1", "model": "gpt-x", "choices": [{"delta": {"role": "assistant"}}]}
    last = {"id": "chatcmpl-1", "model": "gpt-x", "choices": [{"delta": {}, "finish_reason": "tool_calls"}]}
    usage = {"id": "chatcmpl-1", "model": "gpt-x", "choices": [], "usage": USAGE}

    assert facts(first, last, usage) == ReplyFacts("chatcmpl-1", "gpt-x", ("tool_calls",), 4, 0)


def test_a_stream_of_responses() -> None:
    response = {"id": "resp_1", "object": "response", "model": "gpt-x", "status": "in_progress"}
    usage = {"input_tokens_details": {"cached_tokens": 7}, "output_tokens_details": {"reasoning_tokens": 5}}
    ended = {**response, "status": "completed", "usage": usage}

    begun = facts({"type": "response.created", "response": response})

    assert begun == ReplyFacts("resp_1", "gpt-x")
    assert facts({"type": "response.completed", "response": ended}) == ReplyFacts(
        "resp_1", "gpt-x", ("completed",), 7, 5
    )


@pytest.mark.parametrize(
    "said",
    [
        {"model": 5, "id": [], "choices": {}, "usage": "much"},
        {"choices": [5, {"finish_reason": 7}], "usage": {"prompt_tokens_details": {"cached_tokens": -1}}},
        {"usage": {"prompt_tokens_details": {"cached_tokens": True}}},
    ],
)
def test_what_makes_no_sense_says_nothing(said: dict[str, Any]) -> None:
    assert NOTHING.and_then(json.dumps(said).encode()) == NOTHING


def test_long_and_unseen_texts_are_cut_and_shown() -> None:
    found = facts({"id": "i" * 1000, "model": "m\u202e" * 100, "choices": []})

    assert len(found.id) == 256
    assert len(found.model) == 64
    assert "\u202e" not in found.model


def test_a_large_reply_is_not_read() -> None:
    said = {"id": "chatcmpl-1", "choices": [], "padding": "x" * (64 * 1024)}

    assert NOTHING.and_then(json.dumps(said).encode()) == NOTHING


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_no_bytes_raise(text: bytes) -> None:
    NOTHING.and_then(text)
    NOTHING.and_then(b"data: " + text)
    NOTHING.and_then(b"{" + text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "model", "choices", "finish_reason", "usage", "object", "response", "status"]), inner
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["id", "model", "choices", "usage", "object", "response", "status"]), JSON))
def test_no_json_raises(said: dict[str, Any]) -> None:
    found = NOTHING.and_then(json.dumps(said).encode())

    assert isinstance(found.id, str)
    assert all(isinstance(reason, str) for reason in found.finish_reasons)
