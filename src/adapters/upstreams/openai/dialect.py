"""The `Providers` port: speaks to each endpoint as its configuration says, and reads what comes back."""

from collections.abc import Mapping
from functools import partial
from urllib.parse import quote

from msgspec import structs

from adapters.upstreams.openai.azure_target import DEPLOYMENT_ROUTES
from adapters.upstreams.openai.credential_mask import CredentialMask
from adapters.upstreams.openai.errors.reply_judge import judge
from adapters.upstreams.openai.inflated_reply import plain
from adapters.upstreams.openai.model_rewrite import replace_model
from adapters.upstreams.openai.rate_limit_headers import is_spilled, readings
from adapters.upstreams.openai.stored_ids import made_ids, state_ids
from adapters.upstreams.openai.streams.expected_end import expected_stream
from adapters.upstreams.openai.streams.stream_scanner import OpenAIStreamScanner
from adapters.upstreams.openai.target import Target
from application.messages import Api, Pieces, ProxyRequest, Upload, UpstreamCall, Verdict, WholeReply
from application.state.token_upstream import TokenCall
from domain.endpoint import Endpoint

# A reply is read as it passes, so it must not be packed; the hop to the provider is what compression would save.
_STORED, _OTHER = Api.STORED, Api.OTHER  # bound once: to read a member by its name is slow before Python 3.12
_IDENTITY = (("accept-encoding", "identity"),)


class OpenAIDialect:
    """OpenAI and Azure OpenAI: one dialect, two ways to address it. `targets` by endpoint id."""

    readings = staticmethod(readings)
    is_spilled = staticmethod(is_spilled)
    state_ids = staticmethod(state_ids)
    made_ids = staticmethod(made_ids)
    plain = staticmethod(plain)

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self._targets = targets

    def call(self, endpoint: Endpoint, request: ProxyRequest, first_byte_s: float) -> UpstreamCall:
        """The request as this endpoint wants it; the body is the client's bytes, but for the model's name."""
        target, method, query = self._targets[endpoint.id], request.method, request.query
        path = request.path if request.model else _path(target, request)
        is_bare = not query and not target.query
        call = UpstreamCall(
            method,
            target.url_for(method, path)
            if is_bare
            else target.url(path, query and _query(endpoint, request, target), method),
            target.headers(request.headers + _IDENTITY, request.credentials),
            _body(endpoint, request),
            endpoint.connect_timeout_s,
            first_byte_s,
            endpoint.stream_idle_timeout_s,
            target.outbound_proxy,
        )
        return (
            call if target.token is None else TokenCall.of(call, target.token, partial(_body_again, endpoint, request))
        )

    def judge(self, endpoint: Endpoint, request: ProxyRequest, reply: WholeReply) -> Verdict:
        verdict = judge(request.api, reply, endpoint.owns_credential, bool(request.binding.ids))
        if verdict.failure is None:
            return verdict
        return structs.replace(verdict, failure=self._mask(endpoint).failure(verdict.failure))

    def masked(self, endpoint: Endpoint, reply: WholeReply) -> WholeReply:
        return self._mask(endpoint).reply(reply)

    def _mask(self, endpoint: Endpoint) -> CredentialMask:
        """Made when it is needed: only for what failed."""
        return CredentialMask(self._targets[endpoint.id].secrets)

    def scanner(self, endpoint: Endpoint, request: ProxyRequest) -> OpenAIStreamScanner:
        return OpenAIStreamScanner(endpoint.owns_credential, expected_stream(request), partial(self._mask, endpoint))


class SocketDialect(OpenAIDialect):
    """The same where a WebSocket is opened. For that of Responses Azure documents its keys as Bearer alone."""

    def call(self, endpoint: Endpoint, request: ProxyRequest, first_byte_s: float) -> UpstreamCall:
        call = super().call(endpoint, request, first_byte_s)
        named = dict(call.headers)
        if request.api is not Api.RESPONSES or "authorization" in named or "api-key" not in named:
            return call
        headers = [pair for pair in call.headers if pair[0] != "api-key"]
        return structs.replace(call, headers=(*headers, ("authorization", f"Bearer {named['api-key']}")))


def _body(endpoint: Endpoint, request: ProxyRequest) -> bytes | Pieces | Upload:
    if request.upload is not None:
        return request.upload.upload(endpoint.model if request.model else "")
    body, named = request.body, request.body_model
    if not request.model or not body or endpoint.model == named:
        return body
    if not named:
        if request.api is _STORED:
            return body  # its model stands in the URL, and nothing is known of what it holds
        if request.api is _OTHER and request.path not in DEPLOYMENT_ROUTES:
            return body  # named by the client's URL for a route that takes none
    return replace_model(body, endpoint.model, bool(named), request.has_plain_key, request.outline)


def _path(target: Target, request: ProxyRequest) -> str:
    """The path of a request for no group. Where it has to name a deployment that is not the endpoint's own, that is the
    model of the body, which is what the `AzureOpenAI` client takes for it."""
    if not target.names_deployment or not request.body_model:
        return request.path
    if request.method != "POST" or request.path not in DEPLOYMENT_ROUTES:
        return request.path
    return f"/deployments/{quote(request.body_model, safe='')}{request.path}"


def _query(endpoint: Endpoint, request: ProxyRequest, target: Target) -> str:
    """The query, where a list or a socket is asked for by its model with the endpoint's name for that."""
    if request.method != "GET" or not request.model:
        return request.query
    name = "deployment" if request.api is Api.REALTIME and target.names_deployment else "model"
    parts = request.query.split("&")
    return "&".join(f"{name}={quote(endpoint.model)}" if part.startswith("model=") else part for part in parts)


def _body_again(endpoint: Endpoint, request: ProxyRequest) -> bytes | Pieces | Upload | None:
    """The body for a second run; None = it is spent."""
    return None if request.upload is not None and request.upload.begun else _body(endpoint, request)
