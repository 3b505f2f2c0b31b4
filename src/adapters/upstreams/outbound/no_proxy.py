"""NO_PROXY: the hosts that are called directly.

The rule is Go's (golang.org/x/net/http/httpproxy, whose table is among the tests); where curl takes more, so does this:
white space divides entries as a comma does, and a dot at the end of a name means nothing.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from msgspec import Struct

from adapters.upstreams.outbound.never_called import address_in

_NUMBERS = re.compile(r"[0-9.]+")
_NO_NAME = re.compile(r"[*/\[\]@%\\]|\.\.")


class _Name(Struct, frozen=True):
    below: str  # What names end in that it means: `.corp.example`.
    itself: bool  # does it mean `corp.example` too?
    port: int | None


class NoProxy:
    """The entries of one variable. `unread` has those that mean no host."""

    def __init__(self, text: str) -> None:
        """`text`: `10.0.0.0/8, fd00::/8, 192.168.1.1:8080, [::1]:80, corp.example, .corp.example, *.corp, *`.

        A name means itself and what is below it; with a dot or `*.` before it only what is below it. A port limits an
        entry to that port.
        """
        self._is_all = False
        self._networks: list[tuple[IPv4Network | IPv6Network, int | None]] = []  # with the only port; None = any
        self._names: list[_Name] = []
        unread = [entry for entry in re.split(r"[,\s]+", text) if entry and not self._take(entry.lower())]
        self.unread: Sequence[str] = tuple(unread)

    def holds(self, host: str, port: int) -> bool:
        """Is it called directly? Always so for `localhost` and loopback addresses. `host`: with or without brackets."""
        name = host.strip("[]").lower().rstrip(".")
        address = address_in(name.partition("%")[0])
        if name == "localhost" or (address is not None and address.is_loopback) or self._is_all:
            return True
        if address is not None:
            return any(address in network for network, only in self._networks if only in (None, port))
        return any(
            name.endswith(each.below) or (each.itself and name == each.below[1:])
            for each in self._names
            if each.port in (None, port)
        )

    def _take(self, entry: str) -> bool:
        if entry == "*":
            self._is_all = True
            return True
        if "/" in entry:
            return self._take_network(re.sub(r"[\[\]]", "", entry), None)
        host, port = _divided(entry)
        if host is None:
            return False
        if address_in(host) is not None:
            return self._take_network(host, port)
        below = host.removeprefix("*").rstrip(".")
        itself = not below.startswith(".")
        name = below if itself else below[1:]
        if not name or _NUMBERS.fullmatch(name) or _NO_NAME.search(name) or (host.startswith("*") and itself):
            return False
        try:
            ascii_name = name if name.isascii() else name.encode("idna").decode()
        except UnicodeError:
            return False
        self._names.append(_Name(f".{ascii_name}", itself, port))
        return True

    def _take_network(self, text: str, port: int | None) -> bool:
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            return False
        mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
        if mapped is not None and network.prefixlen >= 96:
            network = ip_network(f"{mapped}/{network.prefixlen - 96}", strict=False)
        self._networks.append((network, port))
        return True


def _divided(entry: str) -> tuple[str | None, int | None]:
    """Host and port of an entry; the host None = it cannot be read, the port None = any."""
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::([0-9]*))?", entry)
    parts = bracketed or re.fullmatch(r"([^:\[\]]+)(?::([0-9]*))?", entry)
    if parts is None:
        return (entry, None) if address_in(entry) is not None else (None, None)
    return parts[1], int(parts[2]) if parts[2] else None
