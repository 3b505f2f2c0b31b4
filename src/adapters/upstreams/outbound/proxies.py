"""Proxies between here and the endpoints: how their URLs are read, and which one a call goes through."""

import base64
import os
import re
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct

from adapters.upstreams.outbound.no_proxy import NoProxy

_UNSAFE = re.compile(r"[\x00-\x20\x7f]")
_ALL = ("all_proxy", "ALL_PROXY")


class UnusableProxy(Exception):
    """There is to be a proxy, and no call can go through it. `str(error)` says why, without what its URL holds."""


class OutboundProxy(Struct, frozen=True):
    """An HTTP proxy: it gets the whole URL of a plain request, and opens a tunnel for TLS. Never log it."""

    host: str  # a name or an IP address, without brackets
    port: int
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return "OutboundProxy(***)"

    @property
    def authorization(self) -> str:
        """What `proxy-authorization` holds; empty = it wants none."""
        if not self.user and not self.password:
            return ""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        login = f"{quote(self.user, '')}:{quote(self.password, '')}@" if self.authorization else ""
        return f"http://{login}{host}:{self.port}"


def outbound_proxy(url: str) -> OutboundProxy:
    """Read `http://user:password@host:port`, or what stands for it: `host:port`. Raises `UnusableProxy`."""
    text = url.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise UnusableProxy("is not the URL of a proxy") from None
    if parts.scheme.startswith("socks"):
        raise UnusableProxy("is a SOCKS proxy, and only HTTP proxies can be used")
    if parts.scheme == "https":
        raise UnusableProxy("is an HTTP proxy that is itself spoken to over TLS, and only http:// can be used")
    if parts.scheme != "http" or not host or port == 0 or _UNSAFE.search(text):
        raise UnusableProxy("is not the URL of an HTTP proxy")
    return OutboundProxy(host, port or 80, unquote(parts.username or ""), unquote(parts.password or ""))


class EnvironmentProxies:
    """What the environment says: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, each in lower case too.

    Lower case comes first where both are there (curl, Python), and an empty variable counts as none. HTTP_PROXY does
    not count in a CGI program, whose clients can set it (golang.org/s/cgihttpproxy).
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._http = self._first("http_proxy", "" if environ.get("REQUEST_METHOD") else "HTTP_PROXY", *_ALL)
        self._https = self._first("https_proxy", "HTTPS_PROXY", *_ALL)
        named = self._first("no_proxy", "NO_PROXY")
        self.no_proxy_variable = named or "NO_PROXY"  # which of the two holds
        self.no_proxy = NoProxy(environ[named] if named else "")

    def _first(self, *names: str) -> str | None:
        return next((name for name in names if self._environ.get(name, "").strip()), None)

    def variable(self, *, is_tls: bool, host: str, port: int) -> str | None:
        """The variable whose proxy calls of that host go through; None = they go straight."""
        name = self._https if is_tls else self._http
        return None if name is None or self.no_proxy.holds(host, port) else name

    @property
    def variables(self) -> list[str]:
        return [name for name in dict.fromkeys((self._https, self._http)) if name is not None]

    def proxy(self, variable: str) -> OutboundProxy:
        return outbound_proxy(self._environ[variable])


class OutboundProxies:
    """The way out of an upstream client: one proxy for all calls, what the environment says, or none."""

    def __init__(self, url: str | None, *, trust_env: bool) -> None:
        """`url` None = none for all; then with `trust_env` the environment decides, as it is now."""
        self._url = url
        self._environment = EnvironmentProxies(os.environ.copy()) if trust_env and url is None else None

    def between(self, own: str | None, *, is_tls: bool, host: str, port: int) -> OutboundProxy | None:
        """What is between here and there; None = nothing. Raises `UnusableProxy`. `own`: the proxy that this endpoint
        has for itself, "" = it is called straight; None = it has no say."""
        url = self._url if own is None else own
        if url:
            return outbound_proxy(url)
        if own is not None or self._environment is None:
            return None
        variable = self._environment.variable(is_tls=is_tls, host=host, port=port)
        return None if variable is None else self._environment.proxy(variable)
