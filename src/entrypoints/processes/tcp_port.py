"""The port: which addresses, and that nobody else has them."""

import errno
import os
import random
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from msgspec import Struct

from entrypoints.processes.port_holder import Place, holder_of

BACKLOG = 16_384
"""Connections that the kernel queues, for each socket. It queues fewer where `net.core.somaxconn` says so."""

_TRIES = 10
_BETWEEN_TRIES_S = (0.005, 0.05)
"""Of two that want a port in the same microsecond the kernel may refuse both; they try again at different moments."""

_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""The machine has no such address, or none of that kind."""
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_FORBIDDEN = (errno.EACCES, errno.EPERM)


class CannotListen(Exception):
    """The address cannot be had."""

    def __init__(self, message: str, *, may_pass: bool = True) -> None:
        """`may_pass`: may it be had later, without anybody changing the configuration?"""
        super().__init__(message)
        self.may_pass = may_pass


class Listening(Struct, frozen=True):
    """Sockets that listen: a client that connects before there is a worker waits for it."""

    by_worker: Sequence[Sequence[socket.socket]]
    """For each worker one for each address."""
    addresses: Sequence[str]
    """`127.0.0.1:4000`, `[::1]:4000`."""
    absent: Sequence[str] = ()
    """Addresses of the name that this machine does not have."""


def bind(host: str, port: int, workers: int) -> Listening:
    """Sockets for each worker, on every address of `host`, which nobody else can have as long as one copy of them is
    open. Raises `CannotListen`.

    `localhost` is the loopback address of IPv4 and that of IPv6, as far as they exist (RFC 6761 section 6.3). On Linux
    the kernel spreads connections over sockets of one port. Elsewhere it does not, and workers share them. A port of 0
    is one that is free, the same on every address.
    """
    places = _places(host, port)
    absent: list[str] = []
    groups: list[Sequence[socket.socket]] = []
    addresses: list[str] = []
    with ExitStack() as bound:
        for each in places:
            place = _at(each, port)
            try:
                group = _group(place, workers, bound, only_v6=len(places) > 1)
            except OSError as error:
                if error.errno not in _ABSENT or len(places) == 1:
                    raise _refusal(host, place, error) from None
                absent.append(_shown(place))
            else:
                groups.append(group)
                port = group[0].getsockname()[1]
                addresses.append(_shown(_at(place, port)))
        if not groups:
            raise CannotListen(f"cannot listen on '{host}': this machine has none of its addresses {', '.join(absent)}")
        bound.pop_all()
    return Listening(tuple(zip(*groups, strict=True)), addresses, () if _is_localhost(host) else absent)


def _places(host: str, port: int) -> Sequence[Place]:
    if _is_localhost(host):
        return (socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET6, ("::1", port, 0, 0))
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise CannotListen(f"cannot listen on '{host}': no such host; use an IP address") from None
    known: set[Place] = {(family, address) for family, *_, address in found if family in _FAMILIES}  # type: ignore[misc]
    return sorted(known)  # the same order everywhere: of two that want all one gets all


def _is_localhost(host: str) -> bool:
    return host.lower().removesuffix(".") == "localhost"


def _at(place: Place, port: int) -> Place:
    family, address = place
    return family, (address[0], port, *address[2:])


def _group(place: Place, workers: int, bound: ExitStack, *, only_v6: bool) -> Sequence[socket.socket]:
    """The kernel lets sockets that all say SO_REUSEPORT have one port, those of another proxy too. So each proxy first
    takes the port with one that does not say so: that is refused as long as anybody listens there."""
    if workers == 1 or sys.platform != "linux":
        return [bound.enter_context(_alone(place, only_v6=only_v6))] * workers
    with _alone(place, only_v6=only_v6) as first:
        # It says so only now, to its own siblings, and listens until the last of them does. Who connects in that
        # fraction of a millisecond is reset, as nobody can be asked to connect before a start is over.
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        place = _at(place, first.getsockname()[1])
        return [bound.enter_context(_listening(place, only_v6=only_v6, shared=True)) for _ in range(workers)]


def _alone(place: Place, *, only_v6: bool) -> socket.socket:
    for _ in range(_TRIES - 1):
        try:
            return _listening(place, only_v6=only_v6)
        except _LostTheRace:
            time.sleep(random.uniform(*_BETWEEN_TRIES_S))  # noqa: S311 - no secret
    return _listening(place, only_v6=only_v6)


class _LostTheRace(OSError):
    """The port was free when it was bound, and was not any more when it was to be listened on."""


def _listening(place: Place, *, only_v6: bool, shared: bool = False) -> socket.socket:
    family, address = place
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Without it connections of a proxy that has ended would keep the port for a minute (TIME_WAIT). With it two may
        # bind one port as long as neither listens: what counts is who listens first.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6 and only_v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        try:
            sock.listen(BACKLOG)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise _LostTheRace(error.errno, error.strerror) from None
            raise
    except OSError:
        sock.close()
        raise
    return sock


def _refusal(host: str, place: Place, error: OSError) -> CannotListen:
    shown = _shown(place)
    meant = "" if host in shown else f" (an address of '{host}')"
    if error.errno == errno.EADDRINUSE:
        pid = holder_of(place)
        who = "" if pid is None else f"; process {pid} listens there"
        return CannotListen(f"{shown}{meant} is in use; choose another with --port or bind_port{who}")
    why = error.strerror or os.strerror(error.errno or 0)
    if error.errno in _FORBIDDEN:
        return CannotListen(
            f"cannot listen on {shown}{meant}: {why}; choose a port from 1024 on with --port or bind_port",
            may_pass=False,
        )
    return CannotListen(f"cannot listen on {shown}{meant}: {why}")


def _shown(place: Place) -> str:
    host, port = place[1][:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
