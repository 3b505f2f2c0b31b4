"""What all APIs have in common when an answer of one shape is made into another: the client's options, the headers."""

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from application.store_ports import CachedAnswer, Shape

JSON = "application/json"
EVENT_STREAM = "text/event-stream; charset=utf-8"


class NotUnderstood(ValueError):
    """Something is in the answer, or missing from it, that keeps it from being told in another form."""


class StreamOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The `stream_options` of a request; an option that is unknown here is an error."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None
    """None = on: the API's default (openai-python, `ChatCompletionStreamOptionsParam`)."""

    @property
    def usage(self) -> bool:
        """Does the stream end with what it took?"""
        return self.include_usage is True

    @property
    def obfuscation(self) -> bool:
        """Is there padding that hides how long each piece is?"""
        return self.include_obfuscation is not False

    def means(self, other: "StreamOptions") -> bool:
        """Do both ask for the same stream?"""
        return (self.usage, self.obfuscation) == (other.usage, other.obfuscation)


NO_OPTIONS = StreamOptions()

_options = msgspec.json.Decoder(StreamOptions | None)


def options_of(shape: Shape) -> StreamOptions:
    """Raises `ValueError` if there are any that are unknown here."""
    return _options.decode(shape.options) or NO_OPTIONS if shape.options else NO_OPTIONS


def wants_usage(shape: Shape) -> bool:
    """Without `[DONE]`, a usage that was asked for and did not come was cut off. Options that are unknown here may ask
    for it."""
    try:
        return options_of(shape).usage
    except (ValueError, RecursionError):
        return True


def check_unstreamed(wanted: StreamOptions) -> None:
    """Raises `NotUnderstood` for options of a stream where none is wanted: providers refuse that."""
    if wanted != NO_OPTIONS:
        raise NotUnderstood("options of a stream, for an answer that is none")


def as_whole(answer: CachedAnswer, shape: Shape, body: bytes) -> CachedAnswer:
    """The same answer as JSON in one piece."""
    return _rewritten(answer, shape, (body,), JSON)


def as_stream(answer: CachedAnswer, shape: Shape, events: tuple[bytes, ...]) -> CachedAnswer:
    """The same answer as an event stream."""
    return _rewritten(answer, shape, events, EVENT_STREAM)


def _rewritten(answer: CachedAnswer, shape: Shape, chunks: tuple[bytes, ...], content_type: str) -> CachedAnswer:
    kept = [(name, value) for name, value in answer.headers if name not in ("content-type", "content-length")]
    return replace(answer, shape=shape, headers=(("content-type", content_type), *kept), chunks=chunks)
