"""Chat completions as whole answers and as streams."""

import json
from typing import Any

from hypothesis import strategies as st

from application.store_ports import CachedAnswer, Shape

USAGE = '{"include_usage":true}'
NO_PADDING = '{"include_obfuscation":false}'
WHOLE = Shape()
STREAM = Shape(stream=True)
STREAM_WITH_USAGE = Shape(stream=True, options=USAGE)
DONE = b"data: [DONE]\n\n"
SAFE = {"hate": {"filtered": False, "severity": "safe"}, "protected_material_text": {"filtered": False}}


def kept(shape: Shape, *chunks: bytes, headers: tuple[tuple[str, str], ...] = ()) -> CachedAnswer:
    return CachedAnswer(shape, headers, chunks, stored_unix=7.0)


def whole_answer(value: object) -> CachedAnswer:
    return kept(WHOLE, json.dumps(value).encode(), headers=(("content-type", "application/json"), ("x-kept", "1")))


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def stream_of(*values: object, shape: Shape = STREAM_WITH_USAGE) -> CachedAnswer:
    headers = (("content-type", "text/event-stream"), ("x-kept", "1"))
    return kept(shape, *map(event, values), DONE, headers=headers)


def value_of(answer: CachedAnswer | None) -> Any:
    assert answer is not None
    return json.loads(b"".join(answer.chunks))


def events_of(answer: CachedAnswer | None) -> list[Any]:
    assert answer is not None
    assert answer.chunks[-1] == DONE
    assert all(part.startswith(b"data: ") and part.endswith(b"\n\n") for part in answer.chunks)
    return [json.loads(part.removeprefix(b"data: ")) for part in answer.chunks[:-1]]


TOKENS_USED = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "details": {"big": 10**30, "part": 1.0}}


def completion(message: dict[str, Any], finish_reason: str = "stop", **fields: object) -> dict[str, Any]:
    given = {"role": "assistant", "content": None, "refusal": None, "annotations": [], **message}
    choice = {"index": 0, "message": given, "logprobs": None, "finish_reason": finish_reason}
    envelope = {"id": "chatcmpl-1", "object": "chat.completion", "created": 5, "model": "gpt-4.1"}
    return {**envelope, "choices": [choice], "usage": TOKENS_USED, **fields}


texts = st.text(st.characters(codec="utf-8"), max_size=30)
names = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
functions = st.fixed_dictionaries({"name": names, "arguments": texts})
calls = st.fixed_dictionaries({"id": names, "type": st.just("function"), "function": functions})
citation = {
    "type": "url_citation",
    "url_citation": {"start_index": 0, "end_index": 1, "title": "A", "url": "https://example.com"},
}
tokens = st.lists(
    st.fixed_dictionaries(
        {
            "token": texts,
            "logprob": st.floats(allow_nan=False, allow_infinity=False),
            "bytes": st.none() | st.lists(st.integers(0, 255), max_size=3),
            "top_logprobs": st.just([]),
        }
    ),
    max_size=3,
)
messages = st.one_of(
    st.fixed_dictionaries({"content": texts}),
    st.fixed_dictionaries({"refusal": texts}),
    st.fixed_dictionaries({"content": st.none() | texts, "tool_calls": st.lists(calls, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"function_call": functions}),
    st.fixed_dictionaries({"content": texts, "annotations": st.lists(st.just(citation), max_size=2)}),
)
logprobs = st.none() | st.fixed_dictionaries({"content": st.none() | tokens, "refusal": st.none() | tokens})


@st.composite
def wholes(draw: st.DrawFn) -> dict[str, Any]:
    """Whole answers with the fields that OpenAI or Azure writes today."""
    counts = st.fixed_dictionaries({"prompt_tokens": st.integers(0), "completion_tokens": st.integers(0, 2**31)})
    fields = st.fixed_dictionaries(
        {},
        optional={
            "service_tier": st.sampled_from(["default", "flex", None]),
            "system_fingerprint": st.none() | names,
        },
    )
    whole = completion({}, usage={**draw(counts), "total_tokens": 9}, **draw(fields))
    is_azure = draw(st.booleans())
    whole["choices"] = []
    for index in range(draw(st.integers(1, 3))):
        message = {"role": "assistant", "content": None, "refusal": None, "annotations": [], **draw(messages)}
        reason = "tool_calls" if "tool_calls" in message else "function_call" if "function_call" in message else "stop"
        choice = {"index": index, "message": message, "logprobs": draw(logprobs), "finish_reason": reason}
        whole["choices"].append({**choice, "content_filter_results": SAFE} if is_azure else choice)
    if is_azure:
        whole["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": SAFE}]
    return whole
