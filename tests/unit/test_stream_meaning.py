"""What a whole stream means, read in pieces, against a reader that has all of it and decodes every event."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.upstreams.openai.streams.expected_end import ExpectedStream
from adapters.upstreams.openai.streams.stream_scanner import OpenAIStreamScanner
from tests.examples import examples
from tests.unit.chopped import chop

_REASONS = st.sampled_from([None, None, "stop", "length", "null"])
_TEXTS = st.sampled_from(
    ["", "a", "[DONE]", '"usage":{', '"finish_reason":"stop"', "data: x\n\n", '{"error":{"code":"x"}}']
)
_CHOICES = st.lists(
    st.fixed_dictionaries(
        {
            "index": st.sampled_from([0, 0, 1]),
            "delta": st.one_of(st.fixed_dictionaries({"content": _TEXTS}), st.just({"role": "assistant"})),
            "finish_reason": _REASONS,
        }
    ),
    max_size=2,
    unique_by=lambda choice: choice["index"],
)
_USAGES = st.none() | st.fixed_dictionaries({"prompt_tokens": st.just(3), "completion_tokens": st.integers(4, 6)})
_CHUNKS = st.fixed_dictionaries({"choices": _CHOICES, "usage": _USAGES})
_ERRORS = st.just({"error": {"message": "m", "type": "server_error", "param": None, "code": "server_error"}})
_STREAMS = st.tuples(st.lists(_CHUNKS, min_size=1, max_size=5), st.none() | _ERRORS, st.booleans())
_WRITERS = st.sampled_from([(",", ":"), (", ", ": ")])
_CUTS = st.just([]) | st.lists(st.integers(0, 5000), max_size=9)
_ENDS = st.sampled_from([b"\n\n", b"\r\n\r\n"])


class _Meaning:
    """What a reader of the whole stream would say."""

    def __init__(self, chunks: list[dict[str, Any]], expected: ExpectedStream) -> None:
        ended: set[int] = set()
        goes_on = False
        self.usage: tuple[int, int] | None = None
        for chunk in chunks:
            if chunk["usage"] is not None:
                self.usage = chunk["usage"]["prompt_tokens"], chunk["usage"]["completion_tokens"]
            for choice in chunk["choices"]:
                goes_on = goes_on or (choice["index"] in ended and bool(choice["delta"].get("content")))
                if choice["finish_reason"] not in (None, "", "null"):
                    ended.add(choice["index"])
        has_all = len(ended) >= expected.choices and (self.usage is not None or not expected.usage)
        self.may_end = has_all and not goes_on


@given(
    _STREAMS,
    _WRITERS,
    _ENDS,
    st.booleans(),
    st.integers(1, 2),
    st.booleans(),
    _CUTS,
)
@settings(max_examples=examples(150))
def test_a_stream_means_the_same_however_it_comes(
    stream: tuple[list[dict[str, Any]], dict[str, Any] | None, bool],
    separators: tuple[str, str],
    end: bytes,
    is_relayed: bool,
    choices: int,
    wants_usage: bool,
    cuts: list[int],
) -> None:
    chunks, error, is_done = stream
    expected = ExpectedStream(choices, wants_usage)
    told = [*chunks, *([error] if error else [])]
    events = [b"data: " + json.dumps(each, separators=separators).encode() + end for each in told]
    scanner = OpenAIStreamScanner(owns_credential=True, expected=expected)

    events += [b"data: [DONE]" + end] if is_done else []
    for piece in chop(b"".join(events), cuts) if cuts else events:
        (scanner.relay if is_relayed else scanner.feed)(piece)
    scanner.finish()

    meaning = _Meaning(chunks, expected)
    assert (scanner.ended, scanner.is_done) == (is_done, is_done)
    assert scanner.may_end == (is_done or meaning.may_end)
    assert (scanner.usage and (scanner.usage.prompt_tokens, scanner.usage.output_tokens)) == meaning.usage
    assert (scanner.failure is not None) == (error is not None)
    assert scanner.is_told == (error is not None)
