"""Why the choices of an answer ended, in chat and in the older completions, whole or streamed."""

from collections.abc import Set
from typing import Any

import msgspec
from msgspec import Struct

from adapters.upstreams.openai.lenient_json import decode
from adapters.upstreams.openai.streams.event_content import says
from adapters.upstreams.openai.streams.sse import DONE
from adapters.upstreams.reshape.reshaping import read_events, wants_usage
from application.store_ports import CachedAnswer

_SAYS = ("content", "refusal", "tool_calls", "function_call", "audio")  # any makes an answer; reasoning alone does not


class _Choice(Struct):
    index: int = 0
    finish_reason: str | None = None
    message: Any = None
    delta: Any = None
    text: Any = None

    @property
    def says_something(self) -> bool:
        if says(self.text):
            return True
        return any(
            isinstance(part, dict) and any(says(part.get(name)) for name in _SAYS)
            for part in (self.message, self.delta)
        )


class _Body(Struct):
    """What a whole answer and a chunk have in common; fields unknown here do no harm."""

    choices: list[_Choice]
    usage: Any = None
    error: Any = None


_bodies = msgspec.json.Decoder(_Body)


def all_ended(answer: CachedAnswer, good_ends: Set[str]) -> bool:
    """Is it whole, no error, not empty, each choice ended well? Raises `ValueError` or `RecursionError`."""
    body = b"".join(answer.chunks)
    if answer.shape.stream:
        return _stream_ended(answer, body, good_ends)
    whole = decode(_bodies, body)
    return (
        whole.error is None
        and any(one.says_something for one in whole.choices)
        and all(one.finish_reason in good_ends for one in whole.choices)
    )


def _stream_ended(answer: CachedAnswer, body: bytes, good_ends: Set[str]) -> bool:
    is_done = has_usage = goes_on = says_something = False
    endings: dict[int, str | None] = {}
    for event in read_events(body):
        if event.data == DONE:
            is_done = True
            continue
        chunk = decode(_bodies, event.data or b"")
        if chunk.error is not None:
            return False
        has_usage = has_usage or bool(chunk.usage)
        for choice in chunk.choices:
            if choice.finish_reason is not None and choice.finish_reason not in good_ends:
                return False
            if choice.says_something:
                says_something = True
                goes_on = goes_on or endings.get(choice.index) is not None
            endings[choice.index] = choice.finish_reason or endings.get(choice.index)
    # Where a choice went on after its end, no end can be believed but the provider's own.
    is_whole = is_done or (not goes_on and (has_usage or not wants_usage(answer.shape)))
    return says_something and all(endings.values()) and is_whole
