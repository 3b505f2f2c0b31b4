"""Is a whole reply an answer? Status, shape and the provider's words decide; the body itself is never changed."""

import time
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from adapters.upstreams.error_codes import MISSING
from adapters.upstreams.error_kinds import classify, classify_in_stream
from adapters.upstreams.error_words import ErrorWords
from adapters.upstreams.lenient_json import decode
from adapters.upstreams.retry_delay import retry_delay_s
from application.messages import Api, Headers, Verdict, WholeReply, header
from domain.failure import Effect, Failure, FailureKind
from domain.tokens import Usage

MAX_INFLATED_BYTES = 64 * 1024 * 1024


class UsageWords(Struct):
    """`usage` of chat and of Responses, whose names differ."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None

    def usage(self) -> Usage | None:
        """None = it names no number of the prompt."""
        prompt = self.prompt_tokens if self.prompt_tokens is not None else self.input_tokens
        output = self.completion_tokens if self.completion_tokens is not None else self.output_tokens
        return None if prompt is None else Usage(prompt, output or 0)


class _Answer(Struct):
    error: Any = None
    status: Any = None
    usage: UsageWords | None = None
    choices: Sequence[msgspec.Raw] | None = None
    """Not decoded, like the other contents: that there are any is enough."""
    data: Sequence[msgspec.Raw] | None = None
    results: Sequence[msgspec.Raw] | None = None
    output: Sequence[msgspec.Raw] | None = None


class _DecodedAnswer(_Answer):
    choices: Sequence[Any] | None = None
    data: Sequence[Any] | None = None
    results: Sequence[Any] | None = None
    output: Sequence[Any] | None = None


_CONTENT = {
    Api.CHAT: "choices",
    Api.COMPLETIONS: "choices",
    Api.RESPONSES: "output",
    Api.EMBEDDINGS: "data",
    Api.MODERATIONS: "results",
}
"""What an answer of each API is not without."""


_answers = msgspec.json.Decoder(_Answer)
_errors = msgspec.json.Decoder(Any)


_BESIDE = frozenset({Api.STORED, Api.OTHER})
"""What an endpoint refuses of these says nothing of what it is there for."""


def judge(api: Api, reply: WholeReply, *, owns_credential: bool, is_bound: bool = False) -> Verdict:
    """What the reply means. `is_bound`: the request builds on something that one account keeps, so "not found" says
    nothing about the endpoint."""
    if 200 <= reply.status < 300 or reply.status == 304:
        if api not in _CONTENT:
            return Verdict()  # of any shape, and none of our business
        return _judge_answer(api, reply, owns_credential)
    words = error_words(reply)
    if reply.status == 404 and is_bound and not (words.any_of(MISSING) or words.param == "model"):
        return Verdict(Failure(FailureKind.STATE, f"404 {words.label}".strip(), 404))
    delay_s = None
    if reply.status in (429, 503):
        delay_s = retry_delay_s(dict(reply.headers), words.message, time.time())
    failure = classify(reply.status, words, owns_credential=owns_credential, retry_after_s=delay_s)
    if api in _BESIDE and (failure.meaning.effect is Effect.FAULT or reply.status == 404):
        # A right that the key lacks for this path, or a model that is none of the configuration's: that the endpoint
        # cannot do this says nothing of what it is there for.
        kind = FailureKind.UNSERVABLE if failure.meaning.relayed else FailureKind.PATH_REFUSED
        return Verdict(Failure(kind, failure.reason, failure.status))
    return Verdict(failure)


def error_words(reply: WholeReply) -> ErrorWords:
    """What an error body says; empty words for HTML, nothing, or anything else unknown.

    Besides OpenAI's `error`: Google's list of one, the flat bodies of Azure's API management, and FastAPI's `detail`.
    """
    try:
        body = decode(_errors, _plain(reply.headers, reply.body))
    except (ValueError, RecursionError, zlib.error):
        return ErrorWords()
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, dict):
        return ErrorWords.of(body)
    if body.get("error"):
        return ErrorWords.of(body["error"])
    said = next((body[name] for name in ("message", "detail", "title") if isinstance(body.get(name), str)), "")
    return ErrorWords.of({**body, "message": said})


def _judge_answer(api: Api, reply: WholeReply, owns_credential: bool) -> Verdict:
    if not reply.body:
        return Verdict(Failure(FailureKind.JUNK, "empty body", reply.status))
    try:
        answer = decode(_answers, _plain(reply.headers, reply.body), _DecodedAnswer)
    except (ValueError, RecursionError, zlib.error):
        return Verdict(Failure(FailureKind.JUNK, "body is not a JSON object of this API", reply.status))
    # Some fill in all fields of a Response, also of one that went well.
    if answer.error and (api is not Api.RESPONSES or answer.status in (None, "failed")):
        return Verdict(classify_in_stream(ErrorWords.of(answer.error), owns_credential=owns_credential))
    content = _CONTENT[api]
    if getattr(answer, content) is None:
        return Verdict(Failure(FailureKind.JUNK, f"body has no {content}", reply.status))
    return Verdict(usage=answer.usage.usage() if answer.usage else None)


def _plain(headers: Headers, body: bytes) -> bytes:
    """The body without its content coding, for reading only. Identity is asked for; some gateways zip all the same."""
    coding = (header(headers, "content-encoding") or "identity").strip().lower()
    if coding in ("identity", ""):
        return body
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise ValueError(f"content-encoding {coding} was not asked for")
    inflater = zlib.decompressobj(zlib.MAX_WBITS | (16 if "gzip" in coding else 0))
    plain = inflater.decompress(body, MAX_INFLATED_BYTES)
    if inflater.unconsumed_tail or not inflater.eof:
        raise ValueError("compressed body is too large or cut")
    return plain
