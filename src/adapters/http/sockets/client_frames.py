"""What clients say on a Responses socket: one JSON object a message (OpenAI's reference, "WebSocket client events")."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import msgspec
from msgspec import Raw, Struct, structs

from application.body.model_key import TooManyKeys, model_keys
from application.body.narrowed import MAX_MARKS, has_too_many_marks
from domain.sockets.lanes import DEFAULT_LANE

_FOR_THE_SOCKET = ("type", "stream_id", "generate", "stream")
"""Fields of a `response.create` that are no fields of the request."""
_TRUE, _FALSE, _NULL = b"true", b"false", b"null"

_fields = msgspec.json.Decoder(dict[str, Raw])
_items = msgspec.json.Decoder(list[Raw])
_text = msgspec.json.Decoder(str)


class _CacheOptions(Struct):
    prewarm: bool = False


class _Seen(Struct):
    type: Any = None
    stream_id: Any = None
    model: Any = None


_seen = msgspec.json.Decoder(_Seen)
_cache_options = msgspec.json.Decoder(_CacheOptions)


class BadFrame(Exception):
    """A message that says nothing that can be answered. The text says why."""

    def __init__(self, message: str, code: str, lane: str = DEFAULT_LANE, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.lane = lane
        self.param = param


class Create(Struct, frozen=True):
    """A turn that is asked for."""

    lane: str
    fields: Mapping[str, bytes]
    """Of the request, each as it stood in JSON."""
    previous: str
    """The id of the response that it builds on; empty = it builds on none."""
    generate: bool
    """False = it only warms up: no answer is wanted."""

    @property
    def model(self) -> str:
        """Empty = it names none."""
        try:
            return _text.decode(self.fields.get("model", b'""'))
        except (ValueError, RecursionError):
            return ""

    @property
    def size(self) -> int:
        """Of its fields, in bytes."""
        return sum(map(len, self.fields.values()))

    @property
    def is_stored(self) -> bool:
        """Is the provider to keep the response?"""
        return self.fields.get("store") != _FALSE

    @property
    def items(self) -> Sequence[bytes]:
        """What it says, each item as it stood in JSON. A mere text is one of the user's."""
        value = self.fields.get("input", _NULL)
        if value[:1] == b'"':
            return (b'{"type":"message","role":"user","content":%b}' % value,)
        try:
            return [bytes(item) for item in _items.decode(value)]
        except (ValueError, RecursionError):
            return ()

    def with_items(self, items: Sequence[bytes]) -> "Create":
        """The same that says these instead."""
        return structs.replace(self, fields={**self.fields, "input": b"[%b]" % b",".join(items)})

    def body(self, before: Sequence[bytes] = (), previous: str | None = None) -> bytes:
        """The body of the same request over HTTP, with the items `before` its own; `previous`: what it builds on then,
        empty = on nothing; None = as it says itself."""
        fields = dict(self.fields)
        if before:
            fields["input"] = b"[%b]" % b",".join((*before, *self.items))
        if previous is not None:
            fields.pop("previous_response_id", None)
            if previous:
                fields["previous_response_id"] = msgspec.json.encode(previous)
        # Models that think take no temperature, and what has encrypted thoughts in it is not cached.
        if not self.is_stored and fields.get("temperature", _NULL) == _NULL:
            fields["include"] = _with_reasoning(fields.get("include", _NULL))
        fields["stream"] = _TRUE
        return b"{%b}" % b",".join([b"%b:%b" % (msgspec.json.encode(name), raw) for name, raw in fields.items()])


class Asked(Struct, frozen=True):
    """A turn that is asked for, as far as it has to be known where it is passed on."""

    lane: str
    model: str
    """Empty = it names none."""


class Cancel(Struct, frozen=True):
    """A turn is to end; by its response's id, or its lane where that is empty."""

    response_id: str
    lane: str


class Addition(Struct, frozen=True):
    """Something for a response that runs, which is not taken here."""

    type: str
    response_id: str
    input: bytes
    """As it stood in JSON."""


class Processed(Struct, frozen=True):
    """The client has read a response: nobody answers that."""


ClientEvent = Create | Cancel | Addition | Processed


def client_event(data: bytes) -> ClientEvent:
    """What a message says. Raises `BadFrame`."""
    _check_marks(data)
    try:
        fields = _fields.decode(data)
    except (ValueError, RecursionError):
        raise BadFrame("The message is no JSON object.", "invalid_json") from None
    kind = _string(fields, "type")
    lane = _string(fields, "stream_id")
    if "stream_id" in fields and not lane and bytes(fields["stream_id"]) != _NULL:
        raise BadFrame("'stream_id' must be a text that is not empty.", "invalid_stream_id", param="stream_id")
    match kind:
        case "response.create":
            return _create(fields, lane)
        case "response.cancel":
            return Cancel(_string(fields, "response_id"), lane)
        case "response.steer":
            return Addition(kind, _string(fields, "previous_response_id"), bytes(fields.get("input", Raw(_NULL))))
        case "response.inject":
            return Addition(kind, _string(fields, "response_id"), bytes(fields.get("input", Raw(_NULL))))
        case "response.processed":
            return Processed()
    raise BadFrame("'type' must be response.create or response.cancel.", "unknown_event_type", lane, "type")


def turn_in(message: bytes) -> Asked | None:
    """The turn that a message asks for; None = it asks for none.

    Raises `BadFrame` for what one reader could take for a turn and another not: the endpoint would be asked for a model
    that nobody has looked at.
    """
    _check_marks(message)
    try:
        seen = _seen.decode(message)
    except (ValueError, RecursionError):
        seen = _leniently_seen(message)
    if seen.type == "response.create":
        lane = seen.stream_id if isinstance(seen.stream_id, str) else DEFAULT_LANE
        return Asked(lane, seen.model if isinstance(seen.model, str) else "")
    try:
        names_model = bool(model_keys(message))
    except TooManyKeys:
        names_model = True
    if names_model:
        raise BadFrame("Only response.create names a model.", "invalid_request", param="model")
    return None


def _leniently_seen(message: bytes) -> _Seen:
    """Half an emoji is for the provider to judge."""
    try:
        found = json.loads(message, parse_constant=_refuse_constant) if b"\\u" in message else None
        if isinstance(found, dict):
            return msgspec.convert(found, _Seen)
    except (ValueError, RecursionError):
        pass
    raise BadFrame("The message is no JSON object.", "invalid_json")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _check_marks(message: bytes) -> None:
    if len(message) > MAX_MARKS and has_too_many_marks(message):
        raise BadFrame(f"The message has more than about {MAX_MARKS} values, quotes and escapes.", "too_many_values")


def _create(fields: Mapping[str, Raw], lane: str) -> Create:
    raw = {name: bytes(value) for name, value in fields.items() if name not in _FOR_THE_SOCKET}
    if raw.get("background", _FALSE) not in {_FALSE, _NULL}:
        raise BadFrame("'background' is not served over WebSocket.", "invalid_request", lane, "background")
    generate = bytes(fields.get("generate", Raw(_TRUE))) != _FALSE and not _prewarms(raw)
    return Create(lane, raw, _string(fields, "previous_response_id"), generate)


def _prewarms(raw: Mapping[str, bytes]) -> bool:
    try:
        return _cache_options.decode(raw.get("prompt_cache_options", b"{}")).prewarm
    except (ValueError, RecursionError):
        return False


def _string(fields: Mapping[str, Raw], name: str) -> str:
    """Empty = it is not there, or no text."""
    try:
        return _text.decode(fields[name]) if name in fields else ""
    except (ValueError, RecursionError):
        return ""


_REASONING = b'"reasoning.encrypted_content"'


def _with_reasoning(include: bytes) -> bytes:
    """What is thought has to be read again by whoever answers the next turn, and nobody keeps it but the client."""
    try:
        listed = [bytes(each) for each in _items.decode(include)]
    except (ValueError, RecursionError):
        listed = []
    return b"[%b]" % b",".join(listed if _REASONING in listed else [*listed, _REASONING])
