"""What JSON does not know is left out of a copy, and all else is read as Python's own `json` reads it."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.body import readable as module
from application.body.narrowed import MAX_MARKS, MAX_MEMBERS, Narrowed, has_too_many_marks, is_heavy
from application.body.readable import HALF, readable

PIECES = [
    "\\ud83d",
    "\\uDE00",
    "\\ud83d\\ude00",
    "\\\\",
    '\\"',
    "\\n",
    "NaN",
    "-Infinity",
    "a",
    "é",
    "\\u00e9",
    "\\\\ud83d",
    "{",
    "]",
    ":",
    ",",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=6).map(lambda parts: '"' + "".join(parts) + '"')
VALUES = st.recursive(
    TEXTS | st.sampled_from(["1", "-2.5e3", "true", "null", "NaN", "Infinity", "-Infinity", "[]", "{}"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{' , '.join(parts)}]")
        | st.dictionaries(TEXTS, inner, max_size=3).map(
            lambda d: "{" + ",".join(f"{k} : {v}" for k, v in d.items()) + "}"
        )
    ),
    max_leaves=12,
)


def as_mended(value: Any) -> Any:
    """What Python's own reader gives, with the halves and the numbers that are none as a copy has them."""
    if isinstance(value, str):
        return "".join(HALF if "\ud800" <= letter <= "\udfff" else letter for letter in value)
    if isinstance(value, float) and value - value != 0:
        return None
    if isinstance(value, list):
        return [as_mended(each) for each in value]
    return {as_mended(name): as_mended(each) for name, each in value.items()} if isinstance(value, dict) else value


@given(VALUES, st.booleans())
def test_a_copy_says_what_the_text_says(value: str, has_mark: bool) -> None:
    text = (b"\xef\xbb\xbf" if has_mark else b"") + value.encode()

    assert msgspec.json.decode(readable(text)) == as_mended(json.loads(text))


@given(TEXTS)
def test_without_numbers_only_halves_change_and_no_byte_moves(text: str) -> None:
    copy = readable(text.encode(), numbers=False)

    assert len(copy) == len(text.encode())
    assert json.loads(copy) == as_mended(json.loads(text))


@given(st.dictionaries(st.sampled_from(["model", "n", "user", "x", "model\\n"]), VALUES, max_size=5))
def test_few_members_of_an_object_are_what_the_whole_has(members: dict[str, str]) -> None:
    text = ("{" + ",".join(f'"{name}":{value}' for name, value in members.items()) + "}").encode()
    whole = as_mended(json.loads(text))

    assert as_mended(json.loads(Narrowed("model", "user")(text))) == {
        n: whole[n] for n in ("model", "user") if n in whole
    }


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b'"' + b"a" * 50 + b'"', b'"-"'),
        (b"[" + b"1," * 50 + b"1]", b"[0]"),
        (b'{"a":[' + b"1," * 50 + b"1]}", b'{"":0}'),
    ],
)
def test_of_a_long_member_only_its_kind_is_kept(value: bytes, kept: bytes) -> None:
    assert Narrowed("a", "b", longest_bytes=40)(b'{"a":%b,"b":1}' % value) == b'{"a":%b,"b":1}' % kept
    assert Narrowed("a", longest_bytes=40, whole=("a",))(b'{"a":%b}' % value) == b'{"a":%b}' % value


def test_inside_a_long_object_few_members_are_found_too() -> None:
    narrowed = Narrowed("error", longest_bytes=40, inside={"error": Narrowed("code")})

    assert narrowed(b'{"error":{"x":[%b1],"code":"c"}}' % (b"1," * 50)) == b'{"error":{"code":"c"}}'


@pytest.mark.parametrize("text", [b"[1]", b'"a"', b"", b'{"a":1', b'{"a":01}', b"{" * 100_000])
def test_what_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        Narrowed("a")(text)


@pytest.mark.parametrize("word", [b"\\ud83d", b'",NaN,"', b'",-Infinity,"'])
def test_so_many_faults_are_mended_and_no_more(word: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 100)

    assert msgspec.json.decode(readable(b'["%b"]' % (word * 100)))
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(readable(b'["%b"]' % (word * 101)))


def test_heavy_is_what_holds_many_values_and_not_what_is_long() -> None:
    assert not is_heavy(b'["' + b"A" * 10_000_000 + b'"]')
    assert is_heavy(b"[" + b"[]," * MAX_MEMBERS + b"1]")


FULL = {
    "lists": b'{"model":"m","input":[' + b"[]," * 2_000_000 + b"[]]}",
    "numbers": b'{"model":"m","input":[' + b"1," * 2_000_000 + b"1]}",
    "objects": b'{"model":"m","input":[' + b'{"a":0},' * 1_000_000 + b"1]}",
    "members": b'{"model":"m",' + b'"a":0,' * 1_000_000 + b'"b":0}',
    "depth": b'{"model":"m","input":[' + (b"[" * 100 + b"]" * 100 + b",") * 20_000 + b"1]}",
    "escapes": b'{"model":"m","input":"' + b"\\n" * 2_000_000 + b'"}',
    "quotes": b'{"model":"m","input":"' + b'\\"' * 1_000_000 + b'"}',
}
LEAN = {
    "an image": b'{"model":"m","input":"' + b"A" * 32_000_000 + b'"}',
    "prose": b'{"model":"m","input":"' + "Größe, Zeit, \\n und Raum, so weit.  ".encode() * 200_000 + b'"}',
    "tokens": b'{"model":"m","input":[' + b"10256," * 800_000 + b"1]}",
    **{
        f"lines of {n}": b'{"model":"m","input":"' + (b"A" * (n - 2) + b"\\n") * 100_000 + b'"}'
        for n in (53, 61, 76, 83)
    },
}


@pytest.mark.parametrize("text", FULL.values(), ids=FULL)
def test_a_text_of_millions_of_values_is_seen_to_be_full_without_reading_it(text: bytes) -> None:
    assert has_too_many_marks(text)


@pytest.mark.parametrize("text", LEAN.values(), ids=LEAN)
def test_a_text_is_not_full_because_it_is_long(text: bytes) -> None:
    assert len(text) > MAX_MARKS
    assert not has_too_many_marks(text)
