"""What a provider says on a Responses socket, as far as it matters here: how turns begin and end, and what they took.

A message's type stands at its beginning; all others are content, and not read.
"""

import re
import time
from typing import Any

import msgspec
from msgspec import Raw, Struct

from adapters.upstreams.openai.errors.error_fields import ErrorFields
from adapters.upstreams.openai.errors.error_kinds import DELAYED, classify, classify_in_stream
from adapters.upstreams.openai.errors.reply_judge import UsageWords
from adapters.upstreams.openai.errors.retry_delay import retry_delay_s
from adapters.upstreams.openai.lenient_json import Odd, decode
from adapters.upstreams.openai.realtime_events import CLOSE_CODES
from application.messages import WholeReply
from application.socket_ports import SocketEvent
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind

_TYPE = re.compile(
    rb'"type"\s*:\s*"(?:(response\.(?:created|queued|in_progress))|(response\.(?:completed|incomplete|cancelled))'
    rb'|response\.failed|error)"'
)
_LANE = re.compile(rb'"stream_id"\s*:\s*"([A-Za-z0-9_.\-]{1,256})"')
_OF_REPLIES = ("x-request-id", "x-ratelimit-", "x-should-retry", "retry-after")
"""Headers in an error that its client may want to know; all others are about what carries it."""
_LOOKED_AT = 512
"""Bytes of a message in which its type is looked for: before it may stand the name of a lane."""


class _Response(Struct):
    usage: UsageWords | Odd = None
    error: Any = None


class _Message(Struct):
    stream_id: Any = None
    status: Any = None
    headers: Any = None
    response: _Response | Odd = None
    error: Any = None


class _Refusal(Struct):
    status: Any = None
    headers: Any = None
    error: Raw = Raw(b"null")


_message = msgspec.json.Decoder(_Message)
_refusal = msgspec.json.Decoder(_Refusal)
_fields = msgspec.json.Decoder(dict[str, Raw])
_IN_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")
"""Inside strings of JSON there are no line ends."""


class ResponsesEvents:
    """See `SocketEvents`."""

    def event(self, endpoint: Endpoint, message: bytes) -> SocketEvent | None:
        """See `SocketEvents`. Of a message that cannot be read only its kind is known."""
        found = _TYPE.search(message, 0, _LOOKED_AT)
        if found is None:
            return None
        try:
            said = decode(_message, message)
        except (ValueError, RecursionError):
            said = _Message()
            lane = _LANE.search(message, 0, _LOOKED_AT)
            said.stream_id = lane[1].decode() if lane is not None else None
        lane_name = said.stream_id if isinstance(said.stream_id, str) else ""
        response = said.response if isinstance(said.response, _Response) else _Response()
        usage = response.usage.usage() if isinstance(response.usage, UsageWords) else None
        if found[1] or found[2]:
            return SocketEvent(turn="begins" if found[1] else "ends", usage=usage, lane=lane_name)
        is_error = found[0].endswith(b'"error"')
        failure = _of_error(said, endpoint) if is_error else _of_response(response, endpoint)
        return SocketEvent(is_error=is_error, turn="ends", usage=usage, failure=failure, lane=lane_name)

    def refusal(self, endpoint: Endpoint, message: bytes, close_code: int) -> tuple[Failure, WholeReply | None]:
        event = self.event(endpoint, message) if message else None
        if event is None or event.failure is None:
            kind, words = CLOSE_CODES.get(close_code, (FailureKind.TRUNCATED, ""))
            return Failure(kind, words or f"socket closed with {close_code}"), None
        try:
            said = _refusal.decode(message)
        except (ValueError, RecursionError):
            said = _Refusal()
        if not event.is_error:
            return event.failure, _as_stream(message)
        if bytes(said.error) == b"null":
            return event.failure, None
        status = said.status if type(said.status) is int and 400 <= said.status < 600 else 400
        told = tuple((name, value) for name, value in _told(said.headers).items() if name.startswith(_OF_REPLIES))
        body = b'{"error":%b}' % said.error
        return event.failure, WholeReply(status, (("content-type", "application/json"), *told), body)


def _as_stream(message: bytes) -> WholeReply | None:
    """A response that failed, as the stream of a request would say it; None = it cannot be read."""
    try:
        fields = _fields.decode(message)
    except (ValueError, RecursionError):
        return None
    fields.pop("stream_id", None)  # whoever sends it to a client names the lane
    event = msgspec.json.encode(fields).translate(_IN_ONE_LINE)
    return WholeReply(200, (("content-type", "text/event-stream"),), b"event: response.failed\ndata: %b\n\n" % event)


def _of_error(said: _Message, endpoint: Endpoint) -> Failure:
    words = ErrorFields.of(said.error)
    if type(said.status) is not int or not 400 <= said.status < 600:
        return classify_in_stream(words, owns_credential=endpoint.owns_credential)
    delay_s = None
    if said.status in DELAYED:
        delay_s = retry_delay_s(_told(said.headers), words, time.time())
    failure = classify(said.status, words, owns_credential=endpoint.owns_credential, retry_after_s=delay_s)
    return Failure(failure.kind, failure.reason, False, delay_s, failure.hint)


def _told(headers: Any) -> dict[str, str]:
    """The headers that a message says it would have over HTTP."""
    named = headers.items() if isinstance(headers, dict) else ()
    return {str(name).lower(): value for name, value in named if isinstance(value, str)}


def _of_response(response: _Response, endpoint: Endpoint) -> Failure:
    return classify_in_stream(ErrorFields.of(response.error), owns_credential=endpoint.owns_credential)
