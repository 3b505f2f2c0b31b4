"""Embeddings and moderations as the cache must know them: a list of results, and one shape only."""

from typing import NoReturn

import msgspec
from msgspec import Raw, Struct

from adapters.upstreams.reshape.reshaping import AnswerFormat, NotUnderstood
from application.store_ports import CachedAnswer, Shape


class _Embedding(Struct):
    embedding: Raw  # numbers, or their bytes in base64: not decoded, there are thousands


class _Embeddings(Struct):
    data: list[_Embedding]
    error: object = None


class _Verdict(Struct):
    flagged: bool


class _Moderations(Struct):
    results: list[_Verdict]
    error: object = None


_embeddings = msgspec.json.Decoder(_Embeddings)
_moderations = msgspec.json.Decoder(_Moderations)


def _has_vectors(answer: CachedAnswer) -> bool:
    read = _embeddings.decode(b"".join(answer.chunks))
    are_filled = all(_is_vector(one.embedding) for one in read.data)
    return not answer.shape.stream and read.error is None and bool(read.data) and are_filled


def _is_vector(text: Raw) -> bool:
    view = memoryview(text)
    return len(view) > 2 and view[0] in b'["'


def _has_verdicts(answer: CachedAnswer) -> bool:
    read = _moderations.decode(b"".join(answer.chunks))
    return not answer.shape.stream and read.error is None and bool(read.results)


def _not_reshaped(answer: CachedAnswer, shape: Shape) -> NoReturn:
    raise NotUnderstood(f"{answer.shape} cannot become {shape}")


EMBEDDINGS = AnswerFormat(_has_vectors, _not_reshaped)
MODERATIONS = AnswerFormat(_has_verdicts, _not_reshaped)
