"""Addresses in the configuration: base URLs, proxies, Redis, hosts; where a key may be sent and where not."""

import re
from functools import partial
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from msgspec import Meta

from adapters.stores.redis.settings import RedisSettings
from adapters.upstreams.outbound.never_called import address_in, reason_against
from domain.secret import Secret
from entrypoints.config.azure_address import is_azure_host, taken_apart
from entrypoints.config.reading.schema import Form, Refused
from entrypoints.config.reading.shown import may_be_credential

_ENDS = ("/chat/completions", "/responses", "/embeddings", "/completions")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]|[^\x00-\x7f]")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_APP = re.compile(r"(?:\*|[a-z0-9._~-]*(?::(?:[0-9]{1,5}|\*))?)")  # in place of a host, in origins of applications
_PRIVATE_SUFFIXES = (".local", ".localdomain", ".internal", ".lan", ".intranet", ".home.arpa", ".svc")


def _base_url(text: str) -> str:
    """Where requests are sent. Whether plain http will do is decided elsewhere (`plain_http.py`)."""
    parts = _base_parts(text)
    end = next((end for end in _ENDS if parts.path.rstrip("/").endswith(end)), None)
    if "?" not in text and end is None:
        return text.rstrip("/")
    azure = taken_apart(text)
    one_call = "that is the address of one call"
    if azure is not None and (azure.deployment or azure.version or is_azure_host(parts.hostname or "")):
        raise Refused(one_call, f"write {azure.lines()}")
    if is_azure_host(parts.hostname or ""):
        raise Refused(one_call, f"write base_url: {parts.scheme}://{parts.netloc}/openai/v1")
    raise Refused(
        fix="leave out the query; it belongs in default_query" if "?" in text else f"leave out {end}; the proxy adds it"
    )


def _azure_url(text: str) -> str:
    """A resource, or an address below it as the portals show it: what belongs elsewhere is found there later on."""
    _base_parts(text)
    return _base_url(text) if taken_apart(text) is None else text.rstrip("/")


def _base_parts(text: str) -> SplitResult:
    parts = split_url(text, ("http", "https"))
    if parts.username is not None or parts.password is not None:
        raise Refused(fix="leave out the user and password; a key belongs in api_key")
    if "#" in text:
        raise Refused(fix="leave out the fragment (#...)")
    refuse_dangerous(parts.hostname or "")
    return parts


def _proxy_url(text: str) -> str:
    if text == "none":
        raise Refused(fix="leave the setting out where there is none")
    parts = split_url(text, ("http",))
    if parts.port is None:
        raise Refused("the port is missing")
    if parts.path not in ("", "/") or "?" in text or "#" in text:
        raise Refused(fix="leave out what follows the port")
    refuse_dangerous(parts.hostname or "")
    return text


def _redis_url(text: str) -> str:
    try:
        redis = RedisSettings.of_url(Secret(text))
    except ValueError as reason:
        # Its text is of_url's own and shows nothing of the URL.
        raise Refused(str(reason)) from None
    if not all(is_host(host) for host, _ in redis.nodes):
        raise Refused("a host is no name or IP address")
    return text


def _host(text: str, port_key: str, url_key: str = "") -> str:
    """A name or an IP address. `port_key` is the setting that takes the port, `url_key` the one that takes a URL."""
    if is_host(text):
        return text
    scheme, found, rest = text.rpartition("://")
    if found and url_key and scheme.startswith("redis"):
        raise Refused(fix=f"write that as {url_key}, in the place of {port_key} and the others")
    host, colon, port = rest.rstrip("/").rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if colon and port.isdecimal() and is_host(host) and not may_be_credential(host):
        raise Refused(fix=f"write {host} here, and {port_key}: {port}")
    raise Refused(fix="leave out the scheme" if found else "")


def _host_with_port(text: str) -> str:
    """What a Host header may say, in lower case."""
    text = text.lower()
    if "*" in text:
        raise Refused("wildcards are not taken", "write each name")
    if "://" in text:
        raise Refused(fix="leave out the scheme")
    if split_url(f"http://{text}", ("http",)).netloc != text or "@" in text:
        raise Refused
    return text


def origin(text: str) -> str:
    """What an Origin header may say: scheme, host and port, nothing after them, or `null`; lower case. `*` stands for
    any host of a scheme that is not the web's, any port, any name below a host, or alone for everybody."""
    text = text.lower()
    if text in ("null", "*"):
        return text
    scheme, mark, rest = text.partition("://")
    if not mark or not _SCHEME.fullmatch(scheme):
        raise Refused("it does not begin with a scheme such as https://", "begin it with its scheme and ://")
    if scheme not in ("http", "https"):
        if not _APP.fullmatch(rest):
            raise Refused
        return text
    if rest == "*":
        raise Refused("that is the whole web", "name the hosts")
    plain = f"{scheme}://{rest.removeprefix('*.').removesuffix(':*')}"
    parts = split_url(plain, ("http", "https"))
    if f"{parts.scheme}://{parts.netloc}" != plain or "@" in plain:
        raise Refused(fix="leave out what is no scheme, host or port")
    return text


def split_url(text: str, schemes: tuple[str, ...]) -> SplitResult:
    """The parts of a URL with a valid scheme, host and port. Raises `Refused`."""
    if _UNSAFE.search(text):
        raise Refused("it holds a space, a backslash or a character that is not ASCII")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise Refused("the port or the brackets of the host are wrong") from None
    if parts.scheme not in schemes or "://" not in text:
        names = " or ".join(f"{scheme}://" for scheme in schemes)
        raise Refused(f"it does not begin with {names}", f"begin it with {schemes[-1]}://")
    if not is_host(parts.hostname or ""):
        raise Refused("the host is missing or is no name or IP address")
    if port == 0 or parts.netloc.endswith(":"):
        raise Refused("the port is not from 1 to 65535")
    return parts


def is_host(text: str) -> bool:
    """Whether `text` is an IP address in its usual form or a well-formed name."""
    if address_in(text) is not None:
        return "%" not in text
    labels = text.removesuffix(".").split(".")
    # A name that ends in a number is an address in disguise: 2852039166 and 0xa9fea9fe are 169.254.169.254.
    ends_in_number = re.fullmatch(r"[0-9]+|0[xX][0-9A-Fa-f]*", labels[-1]) is not None
    return len(text) <= 253 and not ends_in_number and all(_LABEL.fullmatch(label) for label in labels)


def is_loopback(host: str) -> bool:
    """Whether `host` can only be this machine."""
    address = address_in(host)
    if address is not None:
        return address.is_loopback
    return f".{host.lower().removesuffix('.')}".endswith(".localhost")


def is_private(host: str) -> bool:
    """Whether `host` looks like a machine of a private network: by its address, or by its name."""
    address = address_in(host)
    if address is not None:
        return address.is_private
    name = host.lower().removesuffix(".")
    return "." not in name or name.endswith(_PRIVATE_SUFFIXES) or ".svc." in name


def refuse_dangerous(host: str) -> None:
    """Raises `Refused` for addresses that hand out cloud credentials or are no single machine."""
    if (reason := reason_against(host)) is not None:
        raise Refused(reason)


BASE_URL = "an https:// URL without user, query and fragment (http:// for loopback and private hosts)"
_REDIS_SERVER = Meta(description="the name or IP address of the Redis server, without redis:// and port")
_PROXY = "http://host:port or http://user:password@host:port"

BaseUrl = Annotated[str, Meta(description=BASE_URL), Form(_base_url)]
AzureUrl = Annotated[str, Meta(description=BASE_URL), Form(_azure_url)]
BindAddress = Annotated[
    str, Meta(description="an IP address or a host name, without a port"), Form(partial(_host, port_key="bind_port"))
]
RedisHost = Annotated[str, _REDIS_SERVER, Form(partial(_host, port_key="redis_port", url_key="redis_url"))]
CacheHost = Annotated[str, _REDIS_SERVER, Form(partial(_host, port_key="port", url_key="redis_url"))]
RedisUrl = Annotated[
    Secret,
    Meta(
        description="redis://, rediss:// (TLS), unix://, redis+sentinel:// or redis+cluster://, "
        "such as redis://:password@host:6379/0"
    ),
    Form(_redis_url),
]
ProxyUrl = Annotated[Secret, Meta(description=_PROXY), Form(_proxy_url)]
ProxyUrlOrNone = Annotated[
    Secret,
    Meta(description=f"{_PROXY}, or none"),
    Form(lambda text: "" if text == "none" else _proxy_url(text)),
]
HostWithPort = Annotated[
    str, Meta(description="a host name or IP address, with or without :port"), Form(_host_with_port)
]
Origin = Annotated[
    str,
    Meta(
        description="http:// or https:// or another scheme, a host and an optional :port, nothing after; "
        'chrome-extension://*, http://localhost:*, https://*.example.com; "null" in quotes; "*" with api_keys'
    ),
    Form(origin),
]
