"""Addresses in the configuration: base URLs, proxies, Redis, hosts; where a key may be sent and where not."""

import re
from urllib.parse import SplitResult, urlsplit

from adapters.stores.redis.settings import RedisSettings
from adapters.upstreams.outbound.never_called import address_in, reason_against
from domain.secret import Secret
from entrypoints.config.azure_address import is_azure_host, taken_apart
from entrypoints.config.reading.document import Scalar
from entrypoints.config.reading.mistakes import may_be_credential
from entrypoints.config.reading.rules import Hidden, Refused, Text

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]|[^\x00-\x7f]")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_APP = re.compile(r"(?:\*|[a-z0-9._~-]*(?::(?:[0-9]{1,5}|\*))?)")
"""What stands for the host in origins of extensions and of applications that are made of web pages."""
_PRIVATE_SUFFIXES = (".local", ".localdomain", ".internal", ".lan", ".intranet", ".home.arpa", ".svc")


class BaseUrl(Text, frozen=True):
    """Where requests are sent. Whether plain http will do is decided elsewhere (`plain_http.py`)."""

    ends_not_in: tuple[str, ...] = ("/chat/completions", "/responses", "/embeddings", "/completions")

    def read(self, given: Scalar) -> str:
        text = self.text_of(given)
        parts = split_url(text, ("http", "https"))
        if parts.username is not None or parts.password is not None:
            raise Refused("leave out the user and password; a key belongs in api_key")
        if "#" in text:
            raise Refused("leave out the fragment (#...)")
        refuse_dangerous(parts.hostname or "")
        self._refuse_too_much(text, parts)
        return text.rstrip("/")

    def _refuse_too_much(self, text: str, parts: SplitResult) -> None:
        end = next((end for end in self.ends_not_in if parts.path.rstrip("/").endswith(end)), None)
        if "?" not in text and end is None:
            return
        azure = taken_apart(text)
        if azure is not None and (azure.deployment or azure.version or is_azure_host(parts.hostname or "")):
            raise Refused(f"that is the address of one call; write {azure.lines()}")
        if is_azure_host(parts.hostname or ""):
            raise Refused(f"that is the address of one call; write base_url: {parts.scheme}://{parts.netloc}/openai/v1")
        raise Refused(
            "leave out the query; it belongs in default_query" if "?" in text else f"leave out {end}; the proxy adds it"
        )


class AzureUrl(BaseUrl, frozen=True):
    """A resource, or an address below it as the portals show it: what belongs elsewhere is found there later on."""

    def _refuse_too_much(self, text: str, parts: SplitResult) -> None:
        if taken_apart(text) is None:
            super()._refuse_too_much(text, parts)


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

    port_key: str = ""
    """The setting that takes the port."""
    url_key: str = ""
    """The setting that takes a whole URL; empty = none does."""

    def read(self, given: Scalar) -> str:
        host = self.text_of(given)
        if not is_host(host):
            raise Refused(self._what_is_too_much(host))
        return host

    def _what_is_too_much(self, text: str) -> str:
        scheme, found, rest = text.rpartition("://")
        if found and self.url_key and scheme.startswith("redis"):
            return f"write that as {self.url_key}, in the place of {self.port_key} and the others"
        host, colon, port = rest.rstrip("/").rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if colon and port.isdecimal() and is_host(host) and not may_be_credential(host):
            return f"write {host} here, and {self.port_key}: {port}" if self.port_key else f"write {host}"
        return "leave out the scheme" if found else ""


class HostWithPort(Text, frozen=True):
    """What a Host header may say: a name or an IP address, with or without a port; lower case."""

    def read(self, given: Scalar) -> str:
        text = self.text_of(given).lower()
        if "*" in text:
            raise Refused("wildcards are not taken; write each name")
        if "://" in text:
            raise Refused("leave out the scheme")
        parts = split_url(f"http://{text}", ("http",))
        if parts.netloc != text or "@" in text:
            raise Refused
        return text


class Origin(Text, frozen=True):
    """What an Origin header may say: scheme, host and port, nothing after them, or `null`; lower case.

    `*` stands for any host of a scheme that is not the web's, any port, any name below a host, or alone for everybody.
    """

    def read(self, given: Scalar) -> str:
        text = self.text_of(given).lower()
        if text in ("null", "*"):
            return text
        scheme, mark, rest = text.partition("://")
        if not mark or not _SCHEME.fullmatch(scheme):
            raise Refused("it does not begin with a scheme such as https://")
        if scheme not in ("http", "https"):
            if not _APP.fullmatch(rest):
                raise Refused
            return text
        if rest == "*":
            raise Refused("that is the whole web; name the hosts")
        plain = f"{scheme}://{rest.removeprefix('*.').removesuffix(':*')}"
        parts = split_url(plain, ("http", "https"))
        if f"{parts.scheme}://{parts.netloc}" != plain or "@" in plain:
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
    reason = reason_against(host)
    if reason is not None:
        raise Refused(reason)
