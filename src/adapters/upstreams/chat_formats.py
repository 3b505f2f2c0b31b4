"""Chat answers as the cache must know them. One shape is made into the other by `chat_chunks` and `chat_merge`."""

from msgspec import UNSET
from msgspec.structs import replace

from adapters.upstreams.chat_chunks import chunks_of
from adapters.upstreams.chat_merge import merge
from adapters.upstreams.chat_wire import (
    DONE,
    DONE_EVENT,
    Chunk,
    read_chunk,
    read_completion,
    read_events,
    write,
    write_event,
)
from adapters.upstreams.choice_endings import all_ended
from adapters.upstreams.reshaping import (
    NotUnderstood,
    StreamOptions,
    as_stream,
    as_whole,
    check_unstreamed,
    options_of,
)
from adapters.upstreams.sse import parse_event, split_events
from application.store_ports import CachedAnswer, Shape

GOOD_ENDS = frozenset(("stop", "tool_calls", "function_call"))
"""The reasons a choice ends for when the model was done; the others are `length` and `content_filter`."""


class ChatFormat:
    """See `answer_formats.AnswerFormat`."""

    def ended_well(self, answer: CachedAnswer) -> bool:
        """Each choice ended because the model was done."""
        return all_ended(answer, GOOD_ENDS)

    def reshaped(self, answer: CachedAnswer, shape: Shape) -> CachedAnswer:
        """Either shape from the other, and a stream without the usage or the padding that are not wanted."""
        have, wanted = options_of(answer.shape), options_of(shape)
        if not shape.stream:
            check_unstreamed(wanted)
            return as_whole(answer, shape, _whole_body(answer)) if answer.shape.stream else replace(answer, shape=shape)
        if not answer.shape.stream:
            return as_stream(answer, shape, _stream_body(answer, wanted))
        if have.means(wanted):
            return replace(answer, shape=shape)
        return replace(answer, shape=shape, chunks=_trimmed(answer, have, wanted))


def _whole_body(answer: CachedAnswer) -> bytes:
    events = read_events(b"".join(answer.chunks))
    return write(merge(read_chunk(event.data or b"") for event in events if event.data != DONE))


def _stream_body(answer: CachedAnswer, wanted: StreamOptions) -> tuple[bytes, ...]:
    if wanted.include_obfuscation:
        raise NotUnderstood("padding is not made up")
    whole = read_completion(b"".join(answer.chunks))
    return *map(write_event, chunks_of(whole, with_usage=wanted.usage)), DONE_EVENT


def _trimmed(answer: CachedAnswer, have: StreamOptions, wanted: StreamOptions) -> tuple[bytes, ...]:
    """The recorded stream without the usage and the padding that are not wanted, cut and grouped as it was."""
    if (wanted.usage and not have.usage) or (wanted.include_obfuscation and not have.obfuscation):
        raise NotUnderstood("what is wanted was not recorded")
    read_events(b"".join(answer.chunks))
    groups = (b"".join(_trimmed_event(frame, wanted) for frame in split_events(group)) for group in answer.chunks)
    return tuple(filter(None, groups))


def _trimmed_event(frame: bytes, wanted: StreamOptions) -> bytes:
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
