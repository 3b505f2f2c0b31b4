"""Asks every endpoint for its models, all at once, by the client and the dialect that requests go out by."""

import asyncio
import logging
import random
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack

import msgspec
from msgspec import structs

from adapters.clock import SystemClock
from adapters.telemetry.alarm_lines import TokenAlarmLines
from adapters.upstreams.http1.client import Http1Upstream
from adapters.upstreams.openai.dialect import OpenAIDialect
from application.messages import Api, Headers, ProxyRequest, UpstreamCall, WholeReply
from application.ports import Upstream, UpstreamFailed
from application.state.access_tokens import TokenSource
from application.state.token_upstream import TokenCall, TokenUpstream
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from entrypoints.check.ping.answers import Answer, on_deployment, on_models, unanswered
from entrypoints.config.settings import EndpointSettings, GeneralSettings, Settings, models_of
from entrypoints.wiring.endpoints import endpoint_of, targets
from entrypoints.wiring.upstreams import default_azure_tokens, trusted_roots

ANSWER_S = 10.0  # the longest wait for an answer: a list of models needs no thought, and people wait for this

_AT_ONCE = 32
_MAX_BYTES = 8 << 20
_SLOW = Failure(FailureKind.IDLE_TIMEOUT, "the answer does not end")
_HEADERS = (("accept", "application/json"), ("user-agent", "llmproxy-check"))


async def ask_all(settings: Settings) -> list[Answer]:
    """One answer for each model of the file, in its order. Each is bounded by its `connect_timeout` and, until its
    answer begins, `ANSWER_S` or its `first_byte_timeout`."""
    roots = trusted_roots(settings.general)
    at_once = asyncio.Semaphore(_AT_ONCE)
    async with AsyncExitStack() as stack:
        tokens = _token_sources(settings, roots)
        for source in tokens.values():
            source.start()
            stack.push_async_callback(source.close)
        dialect = OpenAIDialect(targets(settings, tokens))

        async def one(model: EndpointSettings) -> Answer:
            async with at_once:
                return await _Asking(dialect, model, settings.general, roots).ask()

        return await asyncio.gather(*(one(model) for _, model in models_of(settings.groups)))


class Stages:
    """Begins with the first stage when it is made; whenever one is over, the next one begins."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._since = now()
        self.times_ms: dict[str, float] = {}

    def begin(self) -> None:
        """What went by until now belongs to no stage."""
        self._since = self._now()

    def over(self, stage: str) -> None:
        now = self._now()
        self.times_ms[stage] = round(1000 * (now - self._since), 1)
        self._since = now


def _token_sources(settings: Settings, roots: ssl.SSLContext) -> dict[str, TokenSource]:
    params = [model.params for _, model in models_of(settings.groups)]
    scopes = {each.azure_ad_scope for each in params if each.azure_ad_token_provider is not None}
    if not scopes:
        return {}
    fetch = default_azure_tokens(settings.general, roots)
    silent = logging.Logger("llmproxy-check")  # the answers say what is wrong
    silent.disabled = True
    alarm = TokenAlarmLines(silent)
    return {scope: TokenSource(scope, fetch, SystemClock(), random.random, alarm, lambda _: None) for scope in scopes}


class _Asking:
    """Asks one endpoint, by a client of its own: what its connection takes is nobody else's time."""

    def __init__(
        self, dialect: OpenAIDialect, model: EndpointSettings, general: GeneralSettings, roots: ssl.SSLContext
    ) -> None:
        self._dialect = dialect
        self._model = model
        self._endpoint: Endpoint = endpoint_of(model)
        self._stages = Stages(asyncio.get_running_loop().time)
        self._client: Upstream = TokenUpstream(
            Http1Upstream(
                max_connections=1,
                ssl_context=roots,
                outbound_proxy=general.outbound_proxy.reveal() if general.outbound_proxy else None,
                trust_env=general.trust_env,
                on_stage=self._stages.over,
            ),
            SystemClock(),
        )

    async def ask(self) -> Answer:
        """For its models; where Azure's list cannot tell, for its deployment as well."""
        try:
            answer = await self._ask_for_models()
            if answer.serves is None and self._endpoint.provider == "azure":
                answer = await self._ask_for_deployment()
        except UpstreamFailed as failed:
            answer = unanswered(failed.failure)
        finally:
            await self._client.close()
        return structs.replace(answer, times_ms=self._stages.times_ms)

    async def _ask_for_models(self) -> Answer:
        request = _request(Api.OTHER, "GET", "/models")
        call = self._call(request)
        if isinstance(call, TokenCall):
            await call.source.token(call.first_byte_timeout_s / 2)
        self._stages.begin()
        reply = await self._whole(call)
        self._stages.over("answer")
        return on_models(self._endpoint, reply, self._dialect.judge(self._endpoint, request, reply).failure)

    async def _ask_for_deployment(self) -> Answer:
        """By a call that names it and has no messages: it is refused for that alone, and takes no tokens."""
        model = self._endpoint.model
        body = msgspec.json.encode({"model": model})
        headers = (*_HEADERS, ("content-type", "application/json"))
        request = _request(Api.CHAT, "POST", "/chat/completions", body, model, headers)
        reply = await self._whole(self._call(request))
        failure = self._dialect.judge(self._endpoint, request, reply).failure
        return on_deployment(self._endpoint, self._model.params.azure_deployment or model, reply, failure)

    def _call(self, request: ProxyRequest) -> UpstreamCall:
        longest = min(ANSWER_S, self._endpoint.first_byte_timeout_s)
        call = self._dialect.call(self._endpoint, request, self._endpoint.connect_timeout_s + longest)
        return structs.replace(call, idle_timeout_s=longest)

    async def _whole(self, call: UpstreamCall) -> WholeReply:
        """The reply, read up to a bound in size and time. Raises `UpstreamFailed`."""
        try:
            async with asyncio.timeout(call.first_byte_timeout_s + ANSWER_S):
                reply = await self._client.send(call)
                pieces = bytearray()
                try:
                    while len(pieces) <= _MAX_BYTES and (piece := await reply.receive()):
                        pieces += piece
                finally:
                    reply.close()
        except TimeoutError:
            raise UpstreamFailed(_SLOW) from None
        return WholeReply(reply.status, reply.headers, bytes(pieces))


def _request(
    api: Api, method: str, path: str, body: bytes = b"", model: str = "", headers: Headers = _HEADERS
) -> ProxyRequest:
    return ProxyRequest(api, path, "", headers, (), body, model, model or None, False, "", 0.0, method=method)
