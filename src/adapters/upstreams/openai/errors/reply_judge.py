"""Is a whole reply an answer? Status, shape and the provider's words decide; the body itself is never changed."""

import re
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from adapters.upstreams.openai.errors.broken_choices import BROKEN, is_broken_answer
from adapters.upstreams.openai.errors.error_codes import MISSING
from adapters.upstreams.openai.errors.error_fields import STATUS_FIELDS, ErrorFields
from adapters.upstreams.openai.errors.error_kinds import DELAYED, classify, classify_in_stream
from adapters.upstreams.openai.errors.refusals import NOT_THERE_STATUSES, denies_a_thing
from adapters.upstreams.openai.errors.retry_delay import retry_delay_s
from adapters.upstreams.openai.inflated_reply import beginning
from adapters.upstreams.openai.lenient_json import Odd, decode
from application.body.narrowed import LARGE_BYTES, Narrowed, has_too_many_marks
from application.messages import Api, Verdict, WholeReply
from domain.failure import Effect, Failure, FailureKind
from domain.rate_limit.token_estimate import Usage

MAX_ERROR_BYTES = 64 * 1024  # an error says what it has to say in far fewer
MAX_INFLATED_BYTES = 1024 * 1024  # an answer that is longer without its content coding is only looked at, and not read
_MAX_TOKENS = 10**12  # more than any request takes: a larger number says nothing


class _Details(Struct):
    cached_tokens: Any = None
    cache_write_tokens: Any = None


class UsageWords(Struct):
    """`usage` of chat and of Responses, whose names differ. It is bookkeeping, so its numbers may be anything."""

    prompt_tokens: Any = None
    completion_tokens: Any = None
    input_tokens: Any = None
    output_tokens: Any = None
    prompt_tokens_details: _Details | Odd = None
    input_tokens_details: _Details | Odd = None

    def usage(self) -> Usage | None:
        prompt, output = self.prompt_tokens, self.completion_tokens
        if prompt is None:
            prompt = self.input_tokens
        if output is None:
            output = self.output_tokens
        details, cached, written = self.prompt_tokens_details or self.input_tokens_details, 0, 0
        if isinstance(details, _Details):
            cached = details.cached_tokens
            if type(cached) is not int or not 0 <= cached <= _MAX_TOKENS:
                cached = _count(cached) or 0
            if details.cache_write_tokens is not None:
                written = _count(details.cache_write_tokens) or 0
        if type(prompt) is int and type(output) is int and 0 <= prompt <= _MAX_TOKENS and 0 <= output <= _MAX_TOKENS:
            return Usage(prompt, output, cached, written)
        prompt = _count(prompt)
        return None if prompt is None else Usage(prompt, _count(output) or 0, cached, written)


def _count(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= _MAX_TOKENS else None


class _Reading(Struct, frozen=True):
    content: str  # what an answer is not without
    decoder: msgspec.json.Decoder[Any]  # its content is not decoded: that there is any is enough
    decoded: Any  # the same with its content decoded
    narrowed: Narrowed  # what is read of a large one


def _reading(content: str) -> _Reading:
    decoder = msgspec.json.Decoder(_shape(content, msgspec.Raw))
    return _Reading(
        content, decoder, _shape(content, Any), Narrowed("error", "status", content, "usage", inside={"error": WORDS})
    )


def _shape(content: str, item: Any) -> Any:
    words = [("error", Any, None), ("usage", UsageWords | Odd, None), ("status", Any, None)]
    return msgspec.defstruct("Answer", [("content", Sequence[item] | None, None), *words], rename={"content": content})


_SAID = ("message", "detail", "title")
WORDS = Narrowed(
    "code", "type", "param", "message", "innererror", "error", "errors", "detail", *STATUS_FIELDS,
    longest_bytes=16 * 1024,
)  # fmt: skip
"""What is read of a large error."""


_RESPONSES = Api.RESPONSES
_CHAT = _reading("choices")
_READINGS = {
    Api.CHAT: _CHAT,
    Api.COMPLETIONS: _CHAT,
    Api.RESPONSES: _reading("output"),
    Api.EMBEDDINGS: _reading("data"),
    Api.MODERATIONS: _reading("results"),
}
_WITHOUT_OUTPUT = ("queued", "in_progress", "incomplete", "cancelled")  # what a response without output may be


_UNREADABLE = (ValueError, RecursionError)
_errors = msgspec.json.Decoder(Any)
_narrowed_error = Narrowed(
    "error", "errors", "response", "innererror", "code", "type", "param", *STATUS_FIELDS, *_SAID,
    longest_bytes=16 * 1024,
    inside={"error": WORDS, "response": Narrowed("error", inside={"error": WORDS})},
)  # fmt: skip
_MAX_TEXT_BYTES = 4096  # of an error that is no JSON, what is read at most
_EVENTS = re.compile(rb"\s*+(?:data|event|id|retry)?:")
_DATA = re.compile(rb"^data:[ \t]*+([^\r\n]++)", re.MULTILINE)


_NO_OBJECT = Verdict(Failure(FailureKind.JUNK, "body is not a JSON object of this API"))
_BESIDE = frozenset({Api.STORED, Api.OTHER})  # what an endpoint refuses of these says nothing of what it is there for


def judge(api: Api, reply: WholeReply, owns_credential: bool, is_bound: bool = False) -> Verdict:
    """`is_bound`: the request builds on what one account keeps, so "not found" says nothing about the endpoint."""
    if 200 <= reply.status < 300 or reply.status == 304:
        reading = _READINGS.get(api)
        # Other answers are of any shape, and none of our business.
        return Verdict() if reading is None else _judge_answer(api, reading, reply, owns_credential)
    words = read_error(reply)
    if is_bound and denies_a_thing(reply.status, words) and not (words.any_of(MISSING) or words.param == "model"):
        return Verdict(Failure(FailureKind.STATE, f"{reply.status} {words.label}".strip(), is_error_reply=True))
    delay_s = None
    if reply.status in DELAYED:
        delay_s = retry_delay_s(dict(reply.headers), words, time.time())
    failure = classify(reply.status, words, owns_credential=owns_credential, retry_after_s=delay_s)
    if api in _BESIDE and (failure.meaning.effect is Effect.FAULT or reply.status in NOT_THERE_STATUSES):
        # A right that the key lacks for this path, or a model that is none of the configuration's: that the endpoint
        # cannot do this says nothing of what it is there for.
        kind = FailureKind.UNSERVABLE if failure.meaning.relayed else FailureKind.PATH_REFUSED
        return Verdict(Failure(kind, failure.reason, failure.is_error_reply, disowns=failure.disowns))
    return Verdict(failure)


def read_error(reply: WholeReply) -> ErrorFields:
    """What an error body says, as JSON, as an event or as plain text; empty words for HTML, nothing, or anything else
    unknown."""
    try:
        text, _ = beginning(reply.headers, reply.body, MAX_ERROR_BYTES)
    except ValueError:
        return ErrorFields()
    if _EVENTS.match(text):  # some say an error of a request for a stream as an event, though the status is the error's
        data = _DATA.search(text)
        text = data[1] if data else text
    try:
        return ErrorFields.of_body(decode(_errors, text if len(text) <= MAX_ERROR_BYTES else _narrowed_error(text)))
    except _UNREADABLE:
        said = text[:_MAX_TEXT_BYTES].decode(errors="replace").strip()
        return ErrorFields() if said.startswith(("<", "{", "[")) else ErrorFields.of(said)


def _judge_answer(api: Api, reading: _Reading, reply: WholeReply, owns_credential: bool) -> Verdict:
    if not reply.body:
        return Verdict(Failure(FailureKind.JUNK, "empty body"))
    try:
        text, is_all = beginning(reply.headers, reply.body, MAX_INFLATED_BYTES)
        if len(text) > LARGE_BYTES or not is_all:
            if not is_all or has_too_many_marks(text):
                # Too long without its content coding, or too full, to be read: an error never is.
                return Verdict() if text.lstrip().startswith(b"{") else _NO_OBJECT
            text = reading.narrowed(text)
        answer = decode(reading.decoder, text, reading.decoded)
    except _UNREADABLE:
        return _NO_OBJECT
    # Some fill in all fields of a Response, also of one that went well.
    if answer.error and (api is not _RESPONSES or answer.status in (None, "failed")):
        return Verdict(classify_in_stream(read_error(reply), owns_credential=owns_credential))
    if answer.content is None and not (api is _RESPONSES and answer.status in _WITHOUT_OUTPUT):
        failure = classify_in_stream(read_error(reply), owns_credential=owns_credential)
        if failure.kind is not FailureKind.UNKNOWN:  # some gateways put an error of theirs flat into a 200
            return Verdict(failure)
        return Verdict(Failure(FailureKind.JUNK, f"body has no {reading.content}"))
    usage = answer.usage.usage() if isinstance(answer.usage, UsageWords) else None
    if reading is _CHAT and not (usage and usage.output_tokens) and is_broken_answer(text):
        return Verdict(BROKEN)
    return Verdict(None, usage)
