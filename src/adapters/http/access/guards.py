"""Access: no foreign web page, no request that reached the proxy by a foreign name, and no client without a key.

A proxy on localhost is within reach of every web page its user opens. A page cannot choose the `Host` of a request
(which stops DNS rebinding), cannot hide its `Origin`, and cannot send JSON across origins without asking first.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from typing import Literal

import msgspec

from adapters.http.access.key_holders import NOBODY, KeyHolder, KeyHolders, Keys
from adapters.http.access.origins import Origins, normalised
from adapters.http.error_headers import Refusal
from application.errors import Closed, InvalidRequest
from domain.bounded_memo import Remembered, remembered

MetricsAccess = Literal["loopback", "keys", "open"]

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

_SHOWN = 100
"""How much of what a client sent a message shows."""

_PORT = re.compile(r":[0-9]{0,5}$")
"""What may follow a name (RFC 9110, 7.2); anything else is no port, and `localhost:80@evil` is not localhost."""
_NAME = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[A-Za-z0-9._\[\]:-]*|null")


class NotAllowed(Closed):
    """The request comes from where it must not come from."""


class WrongKey(Refusal):
    """The client's key is none of the proxy's."""

    should_retry = False

    def __init__(self) -> None:
        super().__init__(
            "This proxy needs one of its own api_keys, as 'Authorization: Bearer KEY' or 'api-key: KEY'.",
            code="invalid_api_key",
            fields=('www-authenticate: Bearer realm="llmproxy"',),
        )


class Guard:
    """Decides by a request's headers alone."""

    def __init__(
        self,
        bind_address: str,
        allowed_hosts: Iterable[str] = (),
        allowed_origins: Iterable[str] = (),
        api_keys: Keys = (),
    ) -> None:
        own = f"[{bind_address}]" if ":" in bind_address else bind_address
        self._hosts = LOOPBACK_NAMES | {own.lower()} | {host.lower() for host in allowed_hosts}
        self._known = Remembered(self._knows, most=32)
        self.origins = Origins(allowed_origins)
        self._holders = KeyHolders(api_keys)
        self.needs_key = bool(self._holders)
        """Does the proxy have keys of its own? Then the client's credential is ours, and no provider may see it."""
        self.without_keys = self._holders.without_keys

    def check(self, headers: dict[bytes, bytes], *, key: bool = True, host: bool = True) -> KeyHolder:
        """The holder of the key, `NOBODY` where none is needed. Raises `NotAllowed`, or `WrongKey` where one is.
        `headers` by lower-case name; `host`: does it matter by which name the proxy was reached?"""
        origin = headers.get(b"origin")
        if origin is not None and not self.origins.allows(origin):
            raise _foreign_page(origin)
        if not self.needs_key:
            if host:
                self._check_host(headers)
            return NOBODY
        holder = self._holders.of(headers) if key else NOBODY
        if holder is None:
            raise WrongKey
        return holder

    def check_local(self, headers: dict[bytes, bytes], address: tuple[str, int] | None) -> None:
        """For what clients on this machine see without a key: raises `NotAllowed` for all others, and for web pages
        that reach it by a name of their own. `address`: the client's; None = unknown."""
        self._check_host(headers)
        if address is None or not _is_loopback(address[0]):
            raise NotAllowed(
                "Metrics are for clients on this machine. For those that have one of its api_keys, write under "
                "general_settings: metrics: keys; for all who reach it: metrics: open",
                "metrics_not_open",
            )

    def _check_host(self, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"")
        if not self._known[host]:
            raise _foreign_name(host)

    def is_known(self, headers: dict[bytes, bytes]) -> bool:
        """Does the client show a key? Where none is needed, everybody is known."""
        return not self.needs_key or self._holders.of(headers) is not None

    def _knows(self, raw_host: bytes) -> bool:
        host = raw_host.decode("latin-1").lower()
        return host in self._hosts or _PORT.sub("", host) in self._hosts


def _is_loopback(address: str) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_loopback


def _foreign_page(raw_origin: bytes) -> NotAllowed:
    origin = raw_origin.decode("latin-1")
    text = f"Requests of web pages are refused, and this one is of {_quoted(origin)}."
    if len(origin) <= _SHOWN and _ORIGIN.fullmatch(origin):
        text += f" To let it in, write under general_settings: allowed_origins: [{_quoted(normalised(origin))}]"
    else:
        text += " allowed_origins in general_settings names exceptions."
    return NotAllowed(text, "origin_not_allowed")


def _foreign_name(raw_host: bytes) -> NotAllowed:
    host = raw_host.decode("latin-1")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if not host:
        text = "The request has no Host header; allowed_hosts in general_settings names those that are let in."
    elif len(name) <= _SHOWN and _NAME.fullmatch(name):
        text = (
            f"This proxy is not known by the name {_quoted(host)}."
            f" To let it in, write under general_settings: allowed_hosts: [{_quoted(name)}]"
        )
    else:
        text = f"This proxy is not known by the name {_quoted(host)}; allowed_hosts in general_settings names others."
    return NotAllowed(text, "host_not_allowed")


def _quoted(text: str) -> str:
    """As JSON and YAML quote it, and not all of it if it is long."""
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    return msgspec.json.encode(shown).decode()


def check_no_page(headers: dict[bytes, bytes]) -> None:
    """For routes that take any body: no page of another site, also where browsers send no `Origin` (images, frames)."""
    if headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site") and b"origin" not in headers:
        raise NotAllowed("Requests of web pages that do not name their origin are refused.", "origin_not_allowed")


_NO_UPGRADE = ("upgrade: HTTP/1.1", "connection: upgrade")
"""What is spoken here: a 426 has to say it (RFC 9110, 15.5.22)."""


def check_upgrade(headers: dict[bytes, bytes]) -> None:
    """Raises `Refusal` (426) for a WebSocket where none is served. Other upgrades may be ignored (RFC 9110, 7.8)."""
    upgrade = headers.get(b"upgrade")
    if upgrade is not None and upgrade.strip().lower() == b"websocket":
        raise refused_upgrade(
            "WebSockets are not served here; use the HTTP API, with stream: true where events are wanted."
        )


def refused_upgrade(message: str) -> Refusal:
    """A 426 that says so."""
    return Refusal(message, code="upgrade_not_served", fields=_NO_UPGRADE)


def check_json(headers: dict[bytes, bytes]) -> None:
    """Raises `InvalidRequest` with status 415 for what is not sent as JSON."""
    if not is_json(headers):
        raise InvalidRequest(
            "The body must be JSON: send 'content-type: application/json'.", code="unsupported_media_type"
        )


def is_json(headers: dict[bytes, bytes]) -> bool:
    """Is the body sent as JSON, whatever it is?"""
    return _is_json(headers.get(b"content-type", b""))


@remembered(most=32)
def _is_json(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() == b"application/json"
