"""Short words between quotes stand in the outline as often as in the text; only the middle of long strings does not."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from domain.elided import elide_long_strings

WORD = re.compile(rb'"[A-Za-z_]{1,40}"')
LENGTHS = st.sampled_from([0, 1, 3, 1023, 1024, 4095, 4096, 4097, 5000, 8192, 40_000])
PIECES = st.lists(
    st.sampled_from([b'"', b'"model"', b'":"', b'\\"', b"x"]) | LENGTHS.map(lambda n: b"a" * n), max_size=40
)


@given(PIECES, st.booleans())
def test_words_in_quotes_are_in_the_outline_as_in_the_text(pieces: list[bytes], is_large: bool) -> None:
    text = b"".join(pieces) + (b'"' + b"b" * 50_000 if is_large else b"")

    assert WORD.findall(elide_long_strings(text)) == WORD.findall(text)


def test_an_image_is_left_out() -> None:
    body = json.dumps({"messages": [{"content": "A" * 2_000_000}], "model": "a", "tools": ["B" * 2_000_000]}).encode()

    assert len(elide_long_strings(body)) < 10_000
    assert elide_long_strings(body).endswith(body[-1024:])


def test_a_text_without_long_strings_is_its_own_outline() -> None:
    text = json.dumps(["word"] * 20_000).encode()

    assert elide_long_strings(text) is text
