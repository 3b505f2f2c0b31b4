"""What the cache must know about chat answers: whether they ended well, and how they look in another shape.

A conversion is made only where its outcome is what the provider itself would have sent, but for how the text is cut
into pieces; everything else is a miss, which costs one upstream call and is never wrong.
"""

from typing import Any

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from adapters.upstreams.chat_chunks import chunks_of
from adapters.upstreams.chat_merge import merge
from adapters.upstreams.chat_wire import (
    DONE,
    DONE_EVENT,
    Chunk,
    NotUnderstood,
    read_chunk,
    read_completion,
    read_events,
    write,
    write_event,
)
from adapters.upstreams.lenient_json import decode
from adapters.upstreams.sse import parse_event, split_events
from application.messages import Api, Headers
from application.store_ports import CachedAnswer, Shape

GOOD_ENDS = frozenset(("stop", "tool_calls", "function_call"))
"""The reasons a choice ends for when the model was done; the others are `length` and `content_filter`."""

JSON = "application/json"
EVENT_STREAM = "text/event-stream; charset=utf-8"

_UNREADABLE = (ValueError, RecursionError)


class _Ending(Struct):
    index: int = 0
    finish_reason: str | None = None


class _Body(Struct):
    """What a whole answer and a chunk have in common; fields unknown here do no harm."""

    choices: list[_Ending]
    usage: Any = None
    error: Any = None


class _StreamOptions(Struct, frozen=True, forbid_unknown_fields=True):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None
    """None = on: the API's default (openai-python, `ChatCompletionStreamOptionsParam`)."""

    @property
    def usage(self) -> bool:
        return self.include_usage is True

    @property
    def obfuscation(self) -> bool:
        return self.include_obfuscation is not False


_bodies = msgspec.json.Decoder(_Body)
_stream_options = msgspec.json.Decoder(_StreamOptions | None)


class OpenAIAnswerFormats:
    """See `application.store_ports.AnswerFormats`. Of other APIs than chat it knows nothing.

    The padding called obfuscation is never made up. A client that asks for it by name gets none of our streams but a
    recorded one that was asked for with it; one that says nothing about it may get a stream without: what it hides, how
    long each piece is, a stream with all text in one piece does not show.
    """

    def ended_well(self, api: Api, answer: CachedAnswer) -> bool:
        """Whole, without an error, without a content coding, and each choice ended because the model was done."""
        try:
            return api is Api.CHAT and not _is_coded(answer.headers) and _ended_well(answer)
        except _UNREADABLE:
            return False

    def reshaped(self, api: Api, answer: CachedAnswer, shape: Shape) -> CachedAnswer | None:
        """The very answer if the shape is equal. None = a field is not understood, something would be missing, or the
        client asks for options that are unknown here."""
        if shape == answer.shape:
            return answer
        if api is not Api.CHAT or _is_coded(answer.headers):
            return None
        try:
            return _reshaped(answer, shape)
        except _UNREADABLE:
            return None


def _is_coded(headers: Headers) -> bool:
    return any(name == "content-encoding" and value.strip().lower() not in ("", "identity") for name, value in headers)


def _ended_well(answer: CachedAnswer) -> bool:
    body = b"".join(answer.chunks)
    if not answer.shape.stream:
        whole = decode(_bodies, body)
        return whole.error is None and bool(whole.choices) and all(_is_good(choice) for choice in whole.choices)
    is_done = has_usage = False
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
            if choice.finish_reason is not None and not _is_good(choice):
                return False
            endings[choice.index] = choice.finish_reason or endings.get(choice.index)
    return bool(endings) and all(endings.values()) and (is_done or has_usage or not _wants_usage(answer.shape))


def _is_good(choice: _Ending) -> bool:
    return choice.finish_reason in GOOD_ENDS


def _wants_usage(shape: Shape) -> bool:
    """Without `[DONE]`, a usage that was asked for and did not come was cut off."""
    try:
        return _options(shape).usage
    except _UNREADABLE:
        return True


def _options(shape: Shape) -> _StreamOptions:
    """Raises `ValueError` if there are any that are unknown here."""
    if not shape.options:
        return _StreamOptions()
    return _stream_options.decode(shape.options) or _StreamOptions()


def _reshaped(answer: CachedAnswer, shape: Shape) -> CachedAnswer:
    have, wanted = _options(answer.shape), _options(shape)
    if not shape.stream:
        if wanted != _StreamOptions():
            raise NotUnderstood("options of a stream, for an answer that is none: providers refuse that")
        if answer.shape.stream:
            return _rewritten(answer, shape, (_whole_body(answer),), JSON)
        return replace(answer, shape=shape)
    if not answer.shape.stream:
        return _rewritten(answer, shape, _stream_body(answer, wanted), EVENT_STREAM)
    if (have.usage, have.obfuscation) == (wanted.usage, wanted.obfuscation):
        return replace(answer, shape=shape)
    return replace(answer, shape=shape, chunks=_trimmed(answer, have, wanted))


def _whole_body(answer: CachedAnswer) -> bytes:
    events = read_events(b"".join(answer.chunks))
    return write(merge(read_chunk(event.data or b"") for event in events if event.data != DONE))


def _stream_body(answer: CachedAnswer, wanted: _StreamOptions) -> tuple[bytes, ...]:
    if wanted.include_obfuscation:
        raise NotUnderstood("padding is not made up")
    whole = read_completion(b"".join(answer.chunks))
    return *map(write_event, chunks_of(whole, with_usage=wanted.usage)), DONE_EVENT


def _trimmed(answer: CachedAnswer, have: _StreamOptions, wanted: _StreamOptions) -> tuple[bytes, ...]:
    """The recorded stream without the usage and the padding that are not wanted, cut and grouped as it was."""
    if (wanted.usage and not have.usage) or (wanted.include_obfuscation and not have.obfuscation):
        raise NotUnderstood("what is wanted was not recorded")
    read_events(b"".join(answer.chunks))
    groups = (b"".join(_trimmed_event(frame, wanted) for frame in split_events(group)) for group in answer.chunks)
    return tuple(filter(None, groups))


def _trimmed_event(frame: bytes, wanted: _StreamOptions) -> bytes:
    """One event; b"" = nothing of it is wanted. One that holds nothing unwanted stays as it is, byte for byte."""
    data = parse_event(frame).data
    if data is None or data == DONE:
        return frame
    chunk = read_chunk(data)
    trimmed = chunk if wanted.usage else replace(chunk, usage=UNSET)
    trimmed = trimmed if wanted.obfuscation else replace(trimmed, obfuscation=UNSET)
    if trimmed == chunk:
        return frame
    return b"" if not wanted.usage and _says_only_usage(chunk) else write_event(trimmed)


def _says_only_usage(chunk: Chunk) -> bool:
    """Clients that did not ask for it read `choices[0]` of each chunk, and fail on this one."""
    return isinstance(chunk.usage, dict) and not chunk.choices and chunk.prompt_filter_results is UNSET


def _rewritten(answer: CachedAnswer, shape: Shape, chunks: tuple[bytes, ...], content_type: str) -> CachedAnswer:
    kept = [(name, value) for name, value in answer.headers if name not in ("content-type", "content-length")]
    return replace(answer, shape=shape, headers=(("content-type", content_type), *kept), chunks=chunks)
