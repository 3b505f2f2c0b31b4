"""The provider without its sockets: a request in, a reply out. Keys, limits and models live here."""

from collections import OrderedDict
from math import ceil
from typing import Any

from simulator.calls import MODEL_OPERATIONS, Call, credential_of
from simulator.content.answers import (
    chat_reply,
    completions_reply,
    embeddings_reply,
    model_reply,
    models_reply,
    moderations_reply,
)
from simulator.content.media import media_reply
from simulator.content.questions import (
    ChatQuestion,
    CompletionsQuestion,
    EmbeddingsQuestion,
    MediaQuestion,
    ModerationsQuestion,
    ResponsesQuestion,
)
from simulator.content.streams import chat_stream_reply, completions_stream_reply
from simulator.content.text import Turn, digest_of
from simulator.doorkeeper import denied
from simulator.kept import Kept
from simulator.limits import Limiter, Verdict, token_cost
from simulator.protocol import errors
from simulator.protocol.limit_headers import limit_headers, limit_refusal, limiter_for, spillover_headers
from simulator.protocol.reply import Reply, header_lines
from simulator.provisioned import CONTEXT_TOKENS
from simulator.settings import ProviderSettings

_MAX_LIMITERS = 10_000
_UNNAMED = "omni-moderation-latest"
"""What answers moderations that name no model, as OpenAI's reference says; and kept prompts, which have one."""
_OF_LIMITS = ("rpm", "tpm", "header_style", "output_token_ratio", "window_s", "windows")


class Account:
    """One provider's state. Every method takes the time it happens at."""

    def __init__(self, settings: ProviderSettings) -> None:
        self._kept = Kept()
        self._calls: set[str] = set()
        """Ids of Realtime calls and Live sessions."""
        self._limiters: OrderedDict[tuple[str | None, str], Limiter] = OrderedDict()
        self.settings = settings

    def apply(self, settings: ProviderSettings) -> None:
        """New settings. What has been charged is forgotten only if the limits themselves change."""
        before, self.settings = self.settings, settings
        if any(getattr(before, name) != getattr(settings, name) for name in _OF_LIMITS):
            self.forget_charges()

    def forget_charges(self) -> None:
        """Every limit is whole again."""
        self._limiters.clear()

    def answer(self, call: Call, now_s: float, now_unix_s: float) -> Reply:
        """The reply without the headers that every reply carries."""
        if (refusal := denied(call, self.settings)) is not None:
            return refusal
        # A deployment in the path decides where a body is read at all.
        if call.route.fault is None and self._is_unknown(call.route.deployment):
            return errors.unknown_model(call.route.deployment or "", call.route)
        if call.refusal is not None:
            return call.refusal
        model = call.model
        if self._is_unknown(model):
            return errors.unknown_model(model or "", call.route)
        if call.route.operation not in MODEL_OPERATIONS:
            return self._look_up(call, now_s, now_unix_s)
        model = model or _UNNAMED
        if self.settings.rpm is None and self.settings.tpm is None:
            return self._create(call, model, now_s, now_unix_s)
        return self._create_within_limits(call, model, now_s, now_unix_s)

    def lacks(self, model: str) -> bool:
        """Is there no such model?"""
        return self._is_unknown(model)

    def has_call(self, call_id: str) -> bool:
        """Was that Realtime call, or Live session, made here?"""
        return call_id in self._calls

    def unique(self) -> str:
        """Makes ids."""
        return self._kept.unique()

    def charge(self, credential: str | None, model: str, tokens: int, now_s: float) -> Verdict | None:
        """A response on a socket; None = there are no limits."""
        if self.settings.rpm is None and self.settings.tpm is None:
            return None
        return self._limiter(credential, model).admit(tokens, now_s)

    def _is_unknown(self, model: str | None) -> bool:
        return bool(model and self.settings.models and model not in self.settings.models)

    def _create_within_limits(self, call: Call, model: str, now_s: float, now_unix_s: float) -> Reply:
        limiter = self._limiter(credential_of(call.request), model)
        most = getattr(call.question, "output_limit", None)
        given, settings = ceil(len(call.request.body) / 4), self.settings
        is_provisioned = settings.header_style == "ptu"
        if is_provisioned and given > CONTEXT_TOKENS and not settings.spillover:
            return errors.context_too_long(given, CONTEXT_TOKENS)
        ratio = settings.output_token_ratio if is_provisioned else 1.0
        cost = token_cost(len(call.request.body), most, ratio)
        verdict = limiter.admit(cost, now_s)
        if verdict.refused_by is not None:
            if not (is_provisioned and settings.spillover):
                return limit_refusal(verdict, model, call.route, settings)
            reply = self._create(call, model, now_s, now_unix_s)
            reply.headers += spillover_headers(model)
            return reply
        reply = self._create(call, model, now_s, now_unix_s)
        answered = settings.answer_tokens if most is None else min(most, settings.answer_tokens)
        pace_s = answered / settings.tokens_per_second if settings.tokens_per_second and call.stream else 0.0
        limiter.correct(cost - given - ratio * answered, now_s + settings.latency_s + pace_s)
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
        body = call.request.body
        turn = Turn(
            name=self.settings.name,
            model=model,
            body_bytes=len(body),
            digest=digest_of(body),
            is_azure=call.route.is_azure,
            unique=self._kept.unique(),
            created_s=int(now_unix_s),
            words=self.settings.answer_tokens,
        )
        match call.question:
            case ChatQuestion() as question:
                if question.store:
                    self._kept.keep_completion(question, turn)
                return chat_stream_reply(question, turn) if question.stream else chat_reply(question, turn)
            case ResponsesQuestion() as question:
                return self._kept.respond(call, question, turn, now_s, self.settings)
            case CompletionsQuestion() as question:
                make: Any = completions_stream_reply if question.stream else completions_reply
                reply: Reply = make(question, turn)
                return reply
            case EmbeddingsQuestion() as question:
                return embeddings_reply(question, turn)
            case MediaQuestion() as question:
                return media_reply(str(call.route.operation), question, turn)
            case ModerationsQuestion() as question:
                return moderations_reply(question, turn)
        return errors.not_json()

    def _look_up(self, call: Call, now_s: float, now_unix_s: float) -> Reply:
        route = call.route
        match route.operation:
            case "models":
                return models_reply(self.settings.models)
            case "model":
                if self.settings.models and route.resource_id not in self.settings.models:
                    return errors.unknown_model(route.resource_id, route)
                return model_reply(route.resource_id, deleted=call.request.method == "DELETE")
            case "realtime_call":
                call_id = f"rtc_{self.unique()}"
                self._calls.add(call_id)
                location = header_lines({"location": f"/v1/realtime/calls/{call_id}"})
                return Reply(201, b"v=0\r\n", b"application/sdp", location)
            case "live_session":
                call_id = f"live_{self.unique()}"
                self._calls.add(call_id)
                return Reply(200, b'{"session":{"id":"%b"},"transport":{"sdp":"v=0"}}' % call_id.encode())
        return self._kept.answer(call, now_s, now_unix_s)

    def identity_headers(self, call: Call) -> bytes:
        """What every reply of the real provider carries besides its content."""
        unique = self._kept.unique()
        request_id = f"{unique[:12]}{unique[12:]:0>20}"
        if not call.route.is_azure:
            return (
                b"x-request-id: req_%b\r\nopenai-processing-ms: %d\r\nopenai-version: 2020-10-01\r\n"
                b"openai-organization: org-simulated\r\nset-cookie: __cf_bm=simulated; path=/; HttpOnly\r\n"
            ) % (request_id.encode(), self.settings.latency_s * 1000 + 1)
        uuid = f"{request_id[:8]}-{request_id[8:12]}-{request_id[12:16]}-{request_id[16:20]}-{request_id[20:]}"
        return f"apim-request-id: {uuid}\r\nx-request-id: {uuid}\r\nx-ms-region: {self.settings.region}\r\n".encode(
            "latin-1", "replace"
        )
