"""What all APIs have in common when an answer of one shape is made into another: the client's options, the headers; and
for those whose chunks are pieces of the whole answer, the way from one shape to the other and back."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from adapters.upstreams.openai.lenient_json import encode
from adapters.upstreams.openai.streams.sse import DONE, DONE_EVENT, Event, read_whole, split_events
from application.store_ports import CachedAnswer, Shape

T = TypeVar("T")
W = TypeVar("W", bound=Struct)
C = TypeVar("C", bound=Struct)

JSON = "application/json"
EVENT_STREAM = "text/event-stream; charset=utf-8"


class NotUnderstood(ValueError):
    """Something is in the answer, or missing from it, that keeps it from being told in another form."""


class StreamOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The `stream_options` of a request; an option that is unknown here is an error."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None  # None = on, as openai-python says

    @property
    def usage(self) -> bool:
        return self.include_usage is True

    @property
    def obfuscation(self) -> bool:
        return self.include_obfuscation is not False

    def means(self, other: "StreamOptions") -> bool:
        return (self.usage, self.obfuscation) == (other.usage, other.obfuscation)


NO_OPTIONS = StreamOptions()

_LINE_SEPARATORS = [(code.encode(), b"\\u%04x" % ord(code)) for code in "\x85\u2028\u2029"]
_options = msgspec.json.Decoder(StreamOptions | None)


def options_of(shape: Shape) -> StreamOptions:
    """Raises `ValueError` if there are any that are unknown here."""
    return _options.decode(shape.options) or NO_OPTIONS if shape.options else NO_OPTIONS


def wants_usage(shape: Shape) -> bool:
    """Was a usage asked for, whose absence means a cut stream? True also for options that are unknown here."""
    try:
        return options_of(shape).usage
    except (ValueError, RecursionError):
        return True


def check_unstreamed(wanted: StreamOptions) -> None:
    """Raises `NotUnderstood` for options of a stream where none is wanted: providers refuse that."""
    if wanted != NO_OPTIONS:
        raise NotUnderstood("options of a stream, for an answer that is none")


def rewritten(answer: CachedAnswer, shape: Shape, chunks: tuple[bytes, ...]) -> CachedAnswer:
    """The same answer as an event stream, or as JSON in one piece, as the shape says."""
    content_type = EVENT_STREAM if shape.stream else JSON
    kept = [(name, value) for name, value in answer.headers if name not in ("content-type", "content-length")]
    return replace(answer, shape=shape, headers=(("content-type", content_type), *kept), chunks=chunks)


def in_order(parts: Mapping[int, T]) -> list[T]:
    """By index. Raises `NotUnderstood` if one is missing."""
    if set(parts) != set(range(len(parts))):
        raise NotUnderstood("an index is missing")
    return [parts[index] for index in range(len(parts))]


def told(whole: Any, mould: C, pieces: Callable[[Any], Iterable[Any]], with_usage: bool) -> list[C]:
    """One choice of a whole answer after the other, each `mould` with one of its `pieces`.

    As OpenAI does with `include_usage`, each then has a `usage`: null, but for a last one without choices. Raises
    `NotUnderstood` if the answer does not say what it used, or if two choices claim one place.
    """
    if len({choice.index for choice in whole.choices}) < len(whole.choices):
        raise NotUnderstood("two choices have the same index")
    mould = replace(mould, choices=[], usage=None if with_usage else UNSET)
    chunks = [replace(mould, choices=[piece]) for choice in whole.choices for piece in pieces(choice)]
    if not with_usage:
        return chunks
    if not isinstance(whole.usage, dict):
        raise NotUnderstood("the answer does not say what it used")
    return [*chunks, replace(mould, usage=whole.usage)]


def read_events(body: bytes) -> list[Event]:
    """The events that carry something, `[DONE]` included if it is there. Raises `ValueError` where the stream was cut
    inside an event, goes on after `[DONE]`, or holds what is no event of chat or of the older completions."""
    events: list[Event] = []
    for event in read_whole(body):
        if event.name not in (b"", b"message"):
            raise NotUnderstood("not an event of this API")
        if events and events[-1].data == DONE:
            raise NotUnderstood("the stream goes on after its end")
        events.append(event)
    return events


def write_event(chunk: Struct) -> bytes:
    """A chunk as an event. Escapes what `str.splitlines` takes for the end of a line and the standard does not: clients
    that read lines as httpx does would cut the event there."""
    data = encode(chunk)
    for raw, escaped in _LINE_SEPARATORS:
        data = data.replace(raw, escaped)
    return b"data: %b\n\n" % data


class AnswerFormat(Struct, frozen=True):
    """What is known of one API's answers, without a content coding. Both raise `ValueError`, `RecursionError`."""

    ended_well: Callable[[CachedAnswer], bool]  # whole, without an error, and the model was done
    reshaped: Callable[[CachedAnswer, Shape], CachedAnswer]  # in a shape that is not its own


class Dialect(Struct, Generic[W, C], frozen=True):
    """For an API that words whole answers as W and chunks as C. All raise `ValueError` or `RecursionError`."""

    read_whole: Callable[[bytes], W]
    read_chunk: Callable[[bytes], C]  # from the data of one event
    merge: Callable[[list[C]], W]
    chunks_of: Callable[[W, bool], Iterable[C]]  # with the usage of the whole answer in them, or without
    trim: Callable[[bytes, StreamOptions], bytes] | None = None
    """One event without the usage and the padding that are not wanted, b"" = nothing of it is; None = nobody here can
    leave anything out of this API's streams."""

    def reshaped(self, answer: CachedAnswer, shape: Shape) -> CachedAnswer:
        """Either shape from the other, and a stream from one that has more."""
        have, wanted = options_of(answer.shape), options_of(shape)
        if not shape.stream:
            check_unstreamed(wanted)
            if not answer.shape.stream:
                return replace(answer, shape=shape)
            return rewritten(answer, shape, (self._body(answer),))
        if not answer.shape.stream:
            return rewritten(answer, shape, self._events(answer, wanted))
        if have.means(wanted):
            return replace(answer, shape=shape)
        return replace(answer, shape=shape, chunks=self._trimmed(answer, have, wanted))

    def _body(self, answer: CachedAnswer) -> bytes:
        events = read_events(b"".join(answer.chunks))
        return encode(self.merge([self.read_chunk(event.data or b"") for event in events if event.data != DONE]))

    def _events(self, answer: CachedAnswer, wanted: StreamOptions) -> tuple[bytes, ...]:
        if wanted.include_obfuscation:
            raise NotUnderstood("padding is not made up")
        whole = self.read_whole(b"".join(answer.chunks))
        return *map(write_event, self.chunks_of(whole, wanted.usage)), DONE_EVENT

    def _trimmed(self, answer: CachedAnswer, have: StreamOptions, wanted: StreamOptions) -> tuple[bytes, ...]:
        """The recorded stream without what is not wanted, cut and grouped as it was."""
        trim = self.trim
        if trim is None:
            raise NotUnderstood("another stream was recorded")
        if (wanted.usage and not have.usage) or (wanted.include_obfuscation and not have.obfuscation):
            raise NotUnderstood("what is wanted was not recorded")
        read_events(b"".join(answer.chunks))
        groups = (b"".join(trim(frame, wanted) for frame in split_events(group)) for group in answer.chunks)
        return tuple(filter(None, groups))
