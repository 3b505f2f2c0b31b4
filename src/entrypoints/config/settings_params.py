"""`params` of a model: what the OpenAI client's constructor takes, as far as a file can say it.

The arguments and their meaning are those of openai-python's `OpenAI` and `AzureOpenAI`.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from application.messages import KEY_HEADERS
from entrypoints.config.azure_address import is_dated_path
from entrypoints.config.reading.schema import Form, Refused, Section
from entrypoints.config.urls import AzureUrl, BaseUrl
from entrypoints.config.value_types import ApiKey, HeaderValue, Name, QueryName, QueryValue, Seconds

CREDENTIAL_PARAMS = frozenset(("api_key", "azure_ad_token", "azure_ad_token_provider"))
_PROVIDER = "for Azure azure_ad_token_provider"
_CONNECTING = "write outbound_proxy, ca_bundle or the timeouts in general_settings"
ENTRA_SCOPE = "https://ai.azure.com/.default"

# Connection handling is the proxy's own business (RFC 9110, 7.6.1); host and length follow from the request.
_PROXY_OWNED_HEADERS = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "proxy-authenticate"}
    | {"proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)


def _header_name(text: str) -> str:
    if text.lower() in _PROXY_OWNED_HEADERS:
        raise Refused(fix="leave it out: the proxy sets it")
    return text


HeaderName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"), Form(_header_name)]
DeploymentName = Annotated[
    str, Meta(pattern="^[A-Za-z0-9._-]{1,64}$", description="a deployment's name (letters, digits, . _ -)")
]
ApiVersion = Annotated[
    str, Meta(pattern="^[A-Za-z0-9._-]{1,64}$", description="a version such as 2024-10-21 or preview")
]
Scope = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_.:/-]{1,500}/\.default$",
        description=f"a scope that ends in /.default, such as {ENTRA_SCOPE}",
    ),
]


class TimeoutParts(Section, frozen=True):
    """`params.timeout` as the OpenAI client's `httpx.Timeout`: seconds per phase; None = not said."""

    home: ClassVar = "timeout in params"
    valid: ClassVar = "a mapping of connect, read, write, pool"

    connect: Seconds | None = None
    """Becomes `connect_timeout` of the model."""
    read: Seconds | None = None
    """Becomes `first_byte_timeout` of the model."""
    write: Seconds | None = None
    """Accepted, without effect."""
    pool: Seconds | None = None
    """Accepted, without effect."""


class ParamsSettings(Section, frozen=True):
    """`params`: the constructor arguments of the OpenAI or AzureOpenAI client, by their names there."""

    home: ClassVar = "params"
    valid: ClassVar = "a mapping of OpenAI client arguments"
    refused: ClassVar = {
        "admin_api_key": ("administration routes are not proxied", "write api_key"),
        "workload_identity": ("the proxy exchanges no tokens", "write api_key, azure_ad_token, or " + _PROVIDER),
        "provider": ("an object cannot stand in a file", "write base_url and api_key"),
        "webhook_secret": ("webhooks do not come through the proxy", "leave it out"),
        "websocket_base_url": ("the proxy speaks HTTP, not WebSocket", "write base_url"),
        "http_client": ("an object cannot stand in a file", _CONNECTING),
        "_strict_response_validation": ("replies pass through unchanged", "leave it out"),
        "_enforce_credentials": ("without api_key the client's own key is used", "leave it out"),
    }

    api_key: ApiKey | None = None
    """Sent as `Authorization: Bearer`; as `api-key` with Azure's arguments (`azure_endpoint`, or `api_version` with
    `base_url`) and wherever Azure takes it only so, which is below `/openai/deployments/...`. None (and neither
    `azure_ad_token` nor a provider of one) = the client's own credential is passed on. An empty key is a mistake."""
    base_url: BaseUrl | None = None
    """Where requests go, without a slash at its end; `https://api.openai.com/v1` if nothing says where. After
    loading never None, except with `azure_endpoint`."""
    organization: Name | None = None
    """Sent as `OpenAI-Organization`."""
    project: Name | None = None
    """Sent as `OpenAI-Project`."""
    default_headers: Annotated[
        Mapping[HeaderName, HeaderValue],
        Meta(description="a mapping of HTTP header names (not those of the connection, host or length) to texts"),
    ] = {}
    """Added to every call. Secret. `Authorization` or `api-key` among them is sent in the place of `api_key`; a
    gateway's key (`Ocp-Apim-Subscription-Key`) along with it. Not allowed: `Host`, `Content-Length`, `Expect` and
    the headers of the connection itself."""
    default_query: Annotated[
        Mapping[QueryName, QueryValue], Meta(description="a mapping of query names to texts or numbers")
    ] = {}
    """Added to every URL. Numbers and dates are taken as they are written (`2024-10-21`). No place for keys: URLs
    end up in logs."""
    timeout: Seconds | TimeoutParts | None = None
    """One number becomes `first_byte_timeout`, and `connect_timeout` where it is smaller than that of
    general_settings; a mapping says them one by one: [timeout](#timeout). The model's own timeouts win."""
    max_retries: Annotated[int, Meta(ge=0, le=1000)] | None = None
    """Accepted, without effect: `num_retries` says how often the proxy tries."""
    azure_endpoint: AzureUrl | None = None
    """The resource, such as `https://my-resource.openai.azure.com`, instead of `base_url`. Needs `api_version`,
    unless it ends in `/openai/v1`. More than the resource is cut, with a warning; see below."""
    azure_deployment: DeploymentName | None = None
    """The deployment in the path. None = the `model`. Only with `azure_endpoint`."""
    api_version: ApiVersion | None = None
    """Sent as the query's `api-version`. With `azure_endpoint`, or with `base_url` for AzureOpenAI's way with it:
    the deployment (here `model`) is added to the path, unless it has one or ends in `/v1`."""
    azure_ad_token: ApiKey | None = None
    """An Entra token, sent as Bearer, instead of `api_key`. It expires within hours and is not renewed."""
    azure_ad_token_provider: Literal["default"] | None = None
    """`default` = Entra tokens that the proxy fetches and renews, by azure-identity's `DefaultAzureCredential`,
    instead of `api_key` and `azure_ad_token`: [Entra ID](#entra-id). With `azure_endpoint` or `base_url`."""
    azure_ad_scope: Scope = ENTRA_SCOPE
    """What those tokens are asked for. Not an argument of the client's, whose provider is a function. Older
    resources may want `https://cognitiveservices.azure.com/.default`."""
    data_residency: Literal["us", "eu", "ae", "au", "in", "jp", "global"] | None = None
    """OpenAI's base URL of that region (`https://eu.api.openai.com/v1` and so on), instead of `base_url`."""

    @property
    def passes_client_credential(self) -> bool:
        """Whether calls carry the credential of the client that asks (no key here, none in a header)."""
        in_header = any(name.lower() in KEY_HEADERS for name in self.default_headers)
        has_own = self.api_key or self.azure_ad_token or self.azure_ad_token_provider
        return has_own is None and not in_header

    @property
    def is_azure(self) -> bool:
        """Whether the key travels in `api-key`: with AzureOpenAI's arguments, and where Azure takes it only so."""
        has_arguments = self.azure_endpoint is not None or self.api_version is not None
        return has_arguments or (self.base_url is not None and is_dated_path(self.base_url))
