"""Where an endpoint's requests go and what they carry: everything that is the same for all of them, worked out once."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypedDict, Unpack
from urllib.parse import quote, unquote_plus

from msgspec import Struct

from application.messages import KEY_HEADERS, PROVIDER_KEY_HEADERS, Headers
from application.state.access_tokens import TokenSource
from domain.secret import Secret


class Target(Struct, frozen=True):
    """One endpoint's address and credential, as its provider wants them. Holds keys: never log it."""

    url_for: Callable[[str, str], str]  # method, path below the version root -> URL without query
    query: tuple[tuple[str, str], ...]  # query parameters of every call, percent-encoded
    credentials: Headers  # the endpoint's own key header; organization and project where configured
    owns_key: bool  # False = the client's credentials go on, but for what `credentials` names
    defaults: Headers  # headers that are added unless the client sends its own of that name
    names_deployment: bool = False  # does the path of a call name the deployment, where there are routes below it?
    token: TokenSource | None = None  # what its credential comes from where that expires; None = it is in `credentials`
    outbound_proxy: str | None = None  # see `UpstreamCall`

    def __repr__(self) -> str:
        return "Target(***)"

    @property
    def secrets(self) -> Sequence[str]:
        """What of it no client and no log may see: its credentials now, and keys of gateways among its defaults."""
        token = self.token.current if self.token is not None else None
        own = [value for name, value in self.credentials + self.defaults if name in KEY_HEADERS]
        return own if token is None else [*own, token.reveal()]

    def url(self, path: str, client_query: str, method: str = "POST") -> str:
        """The whole URL. The client's query comes along, but for an `api-version`: that is the endpoint's affair."""
        parts = [part for part in client_query.split("&") if part and _name(part) != "api-version"]
        named = {_name(part) for part in parts}
        query = "&".join([f"{name}={value}" for name, value in self.query if _name(name) not in named] + parts)
        url = self.url_for(method, path)
        return f"{url}?{query}" if query else url

    def headers(self, client_headers: Headers, client_credentials: Headers) -> Headers:
        headers = client_headers + self.credentials
        if not self.owns_key:
            named = {name for name, _ in self.credentials}
            headers += tuple(pair for pair in client_credentials if pair[0] not in named)
        if not self.defaults:
            return headers
        present = {name for name, _ in headers}
        return headers + tuple(pair for pair in self.defaults if pair[0] not in present)


def _name(part: str) -> str:
    name = part.partition("=")[0]
    return unquote_plus(name) if "%" in name or "+" in name else name


class Extras(TypedDict, total=False):
    """What the configuration may say of any endpoint, whichever way it is reached; see `Target`."""

    organization: str | None
    project: str | None
    default_headers: Iterable[tuple[str, Secret]]
    default_query: Iterable[tuple[str, str]]
    token: TokenSource | None


def target(
    url_for: Callable[[str, str], str],
    key_headers: Headers,
    *,
    names_deployment: bool = False,
    **extras: Unpack[Extras],
) -> Target:
    """A target from the parts all providers share. A provider's credential among the default headers stands in for the
    key; that of a gateway in front of it goes along."""
    revealed = tuple((name.lower(), value.reveal()) for name, value in extras.get("default_headers", ()))
    own = tuple(pair for pair in revealed if pair[0] in KEY_HEADERS)
    if not any(name in PROVIDER_KEY_HEADERS for name, _ in own):
        own = key_headers + own
    token = extras.get("token")
    owns_key = bool(own) or token is not None
    named = {"openai-organization": extras.get("organization"), "openai-project": extras.get("project")}
    own += tuple((name, value) for name, value in named.items() if value is not None)
    defaults = tuple(pair for pair in revealed if pair not in own)
    query = tuple((quote(name), quote(value)) for name, value in extras.get("default_query", ()))
    return Target(url_for, query, own, owns_key, defaults, names_deployment, token)


def openai_target(base_url: str, bearer: Secret | None, **extras: Unpack[Extras]) -> Target:
    """As the `OpenAI` client, also for Azure's `/openai/v1`; neither `bearer` nor `token` = the client's own key."""
    root = base_url.rstrip("/")
    key = () if bearer is None else (("authorization", f"Bearer {bearer.reveal()}"),)
    return target(lambda _method, path: root + path, key, **extras)
