"""Short words between quotes stand in the outline as often as in the text; only the middle of long strings does not."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.http.bodies.decode_request import Arrival, decoded, request_of
from adapters.http.paths.routes import Route
from adapters.upstreams.openai.model_rewrite import replace_model
from application.messages import Api
from domain.elided import elide_long_strings
from domain.rate_limit.token_estimate import Demand

WORD = re.compile(rb'"[A-Za-z_]{1,40}"')
LENGTHS = st.sampled_from([0, 1, 3, 1023, 1024, 4095, 4096, 4097, 5000, 8192, 40_000])
PIECES = st.lists(
    st.sampled_from([b'"', b'"model"', b'":"', b'\\"', b"x", b'"data:image/png;base64,'])
    | LENGTHS.map(lambda n: b"a" * n),
    max_size=40,
)


@given(PIECES, st.booleans())
def test_words_in_quotes_are_in_the_outline_as_in_the_text(pieces: list[bytes], is_large: bool) -> None:
    text = b"".join(pieces) + (b'"' + b"b" * 50_000 if is_large else b"")

    assert WORD.findall(elide_long_strings(text)) == WORD.findall(text)


@given(PIECES, st.booleans())
def test_a_demand_is_the_same_with_and_without_the_outline(pieces: list[bytes], is_large: bool) -> None:
    text = b"".join(pieces) + (b'"' + b"b" * 50_000 if is_large else b"")

    assert Demand.of(text, 7, elide_long_strings(text)) == Demand.of(text, 7)


@pytest.mark.parametrize("size", [10, 2_000_000])
def test_a_request_brings_the_outline_of_its_body(size: int) -> None:
    body = json.dumps({"messages": [{"content": "A" * size}], "model": "a"}).encode()
    fields, outline, has_plain_key = decoded(body)
    arrival = Arrival.of("POST", "", (), {}, keep_credentials=False)

    request = request_of(Route(Api.CHAT, "/chat/completions"), arrival, body, fields, "r", 0.0, outline, has_plain_key)

    assert request.outline == elide_long_strings(body)
    assert request.has_plain_key
    replaced = replace_model(body, "B", has_plain_key=True, outline=request.outline)
    assert (replaced if isinstance(replaced, bytes) else b"".join(replaced)) == body.replace(b'"a"', b'"B"')


def test_an_image_is_left_out() -> None:
    body = json.dumps({"messages": [{"content": "A" * 2_000_000}], "model": "a", "tools": ["B" * 2_000_000]}).encode()

    assert len(elide_long_strings(body)) < 10_000
    assert elide_long_strings(body).endswith(body[-1024:])


def test_a_text_without_long_strings_is_its_own_outline() -> None:
    text = json.dumps(["word"] * 20_000).encode()

    assert elide_long_strings(text) is text
