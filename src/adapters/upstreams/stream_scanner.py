"""Reads along with an OpenAI event stream, chat or Responses, and says what each event means.

Until the first content every event is read. After it bytes only pass: a stream is then searched for the few words that
matter (its end, an error), and an event is read only where one of them stands.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from adapters.upstreams.error_kinds import classify_in_stream
from adapters.upstreams.error_words import ErrorWords
from adapters.upstreams.lenient_json import decode
from adapters.upstreams.reply_judge import UsageWords
from adapters.upstreams.sse import DONE, begins_like_events, complete_until, parse_event, split_events
from application.messages import Frame, FrameKind
from domain.failure import Failure, FailureKind
from domain.tokens import Usage

MAX_PENDING_BYTES = 16 * 1024 * 1024
"""An event longer than this passes in pieces, so that a provider without blank lines cannot fill the memory."""

_WORTH_READING = re.compile(
    rb'"finish_reason"\s*:\s*"|\[DONE\]|"error"\s*:\s*[{"]|event:\s?error|response\.(?:completed|incomplete|failed)'
    rb'|"usage"\s*:\s*\{'
)
_PRE_OUTPUT = ("response.created", "response.queued", "response.in_progress")
_COMPLETE = ("response.completed", "response.incomplete")


class _Choice(Struct):
    index: int = 0
    delta: dict[str, Any] | None = None
    finish_reason: str | None = None
    text: str | None = None


class _Response(Struct):
    error: Any = None
    usage: UsageWords | None = None


class _Data(Struct):
    type: str | None = None
    error: Any = None
    choices: list[_Choice] | None = None
    response: _Response | None = None
    usage: UsageWords | None = None
    sequence_number: int | None = None
    code: Any = None
    message: Any = None


_decoder = msgspec.json.Decoder(_Data, strict=False)


class OpenAIStreamScanner:
    """See `application.ports.StreamScanner`. `choices` is the `n` of the request."""

    def __init__(self, owns_credential: bool, choices: int = 1) -> None:
        self._owns_credential = owns_credential
        self._choices = max(1, choices)
        self._finished: set[int] = set()
        self._pending = bytearray()
        self._mid_event = False
        self._sequence_number = -1
        self._speaks_responses = False
        self.began = False
        self.ended = False
        self.failure: Failure | None = None
        self.is_told = False
        self.usage: Usage | None = None

    @property
    def pending_bytes(self) -> int:
        """How many of the last bytes fed belong to an event that is not whole yet."""
        return len(self._pending)

    @property
    def is_event_stream(self) -> bool:
        """Is this an event stream, or could what has come so far still become one?"""
        return self.began or begins_like_events(self._pending)

    def feed(self, chunk: bytes) -> Sequence[Frame]:
        """The events that are whole now."""
        self._pending += chunk
        whole = bytes(self._pending[: complete_until(self._pending)])
        del self._pending[: len(whole)]
        return [self._read(frame) for frame in split_events(whole)]

    def relay(self, chunk: bytes) -> bytes:
        """The bytes of all events that are whole now."""
        if self._pending:
            self._pending += chunk
            chunk = bytes(self._pending)
            self._pending.clear()
        if not chunk.endswith(b"\n\n"):
            end = complete_until(chunk)
            if len(chunk) - end > MAX_PENDING_BYTES:
                self._mid_event = True
                return chunk
            self._pending += chunk[end:]
            chunk = chunk[:end]
        if chunk:
            self._mid_event = False
            if is_worth_reading(chunk):
                for frame in split_events(chunk):
                    self._read(frame)
        return chunk

    def finish(self) -> bytes:
        """The body is over: what came after the last blank line is read as an event, and returned."""
        rest = bytes(self._pending)
        self._pending.clear()
        if rest.strip():
            self._read(rest)
        return rest

    def error_frame(self, message: str, code: str) -> bytes:
        """An error event. Chat: `error` alone; Responses: nested and flat, with the next sequence number."""
        error = {"message": message, "type": "server_error", "param": None, "code": code}
        lead = b"\n\n" if self._mid_event else b""
        if not self._speaks_responses:
            return lead + b"data: " + msgspec.json.encode({"error": error}) + b"\n\n"
        data = {"type": "error", "sequence_number": self._sequence_number + 1, "error": error, **_flat(error)}
        return lead + b"event: error\ndata: " + msgspec.json.encode(data) + b"\n\n"

    def _read(self, frame: bytes) -> Frame:
        event = parse_event(frame)
        if not event.recognised:
            return self._junk(frame)
        if event.data is None:
            return Frame(frame, FrameKind.PREAMBLE)
        self.began = True
        if event.data == DONE:
            self.ended = True
            return Frame(frame, FrameKind.END)
        try:
            data = decode(_decoder, event.data)
        except (ValueError, RecursionError):
            return self._junk(frame)
        if data.sequence_number is not None:
            self._sequence_number = data.sequence_number
        words = data.usage or (data.response and data.response.usage)
        if words:
            self.usage = words.usage()
        kind = self._kind(event.name, data)
        if kind is not FrameKind.ERROR:
            return Frame(frame, kind)
        self.is_told = bool(data.error) or self._speaks_responses or data.type == "response.failed"
        error = ErrorWords.of(data.error or (data.response and data.response.error) or _flat_words(data))
        self.failure = classify_in_stream(error, owns_credential=self._owns_credential)
        return Frame(frame, FrameKind.ERROR, self.failure)

    def _kind(self, name: bytes, data: _Data) -> FrameKind:
        if data.error or name == b"error" or data.type in ("error", "response.failed"):
            return FrameKind.ERROR
        if data.type is not None and data.type.startswith("response."):
            self._speaks_responses = True
            if data.type in _COMPLETE:
                self.ended = True
                return FrameKind.END
            return FrameKind.PREAMBLE if data.type in _PRE_OUTPUT else FrameKind.CONTENT
        return self._chat_kind(data.choices or [])

    def _chat_kind(self, choices: Sequence[_Choice]) -> FrameKind:
        kind = FrameKind.PREAMBLE
        for choice in choices:
            if choice.text or (choice.delta and any(v for k, v in choice.delta.items() if k != "role")):
                kind = FrameKind.CONTENT
            if choice.finish_reason:
                kind = FrameKind.CONTENT
                self._finished.add(choice.index)
        if len(self._finished) >= self._choices:
            self.ended = True
            return FrameKind.END
        return kind

    def _junk(self, frame: bytes) -> Frame:
        """Before content a reason to try elsewhere; after it, only the client can say what it makes of it."""
        return Frame(frame, FrameKind.ERROR, Failure(FailureKind.JUNK, "not an event of this API"))


def is_worth_reading(chunk: bytes) -> bool:
    """Does `_WORTH_READING` stand in it? Nearly never, which plain words tell in two thirds of the time."""
    find = chunk.find  # `in` takes the word for a number first, which costs more than the search (CPython 3.11)
    may_be = (
        find(b"[DONE]") >= 0
        or find(b"error") >= 0
        or find(b"complete") >= 0
        or find(b"response.failed") >= 0
        or chunk.count(b'"finish_reason"') > chunk.count(b'"finish_reason":null')
        or chunk.count(b'"usage"') > chunk.count(b'"usage":null')
    )
    return bool(may_be and _WORTH_READING.search(chunk))


def _flat(error: dict[str, Any]) -> dict[str, Any]:
    return {key: error[key] for key in ("message", "code", "param")}


def _flat_words(data: _Data) -> dict[str, Any]:
    return {"code": data.code, "message": data.message}
