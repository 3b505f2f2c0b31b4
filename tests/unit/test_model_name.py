"""Only the model's name changes, and every other byte stays."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.upstreams.openai.model_rewrite import replace_model
from application.body.model_key import may_stand_twice

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["model", '"model"', "\\"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.just("model"), inner, max_size=4)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"a","messages":[]}', b'{"model":"B","messages":[]}'),
        (b'{ "messages" : [ ] , "model" :\n "a" }', b'{ "messages" : [ ] , "model" :\n "B" }'),
        (b'{"model":"a\\"b"}', b'{"model":"B"}'),
        (b'{"x":{"model":"inner"},"model":"a"}', b'{"x":{"model":"inner"},"model":"B"}'),
        (b'{"model":"a","t":[{"model":"inner"}]}', b'{"model":"B","t":[{"model":"inner"}]}'),
        (b'{"m\\u006fdel":"a","x":{"model":"inner"}}', b'{"m\\u006fdel":"B","x":{"model":"inner"}}'),
        (b'{"model":"a","model":"b"}', b'{"model":"B","model":"B"}'),
        (b'{"s":"\\\\","model":"a"}', b'{"s":"\\\\","model":"B"}'),
        (b'{"a":"\\ud83d","t":[{"model":1}],"model":"a"}', b'{"a":"\\ud83d","t":[{"model":1}],"model":"B"}'),
    ],
)
def test_the_top_level_model_is_replaced(body: bytes, expected: bytes) -> None:
    assert replace_model(body, "B") == expected
    assert replace_model(body, "B", has_plain_key=not may_stand_twice(body)) == expected


@given(st.dictionaries(st.text(max_size=6), JSON, max_size=5), st.text(max_size=10), st.booleans())
def test_a_key_that_is_known_to_be_plain_is_found_at_once(others: dict[str, object], old: str, spaced: bool) -> None:
    separators = (", ", ": ") if spaced else (",", ":")
    body = json.dumps({**others, "model": old}, separators=separators).encode()

    assert replace_model(body, "B", has_plain_key=not may_stand_twice(body)) == replace_model(body, "B")


@given(
    st.dictionaries(st.text(max_size=6), JSON, max_size=5), JSON, st.integers(0, 5), st.text(max_size=10), st.booleans()
)
def test_all_else_is_as_it_was(others: dict[str, object], decoy: object, at: int, name: str, ascii_only: bool) -> None:
    others.pop("model", None)
    items = [*others.items(), ("zz", {"model": decoy, "list": [{"model": "x"}]})]
    items.insert(at % (len(items) + 1), ("model", "old"))
    body = json.dumps(dict(items), ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")

    replaced = json.loads(replace_model(body, name).decode("utf-8", "surrogatepass"))

    assert replaced == {**dict(items), "model": name}


def test_a_large_body_is_not_walked_byte_by_byte() -> None:
    image = "A" * 2_000_000
    body = json.dumps({"messages": [{"content": image}], "model": "a", "tools": [{"model": 1}]}).encode()

    assert json.loads(b"".join(replace_model(body, "b")))["model"] == "b"
