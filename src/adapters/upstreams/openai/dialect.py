"""The `Providers` port: speaks to each endpoint as its configuration says, and reads what comes back."""

from collections.abc import Mapping, Sequence
from functools import partial
from urllib.parse import quote

from msgspec import structs

from adapters.upstreams.openai.azure_target import DEPLOYMENT_ROUTES
from adapters.upstreams.openai.credential_mask import CredentialMask
from adapters.upstreams.openai.errors.reply_judge import judge
from adapters.upstreams.openai.inflated_reply import plain
from adapters.upstreams.openai.model_rewrite import replace_model
from adapters.upstreams.openai.rate_limit_headers import readings
from adapters.upstreams.openai.stored_ids import made_ids, state_ids
from adapters.upstreams.openai.streams.expected_end import expected_stream
from adapters.upstreams.openai.streams.stream_scanner import OpenAIStreamScanner
from adapters.upstreams.openai.target import Target
from application.messages import Api, Headers, Pieces, ProxyRequest, Upload, UpstreamCall, Verdict, WholeReply
from application.ports import UpstreamReply
from application.state.token_upstream import TokenCall
from domain.endpoint import Endpoint
from domain.rate_limit.limit_reading import Readings

# A reply is read as it passes, so it must not be packed; the hop to the provider is what compression would save.
_STORED, _OTHER, _REALTIME = (
    Api.STORED,
    Api.OTHER,
    Api.REALTIME,
)  # bound once: to read a member by its name is slow before Python 3.12
_IDENTITY = (("accept-encoding", "identity"),)


class OpenAIDialect:
    """OpenAI and Azure OpenAI: one dialect, two ways to address it. `targets` by endpoint id."""

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self._targets = targets

    def call(self, endpoint: Endpoint, request: ProxyRequest, first_byte_s: float) -> UpstreamCall:
        """The request as this endpoint wants it; the body is the client's bytes, but for the model's name."""
        target, method, query = self._targets[endpoint.id], request.method, request.query
        call = UpstreamCall(
            method,
            target.url(_path(target, request), query and _query(target, endpoint, request), method),
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

    def readings(self, headers: Headers) -> Readings:
        """What a reply's headers say about its rate limits."""
        return readings(headers)

    def judge(self, endpoint: Endpoint, request: ProxyRequest, reply: WholeReply) -> Verdict:
        """What a whole reply means."""
        verdict = judge(request.api, reply, endpoint.owns_credential, bool(request.binding.ids))
        if verdict.failure is None:
            return verdict
        return structs.replace(verdict, failure=self._mask(endpoint).failure(verdict.failure))

    def masked(self, endpoint: Endpoint, reply: WholeReply) -> WholeReply:
        """An error as a client may see it."""
        return self._mask(endpoint).reply(reply)

    def _mask(self, endpoint: Endpoint) -> CredentialMask:
        """Made when it is needed: only for what failed."""
        return CredentialMask(self._targets[endpoint.id].secrets)

    def state_ids(self, text: bytes) -> Sequence[str]:
        """The ids of what only one provider account knows."""
        return state_ids(text)

    def made_ids(self, text: bytes) -> Sequence[str]:
        """The ids of what a reply is about, and of whatever it names."""
        return made_ids(text)

    def scanner(self, endpoint: Endpoint, request: ProxyRequest) -> OpenAIStreamScanner:
        """A reader for the stream that answers this request."""
        return OpenAIStreamScanner(endpoint.owns_credential, expected_stream(request), partial(self._mask, endpoint))

    def plain(self, reply: UpstreamReply) -> UpstreamReply:
        """The reply without its content coding."""
        return plain(reply)


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
    return replace_model(body, endpoint.model, bool(named))


def _path(target: Target, request: ProxyRequest) -> str:
    """The path, where it has to name a deployment that is not the endpoint's own with that: as the model of the body,
    which is what the `AzureOpenAI` client takes for it."""
    if request.model or not target.names_deployment or not request.body_model:
        return request.path
    if request.method != "POST" or request.path not in DEPLOYMENT_ROUTES:
        return request.path
    return f"/deployments/{quote(request.body_model, safe='')}{request.path}"


def _query(target: Target, endpoint: Endpoint, request: ProxyRequest) -> str:
    """The query, where a list or a socket is asked for by its model with the endpoint's name for that."""
    if request.method != "GET" or not request.model:
        return request.query
    name = "deployment" if request.api is _REALTIME and target.names_deployment else "model"
    parts = request.query.split("&")
    return "&".join(f"{name}={quote(endpoint.model)}" if part.startswith("model=") else part for part in parts)


def _body_again(endpoint: Endpoint, request: ProxyRequest) -> bytes | Pieces | Upload | None:
    """The body for a second run; None = it is spent."""
    return None if request.upload is not None and request.upload.begun else _body(endpoint, request)
