"""`params` of a model: what the OpenAI client's constructor takes, as far as a file can say it.

The arguments and their meaning are those of openai-python's `OpenAI` and `AzureOpenAI`.
"""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Struct

from application.messages import KEY_HEADERS
from domain.secret import Secret
from entrypoints.config.azure_address import is_dated_path
from entrypoints.config.reading.rules import KEY, NAME, SECONDS, Choice, Converted, Hidden, Text, Whole
from entrypoints.config.reading.shapes import Nested, OneOrMap, TextMap
from entrypoints.config.urls import AzureUrl, BaseUrl

CREDENTIAL_HEADERS = KEY_HEADERS
CREDENTIAL_PARAMS = frozenset(("api_key", "azure_ad_token", "azure_ad_token_provider"))
_HEADER_TEXT = r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?"
ENTRA_SCOPE = "https://ai.azure.com/.default"
BASE_URL = "an https:// URL without user, query and fragment (http:// for loopback and private hosts)"

# Connection handling is the proxy's own business (RFC 9110, 7.6.1); host and length follow from the request.
_PROXY_OWNED_HEADERS = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "proxy-authenticate"}
    | {"proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)

REFUSED_PARAMS = {
    "admin_api_key": "is refused: administration routes are not proxied; valid: api_key",
    "workload_identity": "is refused: the proxy exchanges no tokens; valid: api_key, azure_ad_token, "
    "or for Azure azure_ad_token_provider",
    "provider": "is refused: an object cannot stand in a file; valid: base_url and api_key",
    "webhook_secret": "is refused: webhooks do not come through the proxy; valid: leave it out",
    "websocket_base_url": "is refused: the proxy speaks HTTP, not WebSocket; valid: base_url",
    "http_client": "is refused: an object cannot stand in a file; valid: general_settings has "
    "outbound_proxy, ca_bundle and the timeouts",
    "_strict_response_validation": "is refused: replies pass through unchanged; valid: leave it out",
    "_enforce_credentials": "is refused: without api_key the client's own key is used; valid: leave it out",
}


class TimeoutParts(Struct, frozen=True):
    """`params.timeout` as the OpenAI client's `httpx.Timeout`: seconds per phase; None = not said."""

    connect: Annotated[float | None, SECONDS] = None
    """Becomes the endpoint's `connect_timeout`."""
    read: Annotated[float | None, SECONDS] = None
    """Becomes the endpoint's `first_byte_timeout`."""
    write: Annotated[float | None, SECONDS] = None
    """Accepted, without effect."""
    pool: Annotated[float | None, SECONDS] = None
    """Accepted, without effect."""


class ParamsSettings(Struct, frozen=True):
    """`params`: the constructor arguments of the OpenAI or AzureOpenAI client, by their names there."""

    api_key: Annotated[Secret | None, KEY] = None
    """The endpoint's key; None (and neither `azure_ad_token` nor a provider of one) = the client's own credential is
    passed on."""
    base_url: Annotated[str | None, BaseUrl(BASE_URL)] = None
    """Without a slash at its end. After loading never None, except with `azure_endpoint`."""
    organization: Annotated[str | None, NAME] = None
    """Sent as `OpenAI-Organization`."""
    project: Annotated[str | None, NAME] = None
    """Sent as `OpenAI-Project`."""
    default_headers: Annotated[
        Mapping[str, Secret],
        TextMap(
            "a mapping of HTTP header names (not those of the connection, host or length) to texts",
            r"[A-Za-z0-9!#$%&'*+.^_`|~-]+",
            Hidden("a text of printable ASCII characters", _HEADER_TEXT, is_free=True),
            _PROXY_OWNED_HEADERS,
            is_caseless=True,
        ),
    ] = {}
    """Added to every call; secret, because some providers take their key in a header of their own."""
    default_query: Annotated[
        Mapping[str, str],
        TextMap("a mapping of query names to texts or numbers", r"[\x21-\x7e]+", Converted()),
    ] = {}
    """Added to every URL. No place for keys: URLs are written down by many."""
    timeout: Annotated[
        float | TimeoutParts | None,
        OneOrMap(SECONDS, Nested(TimeoutParts, "a mapping of connect, read, write, pool")),
    ] = None
    """Seconds; stands in for `connect_timeout` and `first_byte_timeout` of the model."""
    max_retries: Annotated[int | None, Whole(0, 1000)] = None
    """Accepted, without effect: `num_retries` says how often the proxy tries."""
    azure_endpoint: Annotated[str | None, AzureUrl(BASE_URL)] = None
    """The Azure resource, without a slash at its end; excludes `base_url`."""
    azure_deployment: Annotated[
        str | None, Text("a deployment's name (letters, digits, . _ -)", r"[A-Za-z0-9._-]{1,64}")
    ] = None
    """The deployment in the path; None = the model's name is the deployment's."""
    api_version: Annotated[str | None, Text("a version such as 2024-10-21 or preview", r"[A-Za-z0-9._-]{1,64}")] = None
    """Sent as the query's `api-version`."""
    azure_ad_token: Annotated[Secret | None, KEY] = None
    """An Entra token, sent as Bearer; excludes `api_key`. It expires within hours and is not renewed."""
    azure_ad_token_provider: Annotated[str | None, Choice(("default",))] = None
    """Where Entra tokens come from that are renewed: `default` = azure-identity's `DefaultAzureCredential`. Excludes
    `api_key` and `azure_ad_token`."""
    azure_ad_scope: Annotated[
        str, Text("a scope that ends in /.default, such as " + ENTRA_SCOPE, r"[A-Za-z0-9_.:/-]{1,500}/\.default")
    ] = ENTRA_SCOPE
    """What those tokens are asked for; no argument of the OpenAI client's, whose provider is a function."""
    data_residency: Annotated[str | None, Choice(("us", "eu", "ae", "au", "in", "jp", "global"))] = None
    """Chooses OpenAI's base URL of that region; excludes `base_url`."""

    @property
    def passes_client_credential(self) -> bool:
        """Whether calls carry the credential of the client that asks (no key here, none in a header)."""
        in_header = any(name.lower() in CREDENTIAL_HEADERS for name in self.default_headers)
        has_own = self.api_key or self.azure_ad_token or self.azure_ad_token_provider
        return has_own is None and not in_header

    @property
    def is_azure(self) -> bool:
        """Whether the key travels in `api-key`: with AzureOpenAI's arguments, and where Azure takes it only so."""
        has_arguments = self.azure_endpoint is not None or self.api_version is not None
        return has_arguments or (self.base_url is not None and is_dated_path(self.base_url))
