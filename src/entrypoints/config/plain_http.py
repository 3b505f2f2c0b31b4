"""Where a key may be sent without encryption: this machine, private networks, and hosts that were named for it."""

import ipaddress
from collections.abc import Collection
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from adapters.upstreams.outbound.never_called import address_in
from entrypoints.config.reading.mistakes import Place
from entrypoints.config.reading.schema import Form, Refused
from entrypoints.config.reading.shown import shown
from entrypoints.config.settings_params import ParamsSettings
from entrypoints.config.urls import BASE_URL, is_host, is_loopback, is_private, refuse_dangerous


def _plain_http_host(given: str) -> str:
    """A name, all names below a suffix, an address or a network; lower case."""
    text = given.lower().removesuffix(".")
    if "://" in text:
        raise Refused(fix="leave out the scheme")
    if text == "*" or text.endswith("/0"):
        raise Refused("that is everywhere", "name the hosts")
    if "/" in text:
        return str(_network(text))
    host = text.removeprefix("*.").removeprefix("[").removesuffix("]")
    if host.count(":") == 1:
        raise Refused(fix="leave out the port")
    if not is_host(host):
        raise Refused
    refuse_dangerous(host)
    return text if address_in(host) is None else str(_network(host))


PlainHttpHost = Annotated[
    str,
    Meta(
        description="a host name, *.suffix, an IP address or a network such as 10.20.0.0/16, without http:// and port"
    ),
    Form(_plain_http_host),
]


def check_plain_http(params: ParamsSettings, named: Collection[str], here: Place) -> None:
    """Report an address that no key may be sent to in clear text. `named`: `plain_http_hosts`; none is resolved."""
    for key, url in (("base_url", params.base_url), ("azure_endpoint", params.azure_endpoint)):
        if url is not None and clear_text_advice(url, named) is not None and not is_private(_host(url)):
            problem = f"got {shown(url)}; over http the key would travel in clear text over public networks"
            valid = f"{BASE_URL}, or the host in general_settings.plain_http_hosts"
            here.add(key, problem, valid, "write https://, or name the host in plain_http_hosts")


def clear_text_advice(url: str, named: Collection[str]) -> str | None:
    """A warning about a URL that is called without encryption; None = nothing to say, or it was said on purpose."""
    host = _host(url)
    if not url.lower().startswith("http:") or is_loopback(host) or _is_named(host, named):
        return None
    meant = f"general_settings.plain_http_hosts: [{host}] says that it is meant"
    return f"over http the key travels in clear text; https protects it, and {meant}"


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").removesuffix(".")


def _is_named(host: str, named: Collection[str]) -> bool:
    address = address_in(host)
    if address is None:
        return any(host == name or (name.startswith("*.") and host.endswith(name[1:])) for name in named)
    networks = (ipaddress.ip_network(name) for name in named if "/" in name)
    return any(address in network for network in networks if network.version == address.version)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise Refused("a network ends in its length, and its other bits are 0") from None
