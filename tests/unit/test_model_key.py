"""`model` twice is refused, found in a look at a bounded number of keys."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.http.bodies.decode_request import decoded
from adapters.http.server.error_body import status_of
from adapters.upstreams.openai.model_rewrite import replace_model
from application.body import model_key
from application.body.model_key import MAX_KEYS, TooManyKeys, model_keys
from application.errors import InvalidRequest

NAMES = st.sampled_from(
    ['"model"', '"m\\u006fdel"', '"\\u006D\\u006F\\u0064\\u0065\\u006C"', '"x"', '"mod"', '"a\\"model"', '"\\ud83d"']
)


def objects(values: Any) -> Any:
    pairs = st.lists(st.tuples(NAMES, st.sampled_from(["", " ", "\n\t"]), values), max_size=4)
    return pairs.map(lambda pairs: "{" + ",".join(f"{name}{space}:{value}" for name, space, value in pairs) + "}")


VALUES = st.recursive(
    st.sampled_from(['"a"', "null", '"model"', '"\\"model\\":"', '"\\\\"', "1", '"\\ud83d"']),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]") | objects(inner),
    max_leaves=10,
)


@given(objects(VALUES))
def test_the_keys_of_the_top_level_are_found_however_they_are_spelt(body: str) -> None:
    top: list[str] = []
    json.loads(body, object_pairs_hook=lambda pairs: top.__setitem__(slice(None), [name for name, _ in pairs]))

    found = model_keys(body.encode())

    assert len(found) == top.count("model")
    assert all(json.loads(body.encode()[begin:end]) == "model" for begin, end in found)


TWICE = [
    b'{"model":"a","model":"b"}',
    b'{"model":"a","model":"a"}',
    b'{"model":null,"model":"a"}',
    b'{"model":"a","m\\u006fdel":"b"}',
    b'{"\\u006dodel":"a","m\\u006fdel":"b"}',
    b'{"model" :"a","x":{"model":1},"y":"\\ud83d","model"\n:"b"}',
    b'{"model":"a",%b"model":"b"}' % b"".join(b'"k%d":1,' % n for n in range(100_000)),
    b'{"model":"a","x":["%b"],"model":"b"}' % (b"A" * 1_000_000),
    b'{"model":"a","tools":[%b1],"model":"b"}' % (b'{"model":1},' * 500),
]


@pytest.mark.parametrize("body", TWICE, ids=range(len(TWICE)))
def test_a_body_that_names_its_model_twice_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decoded(body)

    assert (status_of(refused.value), refused.value.param, refused.value.code) == (400, "model", "repeated_field")


@pytest.mark.parametrize(
    "body",
    [
        b'{"x":{"model":"b"},"model":"a"}',
        b'{"model":"a","x":[{"model":"b","model":"c"}]}',
        b'{"model":"a","x":"\\"model\\":\\"b\\""}',
        b'{"model":"a","x":"model"}',
        b'{"model":"a","tools":[%b1]}' % (b'{"model":1},' * 900),
    ],
)
def test_a_body_that_names_it_once_is_not(body: bytes) -> None:
    assert decoded(body)[0].model == "a"
    assert b"".join(replace_model(body, "B")) if isinstance(replace_model(body, "B"), tuple) else True
    replaced = replace_model(body, "B")
    text = b"".join(replaced) if isinstance(replaced, tuple) else replaced
    assert text == body.replace(b'"model":"a"', b'"model":"B"')


@pytest.mark.parametrize(
    "body",
    [
        b'{"x":[%b1],"model":"a"}' % (b'{"model":1},' * (MAX_KEYS + 1)),
        b'{"model":"a","x":{"model":1},"llmproxy.model.0":1}',
    ],
)
def test_more_keys_than_anybody_writes_are_refused(body: bytes) -> None:
    with pytest.raises(TooManyKeys):
        model_keys(body)
    with pytest.raises(InvalidRequest) as refused:
        decoded(body)
    assert status_of(refused.value) == 400


def test_the_work_is_a_few_readings_of_the_body_whatever_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0
    make = model_key._marks

    class Counted:
        def __init__(self, size: int) -> None:
            self._decoder = make(size)

        def decode(self, body: bytes) -> Any:
            nonlocal read
            read += len(body)
            return self._decoder.decode(body)

    monkeypatch.setattr(model_key, "_marks", Counted)
    members = b"".join(b'"k%d":1,' % number for number in range(300_000))
    for nested in (1, 100, MAX_KEYS - 1):
        body = b'{%b"x":[%b1],"model":"a"}' % (members, b'{"model":1},' * nested)
        read = 0
        assert len(model_keys(body)) == 1
        assert read <= 10 * len(body)


def test_a_name_of_megabytes_is_replaced_without_a_note_of_each_letter() -> None:
    body = b'{"model":"%b","x":1}' % (b"\\n" * 1_000_000)

    assert b"".join(replace_model(body, "b")) == b'{"model":"b","x":1}'
    assert re.search(rb"\*\+", model_key._ANY_KEY.pattern)
