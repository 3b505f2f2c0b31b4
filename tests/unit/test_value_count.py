"""Values are counted, and what texts have in them is not."""

import json

import pytest

from application.body.narrowed import MAX_MEMBERS, has_too_many_values

MANY = MAX_MEMBERS + 1


@pytest.mark.parametrize(
    "text",
    [
        b"[%b0]" % (b"0," * MANY),
        b"[%b[]]" % (b"[]," * MANY),
        b'["",%b""]' % (b'"",' * MANY),
        b'{"a":"x","b":[%b0],"c":"y"}' % (b"0," * MANY),
        b'{"a":"\\\\","b":[%b0],"c":"y"}' % (b"0," * MANY),
        b'{"a":[%b' % (b"{}," * MANY),
    ],
)
def test_too_many_are_too_many_wherever_they_stand(text: bytes) -> None:
    assert has_too_many_values(text)


@pytest.mark.parametrize(
    "body",
    [
        {"input": "1,2,[3],{4}\n" * MANY},
        {"input": '"quoted", and\\ escaped,' * MANY},
        {"input": ["a,b"] * 1000, "x": "," * MANY},
        {"input": "\\" * MANY + "," * MANY},
        {},
    ],
)
def test_what_a_text_has_in_it_is_one_value(body: object) -> None:
    assert not has_too_many_values(json.dumps(body).encode())


def test_a_text_that_never_ends_is_one_as_well() -> None:
    assert not has_too_many_values(b'{"a":"' + b"," * MANY)
