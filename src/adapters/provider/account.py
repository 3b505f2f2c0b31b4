"""The provider without its sockets: a request in, a reply out. Keys, limits, models and responses live here."""

import secrets
from collections import OrderedDict
from typing import Any

import msgspec
from msgspec import Struct

from adapters.provider import errors
from adapters.provider.answers import (
    chat_reply,
    completions_reply,
    embeddings_reply,
    model_reply,
    models_reply,
    moderations_reply,
)
from adapters.provider.content import Turn, digest_of
from adapters.provider.limit_headers import limit_headers, limit_refusal, limiter_for
from adapters.provider.limits import Limiter, token_cost
from adapters.provider.questions import (
    ChatQuestion,
    CompletionsQuestion,
    EmbeddingsQuestion,
    ModerationsQuestion,
    Question,
    ResponsesQuestion,
)
from adapters.provider.reply import Reply
from adapters.provider.response_store import ResponseStore
from adapters.provider.routes import Operation, Route, find_route
from adapters.provider.settings import ProviderSettings
from adapters.provider.streams import chat_stream_reply, completions_stream_reply

_QUESTIONS: dict[Operation, msgspec.json.Decoder[Question]] = {
    "chat": msgspec.json.Decoder(ChatQuestion),
    "completions": msgspec.json.Decoder(CompletionsQuestion),
    "responses": msgspec.json.Decoder(ResponsesQuestion),
    "embeddings": msgspec.json.Decoder(EmbeddingsQuestion),
    "moderations": msgspec.json.Decoder(ModerationsQuestion),
}
_ANY_QUESTION = msgspec.json.Decoder(Question)
_MAX_LIMITERS = 10_000
_MOST_CHOICES = 128


class Request(Struct, gc=False):
    """As it came. Header names are in lower case, `target` is path and query."""

    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    keep_alive: bool = True

    def header(self, name: bytes) -> str | None:
        return next((value.decode("latin-1") for key, value in self.headers if key == name), None)


class Call(Struct):
    """A request that has been understood, or the `refusal` for one that could not be."""

    request: Request
    route: Route
    question: Question | None = None
    refusal: Reply | None = None

    @property
    def model(self) -> str | None:
        return (None if self.question is None else self.question.model) or self.route.deployment

    @property
    def stream(self) -> bool:
        return self.question is not None and bool(self.question.stream)


def understand(request: Request) -> Call:
    """Route and body of a request."""
    route = find_route(request.method, request.target)
    if route.fault is not None:
        return Call(request, route, _glance(request.body), errors.route_refused(route))
    decoder = _QUESTIONS.get(route.operation) if route.operation else None
    if decoder is None:
        return Call(request, route)
    try:
        question = decoder.decode(request.body)
    except msgspec.ValidationError as error:
        name = str(error).partition("`$.")[2].partition("`")[0].partition("[")[0] or None
        return Call(request, route, _glance(request.body), errors.invalid_parameter(name, str(error)))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Call(request, route, refusal=errors.not_json())
    return Call(request, route, question, _incomplete(question, route))


def _glance(body: bytes) -> Question | None:
    """Model and stream flag of a body we do not otherwise understand."""
    try:
        return _ANY_QUESTION.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _incomplete(question: Question, route: Route) -> Reply | None:
    if not question.model and route.deployment is None:
        return errors.missing_parameter("model")
    if isinstance(question, ChatQuestion) and not bytes(question.messages):
        return errors.missing_parameter("messages")
    if isinstance(question, ResponsesQuestion) and not bytes(question.input):
        return errors.missing_parameter("input")
    choices = question.n if isinstance(question, ChatQuestion | CompletionsQuestion) else None
    if choices is not None and not 1 <= choices <= _MOST_CHOICES:
        return errors.invalid_parameter("n", f"expected 1 to {_MOST_CHOICES}, got {choices}")
    return None


class Account:
    """One provider's state. Every method takes the time it happens at."""

    def __init__(self, settings: ProviderSettings) -> None:
        self.token = secrets.token_hex(6)
        self._responses = ResponseStore(self.token)
        self._serial = 0
        self._limiters: OrderedDict[tuple[str | None, str], Limiter] = OrderedDict()
        self.settings = settings

    def apply(self, settings: ProviderSettings) -> None:
        """New settings. What has been charged is forgotten only if the limits themselves change."""
        before, self.settings = self.settings, settings
        if (before.rpm, before.tpm, before.header_style) != (settings.rpm, settings.tpm, settings.header_style):
            self.forget_charges()

    def forget_charges(self) -> None:
        """Every limit is whole again."""
        self._limiters.clear()

    def answer(self, call: Call, now_s: float, now_unix_s: float) -> Reply:
        """The reply without the headers that every reply carries."""
        if self.settings.api_keys:
            denied = self._denied(call)
            if denied is not None:
                return denied
        if call.refusal is not None:
            return call.refusal
        if call.question is None:
            return self._look_up(call.route, now_s)
        model = call.model or ""
        if self.settings.models and model not in self.settings.models:
            return errors.unknown_model(model, call.route)
        if self.settings.rpm is None and self.settings.tpm is None:
            return self._create(call, model, now_s, now_unix_s)
        return self._create_within_limits(call, model, now_s, now_unix_s)

    def _denied(self, call: Call) -> Reply | None:
        given = _credential(call.request)
        if given in self.settings.api_keys:
            return None
        if call.route.is_azure:
            return errors.azure_denied()
        return errors.wrong_key(given) if given else errors.missing_key()

    def _create_within_limits(self, call: Call, model: str, now_s: float, now_unix_s: float) -> Reply:
        limiter = self._limiter(_credential(call.request), model)
        most = getattr(call.question, "output_limit", None)
        verdict = limiter.admit(token_cost(len(call.request.body), most), now_s)
        if verdict.refused_by is not None:
            return limit_refusal(verdict, model, call.route, self.settings)
        reply = self._create(call, model, now_s, now_unix_s)
        reply.headers += limit_headers(verdict, self.settings.header_style)
        return reply

    def _limiter(self, credential: str | None, model: str) -> Limiter:
        limiter = self._limiters.get((credential, model))
        if limiter is None:
            limiter = limiter_for(self.settings)
            self._limiters[credential, model] = limiter
            if len(self._limiters) > _MAX_LIMITERS:
                self._limiters.popitem(last=False)
        return limiter

    def _create(self, call: Call, model: str, now_s: float, now_unix_s: float) -> Reply:
        self._serial += 1
        body = call.request.body
        turn = Turn(
            name=self.settings.name,
            model=model,
            body_bytes=len(body),
            digest=digest_of(body),
            is_azure=call.route.is_azure,
            unique=f"{self.token}{self._serial:08x}",
            created_s=int(now_unix_s),
            words=self.settings.answer_tokens,
        )
        match call.question:
            case ChatQuestion() as question:
                return chat_stream_reply(question, turn) if question.stream else chat_reply(question, turn)
            case ResponsesQuestion() as question:
                return self._responses.create(question, turn, self.settings.latency_s, now_s)
            case CompletionsQuestion() as question:
                make: Any = completions_stream_reply if question.stream else completions_reply
                reply: Reply = make(question, turn)
                return reply
            case EmbeddingsQuestion() as question:
                return embeddings_reply(question, turn)
            case ModerationsQuestion() as question:
                return moderations_reply(question, turn)
        return errors.not_json()

    def _look_up(self, route: Route, now_s: float) -> Reply:
        match route.operation:
            case "models":
                return models_reply(self.settings.models)
            case "model":
                known = not self.settings.models or route.resource_id in self.settings.models
                return model_reply(route.resource_id) if known else errors.unknown_model(route.resource_id, route)
            case "response" if route.method == "DELETE":
                return self._responses.delete(route.resource_id)
            case "response":
                return self._responses.get(route, now_s)
            case "response_cancel":
                return self._responses.cancel(route.resource_id, now_s)
            case "response_input_items":
                return self._responses.input_items(route.resource_id)
        return errors.route_refused(route)

    def identity_headers(self, call: Call) -> bytes:
        """What every reply of the real provider carries besides its content."""
        self._serial += 1
        request_id = f"{self.token}{self._serial:020x}"
        if not call.route.is_azure:
            return (
                b"x-request-id: req_%b\r\nopenai-processing-ms: %d\r\nopenai-version: 2020-10-01\r\n"
                b"openai-organization: org-simulated\r\nset-cookie: __cf_bm=simulated; path=/; HttpOnly\r\n"
            ) % (request_id.encode(), self.settings.latency_s * 1000 + 1)
        uuid = f"{request_id[:8]}-{request_id[8:12]}-{request_id[12:16]}-{request_id[16:20]}-{request_id[20:]}"
        return f"apim-request-id: {uuid}\r\nx-request-id: {uuid}\r\nx-ms-region: {self.settings.region}\r\n".encode(
            "latin-1", "replace"
        )


def _credential(request: Request) -> str | None:
    """The key a request presents: `authorization: Bearer`, else `api-key`; None without one."""
    bearer = request.header(b"authorization")
    if bearer is not None and bearer[:7].lower() == "bearer ":
        return bearer[7:].strip()
    return request.header(b"api-key")
