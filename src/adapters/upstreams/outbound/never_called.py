"""Addresses that no request is ever sent to: what hands out a cloud's credentials to whoever asks from inside, and what
is no single machine.

The configuration refuses them where they are written, and both upstream adapters where a name leads to them: what is
checked there is the very address that is connected to, so that a name that points elsewhere later on changes nothing.
"""

import ipaddress

from domain.bounded_memo import remembered
from domain.failure import Failure, FailureKind

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

METADATA = "link-local and cloud metadata addresses are never called"
NO_MACHINE = "this address is no single machine; for this one write 127.0.0.1"

_METADATA_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16",  # RFC 3927; AWS, Google, Azure, OCI, IBM, OpenStack .169.254, AWS ECS .170.2, Scaleway .42.42
        "fe80::/10",  # RFC 4291 2.5.6; OpenStack and Akamai fe80::a9fe:a9fe
        "fd00:ec2::/32",  # AWS: ::254 metadata, ::23 EKS pod identity
        "fd20:ce::254",  # Google
        "100.100.100.200",  # Alibaba
        "fd00:100::100:200",  # Alibaba
        "168.63.129.16",  # Azure's wire server
        "192.0.0.192",  # Oracle Cloud Classic
        "fd00:c1::a9fe:a9fe",  # OCI
        "fd00:42::42",  # Scaleway
        "fd00:a9fe:a9fe::1",  # Akamai
    )
)
_METADATA_NAMES = frozenset(
    ("metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal")
)
_NO_MACHINES = tuple(ipaddress.ip_network(network) for network in ("0.0.0.0/8", "255.255.255.255"))  # RFC 1122 3.2.1.3

_CARRIERS = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "::/96",  # IPv4-compatible, RFC 4291 2.5.5.1
        "::ffff:0:0:0/96",  # IPv4-translated, RFC 2765 2.1
        "64:ff9b::/96",  # NAT64, RFC 6052 2.1
        "64:ff9b:1::/48",  # NAT64 of a site, RFC 8215; mostly with 96 bits before the address as well
    )
)
"""Their last 32 bits are an IPv4 address, which a translator on the way may send the packets to."""


class NeverCalled(Exception):
    """A host is, or its name leads only to, what is never called."""

    is_proxy = False  # Is it the outbound proxy's host? Whoever knows sets it.

    @property
    def failure(self) -> Failure:
        """What it is to a call, in words that hold nothing of the request."""
        where = "a link-local or cloud metadata address" if str(self) == METADATA else "an address of no single machine"
        return Failure(
            FailureKind.MISCONFIGURED,
            f"{'outbound proxy' if self.is_proxy else 'host'} leads to {where}",
            hint=f"such addresses are never called; see what the {'proxy' if self.is_proxy else 'host of the URL'} "
            "resolves to",
        )


# Asked for each new connection to a provider, and mostly the same few.
@remembered(most=512)
def address_in(host: str) -> Address | None:
    """The IP address that `host` is (an IPv4 address inside an IPv6 one is taken out), or None."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


@remembered(most=512)
def reason_against(host: str) -> str | None:
    """Why `host`, a name or IP address, is never called: `METADATA` or `NO_MACHINE`; None = nothing is known."""
    address = address_in(host)
    if address is None:
        return METADATA if host.lower().removesuffix(".") in _METADATA_NAMES else None
    # What only carries an address of no machine is a matter of whoever translates it; ::1 carries 0.0.0.1.
    is_metadata = any(_reason_against(each) is METADATA for each in _carried(address))
    return METADATA if is_metadata else _reason_against(address)


def callable_ones(addresses: list[str]) -> list[str]:
    """Those that may be called, in their order. Raises `NeverCalled` where there are some and none of them may be."""
    reasons = [reason_against(each) for each in addresses]
    if not any(reasons):
        return addresses
    if all(reasons):
        raise NeverCalled(reasons[0] or METADATA)
    return [each for each, reason in zip(addresses, reasons, strict=True) if reason is None]


def _reason_against(address: Address) -> str | None:
    if any(address in network for network in _METADATA_NETWORKS):
        return METADATA
    if address.is_unspecified or address.is_multicast or any(address in network for network in _NO_MACHINES):
        return NO_MACHINE
    return None


def _carried(address: Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that packets to an IPv6 address may come out at."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    carried = [address.sixtofour, *(address.teredo or ())]  # RFC 3056 section 2, RFC 4380 section 4
    if any(address in network for network in _CARRIERS):
        carried.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return [each for each in carried if each is not None]
