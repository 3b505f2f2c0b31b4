"""Names of Redis servers, resolved in threads of our own.

The loop resolves in threads that all of the process shares: libuv has four, asyncio a handful. A lookup cannot be
stopped, so that a few operations, each given up and each with a lookup that hangs, would leave none to resolve the
providers' names. Here a name has one thread at most, and nobody else waits for it.
"""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from application.ports import Clock

Resolve = Callable[[str], Sequence[str]]  # a name's addresses, the best first; may block, raises `OSError`

KEPT_S = 3.0  # how long an answer holds: a failover told by DNS is followed, a name server spared a burst


class SlowName(OSError):
    """The name was not resolved in time. Its lookup goes on."""


def system_addresses(name: str) -> list[str]:
    """What the system's resolver says, IPv4 and IPv6 in the order it prefers. Raises `OSError`."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class RedisResolver:
    """The addresses of names, for one event loop. Nobody waits longer than `wait_s` seconds for a lookup, counted from
    its begin: it goes on, and whoever comes after it has ended finds its answer."""

    def __init__(self, clock: Clock, wait_s: float, resolve: Resolve = system_addresses) -> None:
        self._clock = clock
        self._wait_s = wait_s
        self._resolve = resolve
        self._answers: dict[str, tuple[Sequence[str], float]] = {}  # the addresses of a name, and until when they hold
        self._lookups: dict[str, tuple[asyncio.Future[Sequence[str]], float]] = {}  # and until when it is waited for
        self._failures: dict[str, int] = {}  # addresses at which nobody was met, and in which order that was found
        self._failed = 0

    async def addresses(self, name: str) -> Sequence[str]:
        """What failed last comes last, so that it costs one attempt. Raises `SlowName`, `socket.gaierror`."""
        if _is_address(name):
            return (name,)
        found, until = self._answers.get(name, ((), 0.0))
        if not found or self._clock.now() >= until:
            found = await self._looked_up(name)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "name not resolved")
        return sorted(found, key=lambda address: self._failures.get(address, 0))

    def forget(self) -> None:
        self._answers.clear()

    def failed(self, address: str) -> None:
        self._failed += 1
        self._failures[address] = self._failed

    def met(self, address: str) -> None:
        self._failures.pop(address, None)

    async def _looked_up(self, name: str) -> Sequence[str]:
        landed, patience_ends = self._lookups.get(name) or self._begin(name)
        left_s = patience_ends - self._clock.now()
        if left_s > 0:
            # Not the lookup itself is waited for: one who gives up must not take it from the others.
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    return await asyncio.shield(landed)
        raise SlowName("name not resolved in time")

    def _begin(self, name: str) -> tuple[asyncio.Future[Sequence[str]], float]:
        loop = asyncio.get_running_loop()

        def run() -> None:
            found: Sequence[str] = ()
            with suppress(Exception):  # OSError; UnicodeError for a label that is too long; whatever it is, it ends
                found = self._resolve(name)
            with suppress(RuntimeError):  # the loop is closed; nobody waits any more
                loop.call_soon_threadsafe(self._land, name, found)

        lookup = self._lookups[name] = loop.create_future(), self._clock.now() + self._wait_s
        # A daemon: the process does not wait for it when it ends.
        threading.Thread(target=run, name=f"resolve-{name}", daemon=True).start()
        return lookup

    def _land(self, name: str, found: Sequence[str]) -> None:
        if found:
            self._answers[name] = found, self._clock.now() + KEPT_S
            known = {address for addresses, _ in self._answers.values() for address in addresses}
            self._failures = {address: number for address, number in self._failures.items() if address in known}
        self._lookups.pop(name)[0].set_result(found)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
