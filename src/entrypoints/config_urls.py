"""Addresses in the configuration: base URLs, proxies, Redis, hosts; where a key may be sent and where not."""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from adapters.stores.redis_settings import RedisSettings
from domain.secret import Secret
from entrypoints.config_document import Scalar
from entrypoints.config_rules import Hidden, Refused, Text

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]|[^\x00-\x7f]")
_PRIVATE_SUFFIXES = (".local", ".localdomain", ".internal", ".lan", ".intranet", ".home.arpa", ".svc")

# Where clouds hand out credentials to whoever asks from inside: link-local addresses, and these
# (AWS IPv6, Alibaba, Azure's wire server; Google's and AWS's names).
_METADATA_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254", "100.100.100.200", "168.63.129.16")
)
_METADATA_NAMES = frozenset(
    ("metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal")
)
_AZURE_HOSTS = (".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class BaseUrl(Text, frozen=True):
    """Where requests are sent: https, or http to this machine or a private network."""

    ends_not_in: tuple[str, ...] = ("/chat/completions", "/responses", "/embeddings", "/completions")

    def read(self, given: Scalar) -> str:
        text = self.text_of(given)
        parts = split_url(text, ("http", "https"))
        if parts.username is not None or parts.password is not None:
            raise Refused("leave out the user and password; a key belongs in api_key")
        if "?" in text:
            raise Refused("leave out the query; it belongs in default_query")
        if "#" in text:
            raise Refused("leave out the fragment (#...)")
        host = parts.hostname or ""
        refuse_dangerous(host)
        if parts.scheme == "http" and not is_loopback(host) and not is_private(host):
            raise Refused("write https: over http the key would travel in clear text over public networks")
        for end in self.ends_not_in:
            if parts.path.rstrip("/").endswith(end):
                raise Refused(f"leave out {end}; the proxy adds it")
        return text.rstrip("/")


class ProxyUrl(Hidden, frozen=True):
    """The proxy for upstream calls; secret, because it may hold a password. With `may_be_none` also the word none,
    which is read as an empty text."""

    may_be_none: bool = False

    def read(self, given: Scalar) -> Secret:
        text = self.text_of(given)
        if text == "none":
            if not self.may_be_none:
                raise Refused("leave the setting out where there is none")
            return Secret("")
        parts = split_url(text, ("http",))
        if parts.port is None or parts.path not in ("", "/") or "?" in text or "#" in text:
            raise Refused
        refuse_dangerous(parts.hostname or "")
        return Secret(text)


class RedisUrl(Hidden, frozen=True):
    """A Redis, Sentinels or a cluster; secret, because it may hold a password."""

    def read(self, given: Scalar) -> Secret:
        url = Secret(self.text_of(given))
        try:
            redis = RedisSettings.of_url(url)
        except ValueError as reason:
            # Its text is of_url's own and shows nothing of the URL.
            raise Refused(str(reason)) from None
        if not all(is_host(host) for host, _ in redis.nodes):
            raise Refused("a host is no name or IP address")
        return url


class Host(Text, frozen=True):
    """A name or an IP address, without scheme and port."""

    def read(self, given: Scalar) -> str:
        host = self.text_of(given)
        if not is_host(host):
            raise Refused
        return host


class HostWithPort(Text, frozen=True):
    """What a Host header may say: a name or an IP address, with or without a port; lower case."""

    def read(self, given: Scalar) -> str:
        text = self.text_of(given).lower()
        parts = split_url(f"http://{text}", ("http",))
        if parts.netloc != text or "@" in text:
            raise Refused
        return text


class Origin(Text, frozen=True):
    """What an Origin header may say: scheme, host and port, nothing after them; lower case."""

    def read(self, given: Scalar) -> str:
        text = self.text_of(given).lower()
        parts = split_url(text, ("http", "https"))
        if f"{parts.scheme}://{parts.netloc}" != text or "@" in text:
            raise Refused
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
        raise Refused(f"it does not begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
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


def address_in(host: str) -> Address | None:
    """The IP address that `host` is (an IPv4 address inside an IPv6 one is taken out), or None."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_loopback(host: str) -> bool:
    """Whether `host` can only be this machine."""
    address = address_in(host)
    if address is not None:
        return address.is_loopback
    name = host.lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost")


def is_private(host: str) -> bool:
    """Whether `host` looks like a machine of a private network: by its address, or by its name."""
    address = address_in(host)
    if address is not None:
        return address.is_private
    name = host.lower().removesuffix(".")
    return "." not in name or name.endswith(_PRIVATE_SUFFIXES) or ".svc." in name


def refuse_dangerous(host: str) -> None:
    """Raises `Refused` for addresses that hand out cloud credentials or are no single machine."""
    address = address_in(host)
    name = host.lower().removesuffix(".")
    if name in _METADATA_NAMES or (address and any(address in network for network in _METADATA_NETWORKS)):
        raise Refused("link-local and cloud metadata addresses are never called")
    if address and (address.is_unspecified or address.is_multicast):
        raise Refused("this address is no single machine; for this one write 127.0.0.1")


def clear_text_advice(url: str) -> str | None:
    """A warning about a URL that is called without encryption; None = nothing to say."""
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        return "over http the key travels in clear text; https protects it"
    return None


def path_advice(base_url: str, default_query: Mapping[str, str]) -> str | None:
    """A warning about a base URL whose path is probably not what was meant; None = nothing to say."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if host.endswith("api.openai.com") and not parts.path:
        return "OpenAI's base URL ends in /v1; without it every call answers 404"
    if host.endswith(_AZURE_HOSTS) and not parts.path.startswith("/openai"):
        return "Azure's base_url ends in /openai/v1; for the dated API use azure_endpoint and api_version"
    if parts.path.endswith("/openai/v1") and "api-version" in default_query:
        return "Foundry endpoints answer 400 to api-version on /openai/v1; remove it if they do"
    return None
