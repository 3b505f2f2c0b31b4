"""Answers of the Responses API as the cache must know them: a response object, alone or at the end of its events.

The event that ends a stream holds the very object that the whole answer is. The events of a whole answer are not made
up: there are about sixty kinds (openai-python, `ResponseStreamEvent`), numbered, and each kind of item has its own.
"""

from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from adapters.upstreams.openai.lenient_json import decode
from adapters.upstreams.openai.streams.event_content import says
from adapters.upstreams.openai.streams.sse import DONE, Event, read_whole
from adapters.upstreams.reshape.reshaping import AnswerFormat, NotUnderstood, check_unstreamed, options_of, rewritten
from application.store_ports import CachedAnswer, Shape

COMPLETED = "response.completed"
_PART_LABELS = frozenset(("type", "annotations", "logprobs"))
_BAD_KINDS = frozenset(("error", "response.failed", "response.incomplete", "response.cancelled"))


class _Item(Struct):
    type: str | None = None
    status: str | None = None
    encrypted_content: Any = None
    content: Any = None

    @property
    def says_something(self) -> bool:
        """Is it a call, or a message with something in it? Reasoning alone is no answer."""
        kind = self.type or ""
        return kind.endswith("_call") or (kind == "message" and says(self.content, _PART_LABELS))


class _Response(Struct):
    id: str
    object: Literal["response"]
    status: str
    output: list[_Item]
    error: Any = None
    incomplete_details: Any = None
    store: bool | None = None


class _Event(Struct):
    type: str
    error: Any = None
    response: Any = None


class _LastEvent(Struct):
    response: Raw


_responses = msgspec.json.Decoder(_Response)
_events = msgspec.json.Decoder(_Event)
_last_events = msgspec.json.Decoder(_LastEvent)


def _ended_well(answer: CachedAnswer) -> bool:
    """Completed, with all output, neither stored nor encrypted: that would tie its reader to one account."""
    body = b"".join(answer.chunks)
    if not answer.shape.stream:
        return _is_good(decode(_responses, body))
    return _is_good(msgspec.convert(decode(_events, _last_event(body)).response, _Response))


def _reshaped(answer: CachedAnswer, shape: Shape) -> CachedAnswer:
    """The whole answer from a stream, byte for byte as it stood there; of a stream, none with other options."""
    have, wanted = options_of(answer.shape), options_of(shape)
    if not shape.stream:
        check_unstreamed(wanted)
        if not answer.shape.stream:
            return replace(answer, shape=shape)
        last = _last_events.decode(_last_event(b"".join(answer.chunks)))
        return rewritten(answer, shape, (bytes(last.response),))
    if answer.shape.stream and have.means(wanted):
        return replace(answer, shape=shape)
    raise NotUnderstood("this stream was not recorded")


RESPONSES = AnswerFormat(_ended_well, _reshaped)


def _last_event(body: bytes) -> bytes:
    """The data of the event that completes the response. Raises `NotUnderstood` if there is none, or an error."""
    last: bytes | None = None
    is_done = False
    for event in read_whole(body):
        if is_done or (last is not None and event.data != DONE):
            raise NotUnderstood("the stream goes on after its end")
        if event.data == DONE:
            is_done = True
        elif _kind(event) == COMPLETED:
            last = event.data
    if last is None:
        raise NotUnderstood("the response is not completed")
    return last


def _kind(event: Event) -> str:
    read = decode(_events, event.data or b"")
    if event.name not in (b"", b"message", read.type.encode()):
        raise NotUnderstood("not an event of this API")
    if read.error is not None or read.type in _BAD_KINDS:
        raise NotUnderstood("it tells of an error")
    return read.type


def _is_good(response: _Response) -> bool:
    return (
        response.status == "completed"
        and response.error is None
        and response.incomplete_details is None
        and response.store is not True
        and any(item.says_something for item in response.output)
        and all(item.status in (None, "completed") and not item.encrypted_content for item in response.output)
    )
