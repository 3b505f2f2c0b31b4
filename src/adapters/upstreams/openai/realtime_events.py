"""What a provider says on a Realtime socket, as far as it matters here: limits, what answers took, what went wrong.

A message's type stands at its beginning; all others, mostly audio, are not read.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from adapters.upstreams.openai.errors.error_fields import ErrorFields
from adapters.upstreams.openai.errors.error_kinds import classify_in_stream
from adapters.upstreams.openai.errors.reply_judge import UsageWords
from adapters.upstreams.openai.lenient_json import decode
from application.messages import WholeReply
from application.socket_ports import LOST, SocketEvent
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.rate_limit.limit_reading import NO_READINGS, Reading, Readings

_TYPE = re.compile(rb'"type"\s*:\s*"(rate_limits\.updated|response\.created|response\.done|error)"')
_LOOKED_AT = 256
"""Bytes of a message in which its type is looked for."""

CLOSE_CODES = {
    LOST: (FailureKind.RESET, "socket lost"),
    1008: (FailureKind.CLIENT, ""),
    1009: (FailureKind.CLIENT, ""),
    1011: (FailureKind.SERVER_ERROR, ""),
    1012: (FailureKind.SERVER_ERROR, ""),
    1013: (FailureKind.OVERLOADED, ""),
    3000: (FailureKind.AUTH, ""),
    4000: (FailureKind.CLIENT, ""),
}
"""What a close code means where nothing was said before it: RFC 6455, 7.4.1; 3000 and 4000 as OpenAI uses them for bad
keys and bad requests."""
_STATUSES = {FailureKind.MONEY: 429, FailureKind.NOT_FOUND: 404, FailureKind.STATE: 404, FailureKind.CONFLICT: 409}
"""What a client is told whose socket is not opened, other than 400."""


class _Limit(Struct):
    name: Any = None
    limit: Any = None
    remaining: Any = None
    reset_seconds: Any = None


class _Limits(Struct):
    rate_limits: Sequence[_Limit] = ()


class _Details(Struct):
    error: Any = None


class _Response(Struct, frozen=True):
    status: Any = None
    usage: UsageWords | None = None
    status_details: _Details | None = None


class _Done(Struct):
    response: _Response = _Response()


class _Refusal(Struct):
    error: Raw = Raw(b"null")


_limits = msgspec.json.Decoder(_Limits)
_done = msgspec.json.Decoder(_Done)
_refusal = msgspec.json.Decoder(_Refusal)
_any: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Any)


class RealtimeEvents:
    """See `SocketEvents`."""

    def event(self, endpoint: Endpoint, message: bytes) -> SocketEvent | None:
        """See `SocketEvents`. What cannot be read says nothing."""
        found = _TYPE.search(message, 0, _LOOKED_AT)
        if found is None:
            return None
        try:
            match found[1]:
                case b"response.created":
                    return SocketEvent(turn="begins")
                case b"rate_limits.updated":
                    return SocketEvent(readings=_readings(decode(_limits, message).rate_limits))
                case b"response.done":
                    return _ended(decode(_done, message).response, endpoint)
            words = ErrorFields.of_body(decode(_any, message))
        except (ValueError, RecursionError):
            return SocketEvent(turn="ends") if found[1] == b"response.done" else None
        return SocketEvent(is_error=True, failure=classify_in_stream(words, owns_credential=endpoint.owns_credential))

    def refusal(self, endpoint: Endpoint, message: bytes, close_code: int) -> tuple[Failure, WholeReply | None]:
        event = self.event(endpoint, message) if message else None
        failure = None if event is None else event.failure
        if failure is None or failure.kind is FailureKind.UNKNOWN:
            kind, words = CLOSE_CODES.get(close_code, (FailureKind.UNKNOWN if failure else FailureKind.TRUNCATED, ""))
            failure = Failure(kind, words or f"socket closed with {close_code}")
        try:
            error = _refusal.decode(message).error
        except (ValueError, RecursionError):
            return failure, None
        body = b'{"error":%b}' % error
        return failure, WholeReply(_STATUSES.get(failure.kind, 400), (("content-type", "application/json"),), body)


def _ended(response: _Response, endpoint: Endpoint) -> SocketEvent:
    usage = None if response.usage is None else response.usage.usage()
    details, failure = response.status_details, None
    if response.status == "failed" and details is not None and details.error:
        words = ErrorFields.of(details.error)
        failure = classify_in_stream(words, owns_credential=endpoint.owns_credential)
    return SocketEvent(turn="ends", usage=usage, failure=failure)


def _readings(limits: Sequence[_Limit]) -> Readings:
    found = {limit.name: _reading(limit) for limit in limits if limit.name in ("requests", "tokens")}
    return Readings(found.get("requests", Reading()), found.get("tokens", Reading())) if found else NO_READINGS


def _reading(limit: _Limit) -> Reading:
    reading = Reading(_number(limit.limit), _number(limit.remaining), _number(limit.reset_seconds))
    return reading if reading.is_possible else Reading()


def _number(value: Any) -> float | None:
    """As it came: a whole number may be too large for a float."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
