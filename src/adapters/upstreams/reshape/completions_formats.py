"""Answers of the older completions API as the cache must know them: a text for each choice.

Whole answers and chunks have the same fields (openai-python, `Completion`), which are read strictly: with one that is
unknown here, log probabilities or a content filter's verdict, an answer is not made into another shape.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from adapters.upstreams.openai.lenient_json import decode_exactly
from adapters.upstreams.reshape.chat_wire import Text, Words
from adapters.upstreams.reshape.finish_reasons import all_ended
from adapters.upstreams.reshape.reshaping import AnswerFormat, Dialect, NotUnderstood, in_order, told

GOOD_ENDS = frozenset(("stop",))


class TextChoice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    text: str
    index: int
    logprobs: None = None
    finish_reason: str | None = None  # None = more comes


class TextCompletion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: Words = UNSET
    system_fingerprint: Text = UNSET
    obfuscation: Text = UNSET


_read = partial(decode_exactly, msgspec.json.Decoder(TextCompletion))


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
    choices = [_strung(each) for each in in_order(pieces)]
    return replace(chunks[0], choices=choices, usage=usages[0], obfuscation=UNSET)


def _strung(pieces: list[TextChoice]) -> TextChoice:
    *open_pieces, last = pieces
    if last.finish_reason is None or any(piece.finish_reason is not None for piece in open_pieces):
        raise NotUnderstood("a text has no end, or goes on after it")
    return replace(last, text="".join(piece.text for piece in pieces))


def _chunks(whole: TextCompletion, with_usage: bool) -> Iterable[TextCompletion]:
    return told(whole, replace(whole, obfuscation=UNSET), _pieces, with_usage)


def _pieces(choice: TextChoice) -> Iterator[TextChoice]:
    if choice.finish_reason is None:
        raise NotUnderstood("a text has no end")
    yield replace(choice, finish_reason=None)
    yield replace(choice, text="")


_DIALECT = Dialect(_read, _read, _merged, _chunks)
COMPLETIONS = AnswerFormat(partial(all_ended, good_ends=GOOD_ENDS), _DIALECT.reshaped)
