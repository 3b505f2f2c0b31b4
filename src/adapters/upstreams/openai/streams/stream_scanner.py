"""Reads along with an OpenAI event stream, chat or Responses, and says what each event means.

Until the first content every event is read. After it bytes only pass: a stream is then searched for the few words that
matter (its end, an error), and an event is read only where one of them stands.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from adapters.upstreams.openai.credential_mask import NO_MASK, CredentialMask
from adapters.upstreams.openai.errors.broken_choices import BROKEN, is_any_broken
from adapters.upstreams.openai.errors.error_fields import ErrorFields
from adapters.upstreams.openai.errors.error_kinds import classify_in_stream
from adapters.upstreams.openai.errors.reply_judge import WORDS, UsageWords
from adapters.upstreams.openai.lenient_json import Odd, decode
from adapters.upstreams.openai.streams.event_buffer import HEAD_BYTES, EventBuffer
from adapters.upstreams.openai.streams.event_content import event_says, says
from adapters.upstreams.openai.streams.event_shape import EventShape
from adapters.upstreams.openai.streams.expected_end import ONE, ChoicesEnded, ExpectedStream, is_reason, place
from adapters.upstreams.openai.streams.sse import BOM, DONE, ENDS, Event, begins_like_events, parse_event, split_events
from adapters.upstreams.openai.streams.worth_reading import is_worth_reading
from application.body.narrowed import Narrowed, is_heavy
from application.flow import Take, TakeFramed
from application.messages import Frame, FrameKind
from domain.failure import Failure, FailureKind
from domain.rate_limit.token_estimate import Usage

_LARGE_BYTES = 64 * 1024
_PRE_OUTPUT = ("response.created", "response.queued", "response.in_progress")
_COMPLETE = ("response.completed", "response.incomplete", "response.cancelled")
_COMPLETES = re.compile(
    rb'^(?:event:\s?|data:\s?\{\s*"type"\s*:\s*")response\.(?:completed|incomplete|cancelled)\b', re.MULTILINE
)
"""How an event begins that ends a stream, for one too long to be read."""


_TOO_LONG = Failure(FailureKind.JUNK, "an event without an end")


class _Choice(Struct):
    """Of any type: what is only bookkeeping makes no answer junk."""

    index: Any = None
    delta: Any = None
    message: Any = None
    text: Any = None
    finish_reason: Any = None


class _Response(Struct):
    error: Any = None
    usage: UsageWords | Odd = None


class _Data(Struct):
    type: Any = None
    error: Any = None
    choices: list[_Choice | Odd] | dict[str, Any] | str | int | float | bool | None = None
    response: _Response | Odd = None
    usage: UsageWords | Odd = None
    sequence_number: Any = None


_decoder = msgspec.json.Decoder(_Data)
_narrowed = Narrowed(
    *_Data.__struct_fields__, inside={"error": WORDS, "response": Narrowed("error", "usage", inside={"error": WORDS})}
)
_ENDS = re.compile(rb'"finish_reason"[ \t\r\n]*+:[ \t\r\n]*+"')
_errors = msgspec.json.Decoder(Any)


class OpenAIStreamScanner:
    """See `application.ports.StreamScanner`."""

    __slots__ = (
        "_buffer", "_calm", "_choices", "_flows", "_giant_ends", "_mask", "_owns_credential", "_sequence_number",
        "_shape", "_speaks_responses", "_start", "began", "ended", "failure", "is_body", "is_done", "is_junk",
        "is_told", "noticed", "usage",
    )  # fmt: skip

    def __init__(
        self,
        owns_credential: bool,
        expected: ExpectedStream = ONE,
        mask: Callable[[], CredentialMask] = lambda: NO_MASK,
    ) -> None:
        """`mask` is asked for when the stream holds an error, which might quote the endpoint's credential."""
        self._owns_credential = owns_credential
        self._mask = mask
        self._choices = ChoicesEnded(expected)
        self._buffer = EventBuffer()
        self._start: bytes | None = b""
        self._giant_ends = False
        self._calm = self._flows = False
        self._shape = EventShape()
        self._sequence_number = -1
        self._speaks_responses = False
        self.is_body = False
        self.began = False
        self.noticed = False
        self.ended = False
        self.is_done = False
        self.failure: Failure | None = None
        self.is_told = self.is_junk = False
        self.usage: Usage | None = None

    @property
    def pending_bytes(self) -> int:
        """How many of the last bytes fed belong to an event that is not whole yet."""
        return self._buffer.pending_bytes

    @property
    def is_event_stream(self) -> bool:
        """Is this an event stream, or could what has come so far still become one?"""
        return self.began or begins_like_events(self._buffer.head)

    @property
    def may_end(self) -> bool:
        """Would the stream be complete if it ended now?"""
        return self.ended or self._choices.all

    def feed(self, chunk: bytes) -> Sequence[Frame]:
        """The events that are whole now; of a body that is no stream there are none."""
        if self._start is not None:
            self._look_at_the_start(chunk)
        if self.is_body:
            self._buffer.hold(chunk)
            return ()
        events = self._buffer.take(chunk)
        if self._buffer.giant or self._buffer.is_full:
            return [Frame(b"", FrameKind.ERROR, _TOO_LONG)]
        return [self._read(frame) for frame in split_events(events)]

    def passing(self, take: Take, read: Take) -> Take:
        return self._shape.passing(take, read)

    def passing_framed(self, take: TakeFramed) -> TakeFramed:
        return self._shape.passing_framed(take)

    def relay(self, chunk: bytes) -> bytes:
        """The bytes of all events that are whole now. Mostly the chunk is just that, and nothing in it matters."""
        if self._calm and chunk.endswith(ENDS) and not is_worth_reading(chunk):
            self._shape.learn(chunk)
            return chunk
        self._flows = True
        buffer = self._buffer
        events = buffer.take(chunk)
        if buffer.is_full:
            self.noticed = self.is_junk = True
        elif buffer.giant or self._giant_ends:
            self._follow_giant()
        is_alarming = False
        if events and (self._choices.any or is_worth_reading(events)):
            for frame in split_events(events):
                is_alarming = self._read(frame).kind is FrameKind.ERROR or is_alarming
        self._calm = not (buffer.pending_bytes or buffer.giant or buffer.is_full or self._choices.any)
        if self._calm and not (self.noticed or is_alarming):
            self._shape.learn(events)
        else:
            self._shape.forget()
        return events

    def finish(self) -> bytes:
        """The body is over: what came after the last blank line is read as an event, and returned."""
        rest = self._buffer.flush()
        if rest.strip():
            self._read(rest)
        return rest

    def masked(self, events: bytes) -> bytes:
        """Events among which there is an error, as a client may see them."""
        return self._mask().data(events)

    def error_frame(self, message: str, code: str) -> bytes:
        """An error event. Chat: `error` alone; Responses: nested and flat, with the next sequence number."""
        error = {"message": message, "type": "server_error", "param": None, "code": code}
        lead = b"\n\n" if self._buffer.giant else b""
        if not self._speaks_responses:
            return lead + b"data: " + msgspec.json.encode({"error": error}) + b"\n\n"
        data = {"type": "error", "sequence_number": self._sequence_number + 1, "error": error, **_flat(error)}
        return lead + b"event: error\ndata: " + msgspec.json.encode(data) + b"\n\n"

    def _look_at_the_start(self, chunk: bytes) -> None:
        """JSON in one piece is no stream, whatever its headers say. White space may come before it."""
        text = ((self._start or b"") + chunk[:_LARGE_BYTES]).removeprefix(BOM).lstrip()
        if text.startswith((b"{", b"[")):
            self.is_body = True
        self._start = text if BOM.startswith(text) else None

    def _follow_giant(self) -> None:
        """An event too long to be held is known by how it begins, and has come when its end has passed."""
        giant = self._buffer.giant
        if not giant:
            self.ended = self.noticed = True
        self._giant_ends = bool(giant) and _COMPLETES.search(giant) is not None

    def _read(self, frame: bytes) -> Frame:
        event = parse_event(frame)
        if not event.recognised:
            return self._junk(frame)
        self.began = self.began or bool(frame.strip())
        if not event.data:
            return Frame(frame, FrameKind.PREAMBLE)
        if event.data.startswith(DONE):
            self.ended = self.is_done = self.noticed = True
            return Frame(frame, FrameKind.END)
        try:
            is_large = len(event.data) > _LARGE_BYTES and is_heavy(event.data)
            text = _narrowed(event.data) if is_large else event.data
            data = decode(_decoder, text)
            self._note_books(data)
            kind = self._kind(event, data)
            if is_large and kind is FrameKind.PREAMBLE and data.choices:
                kind = self._heavy_kind(event.data)
        except (ValueError, RecursionError):
            return self._error(frame, _plain_words(event.data)) if event.name == b"error" else self._junk(frame)
        if kind is FrameKind.CONTENT and not self._flows and self._choices.any and is_any_broken(data.choices):
            self.noticed, self.failure = True, BROKEN
            return Frame(frame, FrameKind.ERROR, BROKEN)
        if kind is not FrameKind.ERROR:
            return Frame(frame, kind)
        self.is_told = bool(data.error) or self._speaks_responses or data.type == "response.failed"
        try:
            words = ErrorFields.of_body(decode(_errors, text))
        except (ValueError, RecursionError):  # in what is decoded only now, such as texts that are no UTF-8
            words = _plain_words(text)
        return self._error(frame, words)

    def _error(self, frame: bytes, words: ErrorFields) -> Frame:
        self.noticed = True
        self.failure = self._mask().failure(classify_in_stream(words, owns_credential=self._owns_credential))
        return Frame(frame, FrameKind.ERROR, self.failure)

    def _note_books(self, data: _Data) -> None:
        number = data.sequence_number
        if isinstance(number, int) and not isinstance(number, bool):
            self._sequence_number = number
        words = data.usage
        self._choices.usage_came = self._choices.usage_came or words is not None
        if not isinstance(words, UsageWords) and isinstance(data.response, _Response):
            words = data.response.usage
        if isinstance(words, UsageWords):
            self.usage = words.usage() or self.usage

    def _kind(self, event: Event, data: _Data) -> FrameKind:
        kind = data.type if isinstance(data.type, str) else ""
        if data.error or event.name == b"error" or kind in ("error", "response.failed"):
            return FrameKind.ERROR
        if kind.startswith("response."):
            self._speaks_responses = True
            if kind in _COMPLETE:
                self.ended = self.noticed = True
                return FrameKind.END
            if kind in _PRE_OUTPUT or not (self._flows or event_says(event.data or b"")):
                return FrameKind.PREAMBLE
            return FrameKind.CONTENT
        return self._chat_kind(data.choices if isinstance(data.choices, list) else ())

    def _chat_kind(self, choices: Sequence[Any]) -> FrameKind:
        kind = FrameKind.PREAMBLE
        for position, choice in enumerate(choices):
            if not isinstance(choice, _Choice):
                continue
            has_content = says(choice.delta) or says(choice.text)
            ends = is_reason(choice.finish_reason)
            self._choices.note(place(choice.index, position), has_content=has_content, ends=ends)
            if ends:
                self.noticed = True
            if ends or has_content or says(choice.message):
                kind = FrameKind.CONTENT
        return kind

    def _heavy_kind(self, text: bytes) -> FrameKind:
        """Of a piece of a chat with more values than are decoded: content, and the end of the first choice if it names
        a reason."""
        ends = _ENDS.search(text) is not None
        self.noticed = self.noticed or ends
        self._choices.note(0, has_content=True, ends=ends)
        return FrameKind.CONTENT

    def _junk(self, frame: bytes) -> Frame:
        """Before content a reason to try elsewhere; after it, only the client can say what it makes of it."""
        return Frame(frame, FrameKind.ERROR, Failure(FailureKind.JUNK, "not an event of this API"))


def _plain_words(text: bytes) -> ErrorFields:
    """Of an error that is no JSON."""
    return ErrorFields.of(text[:HEAD_BYTES].decode(errors="replace"))


def _flat(error: dict[str, Any]) -> dict[str, Any]:
    return {key: error[key] for key in ("message", "code", "param")}
