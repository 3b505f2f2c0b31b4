"""What may be cached, and that two requests share a key only if they mean the same."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.body.cache_fields import canonical as content_of
from application.body.cache_fields import decode, is_unambiguous
from domain.caching.cache_key import CachePolicy

POLICY = CachePolicy()
LENIENT = CachePolicy(absent_is_cacheable=True)
PLAIN: dict[str, Any] = {"model": "gpt", "temperature": 0, "messages": [{"role": "user", "content": "Hi"}]}

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(st.text(min_size=1, max_size=8), values, max_size=5)


def name(fields: dict[str, Any], policy: CachePolicy = POLICY, client: str = "c", **other: str) -> str:
    api, group, part = other.get("api", "chat"), other.get("group", "g"), other.get("part", "")
    return policy.key(api, group, client, (part,), content_of(fields)).name


def decode_strictly(body: bytes) -> Mapping[str, Any] | None:
    fields = decode(body)
    return fields if fields is not None and is_unambiguous(body, fields) else None


def canonical(value: object) -> str:
    """Equal texts = equal JSON values, with 1, 1.0 and true told apart."""
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize("temperature", [0, 0.0, -0.0])
def test_temperature_zero_is_cacheable(temperature: float) -> None:
    assert POLICY.allows("chat", PLAIN | {"temperature": temperature})


@pytest.mark.parametrize("temperature", [0.7, 1, 2, 1e-9, "0", False, True, [0], {"value": 0}])
@pytest.mark.parametrize("policy", [POLICY, LENIENT])
def test_any_other_temperature_never_is(temperature: object, policy: CachePolicy) -> None:
    assert not policy.allows("chat", PLAIN | {"temperature": temperature})


@pytest.mark.parametrize("fields", [{"temperature": None}, {}])
def test_no_temperature_is_what_the_configuration_says(fields: dict[str, Any]) -> None:
    body = {"model": "gpt", "messages": []} | fields

    assert not POLICY.allows("chat", body)
    assert LENIENT.allows("chat", body)


@pytest.mark.parametrize(
    "extra",
    [
        {"n": 2},
        {"n": "1"},
        {"store": True},
        {"background": True},
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"prompt": {"id": "pmpt_1"}},
        {"web_search_options": {"search_context_size": "low"}},
        {"web_search_options": {}},
        {"data_sources": [{"type": "azure_search"}]},
        {"store": 1},
        {"stream": "true"},
        {"stream": 1},
        {"stream_options": {"include_usage": True}},
        {"stream": False, "stream_options": {}},
        {"stream": True, "stream_options": "usage"},
        {"audio": {"voice": "alloy", "format": "wav"}},
        {"modalities": ["text", "audio"]},
        {"prompt_cache_options": {"prewarm": True}},
        {"prompt_cache_options": {"comparison_response_id": "resp_1"}},
        {"prompt_cache_options": "24h"},
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "function", "function": {"name": "f"}}, {"type": "mcp"}]},
        {"tools": ["function"]},
        {"tools": {"type": "function"}},
    ],
)
def test_what_is_more_than_one_text_or_leaves_something_behind_is_not(extra: dict[str, Any]) -> None:
    assert not POLICY.allows("chat", PLAIN | extra)


@pytest.mark.parametrize(
    "extra",
    [
        {"n": 1},
        {"n": None},
        {"store": False},
        {"modalities": ["text"]},
        {"tools": []},
        {"tools": [{"type": "function", "function": {"name": "f"}}, {"type": "custom", "custom": {"name": "c"}}]},
        {"web_search_options": None},
        {"prompt_cache_options": {"mode": "explicit", "ttl": "12h", "prewarm": False}},
        {"stream": True, "stream_options": {"include_usage": True}},
    ],
)
def test_what_changes_nothing_of_that_still_is(extra: dict[str, Any]) -> None:
    assert POLICY.allows("chat", PLAIN | extra)


@given(body=bodies, data=st.data())
def test_bodies_with_any_parameter_changed_never_share_a_key(body: dict[str, Any], data: st.DataObject) -> None:
    field = data.draw(st.sampled_from([*sorted(body), "seed"]) | st.text(min_size=1, max_size=8))
    other = body | {field: data.draw(values)}
    same = canonical({k: v for k, v in body.items() if k not in ("stream", "stream_options")}) == canonical(
        {k: v for k, v in other.items() if k not in ("stream", "stream_options")}
    )

    assert (name(body) == name(other)) == same


@given(body=bodies, data=st.data())
def test_a_parameter_left_out_never_shares_the_key_of_one_that_is_there(
    body: dict[str, Any], data: st.DataObject
) -> None:
    field = data.draw(st.text(min_size=1, max_size=8).filter(lambda text: text not in ("stream", "stream_options")))
    with_null = body | {field: None}
    without = {key: value for key, value in body.items() if key != field}

    assert name(with_null) != name(without)


@given(body=bodies, seed=st.randoms(use_true_random=False))
def test_order_and_spacing_do_not_matter(body: dict[str, Any], seed: Any) -> None:
    shuffled = list(body.items())
    seed.shuffle(shuffled)
    spaced = json.dumps(dict(shuffled), indent=3, ensure_ascii=True).encode()
    fields = decode_strictly(msgspec.json.encode(body))
    same_fields = decode_strictly(spaced)

    assert fields is not None
    assert same_fields is not None
    assert name(dict(fields)) == name(dict(same_fields))


def test_parts_that_join_to_the_same_text_are_different_keys() -> None:
    assert name(PLAIN, client="ab", group="c") != name(PLAIN, client="b", group="ca")
    assert name(PLAIN, client="1:a", part="b") != name(PLAIN, client="1", part=":ab")


@given(
    first=st.tuples(st.text(), st.text(), st.text(), st.text()),
    second=st.tuples(st.text(), st.text(), st.text(), st.text()),
)
def test_api_group_client_and_the_rest_cannot_run_into_each_other(
    first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    def key(parts: tuple[str, ...]) -> str:
        return name(PLAIN, client=parts[2], api=parts[0], group=parts[1], part=parts[3])

    assert (key(first) == key(second)) == (first == second)


def test_stream_and_its_options_do_not_make_another_entry() -> None:
    assert name(PLAIN) == name(PLAIN | {"stream": True, "stream_options": {"include_usage": True}})


def test_clients_share_only_where_the_scope_is_global() -> None:
    everybody = CachePolicy(scope_is_global=True)

    assert name(PLAIN, client="a") != name(PLAIN, client="b")
    assert name(PLAIN, everybody, client="a") == name(PLAIN, everybody, client="b")


def test_the_name_shows_neither_the_seal_nor_anything_of_the_request() -> None:
    key = POLICY.key("chat", "g", "c", (), content_of(PLAIN))

    assert key.seal.hex() not in key.name
    assert len(key.name) == 64
    assert POLICY.key("chat", "g", "c", (), content_of(PLAIN | {"seed": 1})).seal != key.seal


@pytest.mark.parametrize(
    "body",
    [
        b'{"temperature":0,"temperature":1}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":[{"x":"\\"","x":""}]}',
        b'{"a":"\\\\","a":"b"}',
        b'{"a":1,"\\u0061":2}',
        b"[1]",
        b"{",
        b'{"a":"\\ud83d"}',
        b"[" * 100_000,
    ],
)
def test_a_body_that_readers_may_understand_differently_has_no_key(body: bytes) -> None:
    assert decode_strictly(body) is None


@given(body=bodies, ascii_only=st.booleans())
def test_any_other_body_has_one(body: dict[str, Any], ascii_only: bool) -> None:
    text = json.dumps(body, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")

    decoded = decode_strictly(text)

    assert decoded is None or canonical(decoded) == canonical(body)
    if "\\" not in canonical(body):
        assert decoded is not None


@given(draw=st.floats(0, 1, exclude_max=True))
def test_entries_live_the_configured_time_give_or_take_a_twentieth(draw: float) -> None:
    assert 95 <= CachePolicy(ttl_s=100).lifetime_s(draw) <= 105


RESPONSE: dict[str, Any] = {"model": "gpt", "temperature": 0, "store": False, "input": "Hi"}
MESSAGE = {"role": "user", "content": "Hi"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "4"}


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"stream": True, "stream_options": {"include_obfuscation": False}},
        {"input": [MESSAGE, {"type": "message", **MESSAGE}]},
        {"input": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": []}]},
        {"input": [MESSAGE, CALL, RESULT]},
        {"input": [{"type": "custom_tool_call", "input": "x"}, {"type": "custom_tool_call_output", "output": "y"}]},
        {"tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}]},
        {"include": ["message.output_text.logprobs"]},
        {"background": False, "previous_response_id": None, "conversation": None, "prompt": None},
    ],
)
def test_a_response_that_is_not_stored_and_builds_on_nothing_stored_is_cacheable(extra: dict[str, Any]) -> None:
    assert POLICY.allows("responses", RESPONSE | extra)


@pytest.mark.parametrize(
    "extra",
    [
        {"temperature": 0.1},
        {"temperature": None},
        {"store": True},
        {"store": None},
        {"store": 0},
        {"background": True},
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"conversation": {"id": "conv_1"}},
        {"prompt": {"id": "pmpt_1"}},
        {"context_management": [{"type": "compaction"}]},
        {"prompt_cache_options": {"comparison_response_id": "resp_1"}},
        {"input": None},
        {"input": {"role": "user"}},
        {"input": ["Hi"]},
        {"input": [MESSAGE, {"type": "item_reference", "id": "msg_1"}]},
        {"input": [MESSAGE, {"id": "msg_1"}]},
        {"input": [MESSAGE, {"type": None, "id": "msg_1"}]},
        {"input": [MESSAGE, {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAAA", "summary": []}]},
        {"input": [MESSAGE, {"type": "compaction", "encrypted_content": "gAAAA"}]},
        {"input": [MESSAGE, {"type": "additional_tools", "role": "developer", "tools": [{"type": "web_search"}]}]},
        {"input": [MESSAGE, {"type": "mcp_call"}]},
        {"input": [{"type": ["message"], "role": "user"}]},
        {"tools": [{"type": "function", "name": "f"}, {"type": "file_search", "vector_store_ids": ["vs_1"]}]},
        {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
        {"tools": [{"type": "namespace", "tools": []}]},
        {"tools": [{}]},
        {"include": ["web_search_call.action.sources"]},
        {"include": ["message.output_text.logprobs", "file_search_call.results"]},
        {"include": ["reasoning.encrypted_content"]},
        {"include": [["message.output_text.logprobs"]]},
        {"include": "message.output_text.logprobs"},
    ],
)
def test_a_response_that_is_stored_or_builds_on_more_than_its_request_is_not(extra: dict[str, Any]) -> None:
    assert not POLICY.allows("responses", RESPONSE | extra)


def test_a_response_is_stored_unless_the_client_says_no() -> None:
    assert not POLICY.allows("responses", {name: value for name, value in RESPONSE.items() if name != "store"})
    assert not POLICY.allows("responses", {name: value for name, value in RESPONSE.items() if name != "input"})


def test_a_response_without_a_temperature_is_what_the_configuration_says() -> None:
    assert LENIENT.allows("responses", RESPONSE | {"temperature": None})


@pytest.mark.parametrize(
    ("extra", "cacheable"),
    [
        ({}, True),
        ({"echo": True, "suffix": "!", "prompt": ["a", "b"], "n": 1, "best_of": 1}, True),
        ({"stream": True, "stream_options": {"include_usage": True}}, True),
        ({"n": 2}, False),
        ({"best_of": 3}, False),
        ({"temperature": 0.2}, False),
        ({"temperature": None}, False),
    ],
)
def test_the_older_completions_are_as_chat(extra: dict[str, Any], cacheable: bool) -> None:
    fields = {"model": "m", "prompt": "Once", "temperature": 0} | extra

    assert POLICY.allows("completions", fields) is cacheable


@pytest.mark.parametrize("api", ["embeddings", "moderations"])
def test_what_knows_no_chance_is_always_cacheable_unless_a_stream_is_asked_for(api: str) -> None:
    fields = {"model": "m", "input": ["a", "b"], "encoding_format": "base64", "user": "u"}

    assert POLICY.allows(api, fields)
    assert POLICY.allows(api, fields | {"stream": False, "stream_options": None})
    assert not POLICY.allows(api, fields | {"stream": True})
    assert not POLICY.allows(api, fields | {"stream_options": {"include_usage": True}})


@pytest.mark.parametrize("api", ["stored", "other", "", "CHAT"])
@given(body=bodies)
def test_of_any_other_api_nothing_ever_is(api: str, body: dict[str, Any]) -> None:
    fields = RESPONSE | body

    assert not LENIENT.allows(api, fields)
    assert not LENIENT.may_allow(api, fields.get("temperature"), fields.get("store"))


@pytest.mark.parametrize("api", ["chat", "completions", "responses", "embeddings", "moderations"])
@given(body=bodies, extra=st.dictionaries(st.sampled_from([*RESPONSE, "tools", "include", "n", "stream"]), values))
def test_no_body_raises_anything_and_what_may_not_be_allowed_is_not_allowed(
    api: str, body: dict[str, Any], extra: dict[str, Any]
) -> None:
    fields = body | extra
    allowed = POLICY.allows(api, fields)

    assert allowed in (True, False)
    assert POLICY.may_allow(api, fields.get("temperature"), fields.get("store")) or not allowed


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_only_a_temperature_of_zero_may_be_allowed_where_it_must_be_said(api: str) -> None:
    assert not any(POLICY.may_allow(api, value, None) for value in (None, 0.7, 1, -1, False, True, "0", {}, []))
    assert all(POLICY.may_allow(api, value, None) for value in (0, 0.0, -0.0))
    assert LENIENT.may_allow(api, None, None)


def test_a_response_may_only_be_allowed_where_it_says_that_it_is_not_stored() -> None:
    assert not POLICY.may_allow("responses", 0, None)
    assert not POLICY.may_allow("responses", None, False)
    assert POLICY.may_allow("responses", 0, False)
    assert LENIENT.may_allow("responses", None, False)
    assert POLICY.may_allow("embeddings", None, None)
    assert POLICY.may_allow("moderations", None, None)
