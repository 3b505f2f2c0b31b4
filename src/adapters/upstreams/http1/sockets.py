"""From a name to a connected TCP socket: lookups shared for a few seconds, then happy eyeballs (RFC 8305)."""

import asyncio
import ipaddress
import socket
from collections import deque
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import NamedTuple

_SHARED_S = 10.0
"""A lookup that began less than this ago, over or not, serves whoever asks for the same name."""

_HEAD_START_S = 0.25
"""How long an address is tried before the next one is tried as well (RFC 8305 section 5)."""


class Address(NamedTuple):
    """One answer of `getaddrinfo`."""

    family: int
    where: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]


class Names:
    """Lookups of names. Whoever is cancelled leaves the lookup to the others."""

    def __init__(self) -> None:
        self._lookups: dict[tuple[str, int], tuple[float, asyncio.Task[list[Address]]]] = {}
        self._running: set[asyncio.Task[list[Address]]] = set()

    async def addresses(self, host: str, port: int) -> list[Address]:
        """All addresses, in the order in which they should be tried. Raises OSError."""
        if _is_ip(host):
            return _addresses(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
        loop = asyncio.get_running_loop()
        began, lookup = self._lookups.get((host, port), (0.0, None))
        if lookup is None or loop.time() - began > _SHARED_S or (lookup.done() and lookup.exception() is not None):
            lookup = loop.create_task(_look_up(host, port))
            self._lookups[host, port] = loop.time(), lookup
            self._running.add(lookup)
            lookup.add_done_callback(self._done)
        return await asyncio.shield(lookup)

    def _done(self, lookup: asyncio.Task[list[Address]]) -> None:
        self._running.discard(lookup)
        if not lookup.cancelled():
            lookup.exception()  # has been told to those who still waited

    def close(self) -> None:
        """End all lookups."""
        for lookup in self._running:
            lookup.cancel()
        self._lookups.clear()


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _look_up(host: str, port: int) -> list[Address]:
    return _addresses(await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _addresses(
    found: Sequence[tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]],
) -> list[Address]:
    """The families by turns, beginning with the one the system prefers."""
    addresses = [Address(family, where) for family, _, _, _, where in found]
    preferred = [address for address in addresses if address.family == addresses[0].family]
    others = [address for address in addresses if address.family != addresses[0].family]
    return [address for address in chain(*zip_longest(preferred, others)) if address is not None]


async def connected(addresses: Sequence[Address]) -> socket.socket:
    """A socket to the first address that answers. Raises the OSError of the last that did not."""
    if len(addresses) == 1:
        return await _connect(addresses[0])
    loop = asyncio.get_running_loop()
    left = deque(addresses)
    running: set[asyncio.Task[socket.socket]] = set()
    refused: BaseException = OSError("the name has no address")
    try:
        while left or running:
            if left:
                running.add(loop.create_task(_connect(left.popleft())))
            done, _ = await asyncio.wait(
                running, timeout=_HEAD_START_S if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                running.discard(attempt)
                error = attempt.exception()
                if error is None:
                    return attempt.result()
                refused = error
        raise refused
    finally:
        for attempt in running:
            attempt.cancel()
            attempt.add_done_callback(_drop)


def _drop(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def _connect(address: Address) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address.where)
    except BaseException:
        sock.close()
        raise
    return sock
