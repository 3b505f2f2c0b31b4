"""Where an endpoint's requests go and what they carry: everything that is the same for all of them, worked out once."""

from collections.abc import Callable, Iterable, Sequence
from urllib.parse import quote, unquote_plus

from msgspec import Struct

from application.messages import KEY_HEADERS, PROVIDER_KEY_HEADERS, Headers
from application.state.access_tokens import TokenSource
from domain.secret import Secret


class Target(Struct, frozen=True):
    """One endpoint's address and credential, as its provider wants them. Holds keys: never log it."""

    url_for: Callable[[str, str], str]
    """Method and path below the version root (`/chat/completions`) -> URL without query."""
    query: tuple[tuple[str, str], ...]
    """Query parameters of every call, percent-encoded."""
    credentials: Headers
    """The endpoint's own `authorization` or `api-key`; organization and project where the configuration names them."""
    owns_key: bool
    """False = the client's credentials go on, but for what `credentials` names."""
    defaults: Headers
    """Headers that are added unless the client sends its own of that name."""
    names_deployment: bool = False
    """Does the path of a call name the deployment, where there are routes below it?"""
    token: TokenSource | None = None
    """What its credential comes from where that expires; None = it is in `credentials`."""
    outbound_proxy: str | None = None
    """See `UpstreamCall`."""

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
        """All headers of a call: the client's, the credential, then defaults that are not there yet."""
        headers = client_headers + self.credentials
        if not self.owns_key:
            named = {name for name, _ in self.credentials}
            headers += tuple(pair for pair in client_credentials if pair[0] not in named)
        if not self.defaults:
            return headers
        present = {name for name, _ in headers}
        return headers + tuple(pair for pair in self.defaults if pair[0] not in present)


def _name(part: str) -> str:
    """What a part of a query sets, however it is spelled."""
    name = part.partition("=")[0]
    return unquote_plus(name) if "%" in name or "+" in name else name


def target(
    url_for: Callable[[str, str], str],
    key_headers: Headers,
    default_headers: Iterable[tuple[str, Secret]],
    query: Iterable[tuple[str, str]],
    *,
    organization: str | None = None,
    project: str | None = None,
    names_deployment: bool = False,
    token: TokenSource | None = None,
) -> Target:
    """A target from the parts all providers share. A provider's credential among the default headers stands in for the
    key; that of a gateway in front of it goes along."""
    revealed = tuple((name.lower(), value.reveal()) for name, value in default_headers)
    own = tuple(pair for pair in revealed if pair[0] in KEY_HEADERS)
    if not any(name in PROVIDER_KEY_HEADERS for name, _ in own):
        own = key_headers + own
    owns_key = bool(own) or token is not None
    if organization is not None:
        own += (("openai-organization", organization),)
    if project is not None:
        own += (("openai-project", project),)
    defaults = tuple(pair for pair in revealed if pair not in own)
    return Target(
        url_for, tuple((quote(n), quote(v)) for n, v in query), own, owns_key, defaults, names_deployment, token
    )
