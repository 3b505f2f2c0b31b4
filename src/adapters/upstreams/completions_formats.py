"""Answers of the older completions API as the cache must know them: a text for each choice.

Whole answers and chunks have the same fields (openai-python, `Completion`), which are read strictly: with one that is
unknown here, log probabilities or a content filter's verdict, an answer is not made into another shape.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from adapters.upstreams.chat_wire import DONE, DONE_EVENT, Text, Words, read_events, write, write_event
from adapters.upstreams.choice_endings import all_ended
from adapters.upstreams.lenient_json import decode
from adapters.upstreams.reshaping import (
    NotUnderstood,
    StreamOptions,
    as_stream,
    as_whole,
    check_unstreamed,
    options_of,
)
from application.store_ports import CachedAnswer, Shape

GOOD_ENDS = frozenset(("stop",))


class TextChoice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One text, or a piece of it."""

    text: str
    index: int
    logprobs: None = None
    finish_reason: str | None = None
    """None = more comes."""


class TextCompletion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole answer, or one chunk of it."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: Words = UNSET
    system_fingerprint: Text = UNSET
    obfuscation: Text = UNSET


_completions = msgspec.json.Decoder(TextCompletion)


class CompletionsFormat:
    """See `answer_formats.AnswerFormat`."""

    def ended_well(self, answer: CachedAnswer) -> bool:
        """Each text ended because the model was done."""
        return all_ended(answer, GOOD_ENDS)

    def reshaped(self, answer: CachedAnswer, shape: Shape) -> CachedAnswer:
        """Either shape from the other; of a stream, none with other options."""
        have, wanted = options_of(answer.shape), options_of(shape)
        if not shape.stream:
            check_unstreamed(wanted)
            return as_whole(answer, shape, _whole_body(answer)) if answer.shape.stream else replace(answer, shape=shape)
        if not answer.shape.stream:
            return as_stream(answer, shape, _stream_body(answer, wanted))
        if have.means(wanted):
            return replace(answer, shape=shape)
        raise NotUnderstood("another stream was recorded")


def _whole_body(answer: CachedAnswer) -> bytes:
    events = read_events(b"".join(answer.chunks))
    return write(_merged([decode(_completions, event.data or b"") for event in events if event.data != DONE]))


def _merged(chunks: list[TextCompletion]) -> TextCompletion:
    """Raises `NotUnderstood` if they are not of one answer, or the usage or an end is missing."""
    heads = {(chunk.id, chunk.created, chunk.model, chunk.system_fingerprint) for chunk in chunks}
    usages: list[dict[str, Any]] = [chunk.usage for chunk in chunks if isinstance(chunk.usage, dict)]
    if len(heads) != 1 or len(usages) != 1:
        raise NotUnderstood("not the chunks of one answer, with its usage")
    pieces: dict[int, list[TextChoice]] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            pieces.setdefault(choice.index, []).append(choice)
    if sorted(pieces) != list(range(len(pieces))):
        raise NotUnderstood("an index is missing")
    choices = [_strung(pieces[index]) for index in range(len(pieces))]
    return replace(chunks[0], choices=choices, usage=usages[0], obfuscation=UNSET)


def _strung(pieces: list[TextChoice]) -> TextChoice:
    *open_pieces, last = pieces
    if last.finish_reason is None or any(piece.finish_reason is not None for piece in open_pieces):
        raise NotUnderstood("a text has no end, or goes on after it")
    return replace(last, text="".join(piece.text for piece in pieces))


def _stream_body(answer: CachedAnswer, wanted: StreamOptions) -> tuple[bytes, ...]:
    if wanted.include_obfuscation:
        raise NotUnderstood("padding is not made up")
    whole = decode(_completions, b"".join(answer.chunks))
    return *map(write_event, _chunks(whole, with_usage=wanted.usage)), DONE_EVENT


def _chunks(whole: TextCompletion, *, with_usage: bool) -> Iterable[TextCompletion]:
    """Each text in one piece, then its end, and the usage last if it is wanted: null in all others then, as OpenAI does
    with `include_usage`."""
    if len({choice.index for choice in whole.choices}) < len(whole.choices):
        raise NotUnderstood("two choices have the same index")
    mould = replace(whole, choices=[], usage=None if with_usage else UNSET, obfuscation=UNSET)
    chunks = [replace(mould, choices=[piece]) for choice in whole.choices for piece in _pieces(choice)]
    if not with_usage:
        return chunks
    if not isinstance(whole.usage, dict):
        raise NotUnderstood("the answer does not say what it used")
    return [*chunks, replace(mould, usage=whole.usage)]


def _pieces(choice: TextChoice) -> Iterator[TextChoice]:
    if choice.finish_reason is None:
        raise NotUnderstood("a text has no end")
    yield replace(choice, finish_reason=None)
    yield replace(choice, text="")
