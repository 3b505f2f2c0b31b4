"""From a name to the first address that answers: lookups shared for some seconds, then happy eyeballs (RFC 8305)."""

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, zip_longest
from typing import TypeVar

from adapters.upstreams.outbound.never_called import address_in, callable_ones

_SHARED_S = 10.0  # a lookup that began less than this ago, over or not, serves whoever asks for the same name
_HEAD_START_S = 0.25  # how long an address is tried before the next one is tried as well (RFC 8305 section 5)

_T = TypeVar("_T")


class Names:
    """Lookups of names. Whoever is cancelled leaves the lookup to the others."""

    def __init__(self) -> None:
        self._lookups: dict[str, tuple[float, asyncio.Task[list[str]]]] = {}
        self._running: set[asyncio.Task[list[str]]] = set()

    async def addresses(self, host: str) -> list[str]:
        """All IP addresses that may be called, in the order in which they should be tried. Raises OSError, and
        `NeverCalled` where there is none."""
        if address_in(host) is not None:
            return callable_ones([host])
        loop = asyncio.get_running_loop()
        began, lookup = self._lookups.get(host, (0.0, None))
        if lookup is None or loop.time() - began > _SHARED_S or (lookup.done() and lookup.exception() is not None):
            lookup = loop.create_task(_look_up(host))
            self._lookups[host] = loop.time(), lookup
            self._running.add(lookup)
            lookup.add_done_callback(self._done)
        return await asyncio.shield(lookup)

    def forget(self, host: str, addresses: list[str]) -> None:
        """None of these could be used: if that is what the name means, it is looked up anew for the next."""
        _, lookup = self._lookups.get(host, (0.0, None))
        is_known = lookup is not None and lookup.done() and not lookup.cancelled() and lookup.exception() is None
        if lookup is not None and is_known and lookup.result() is addresses:
            del self._lookups[host]

    def _done(self, lookup: asyncio.Task[list[str]]) -> None:
        self._running.discard(lookup)
        if not lookup.cancelled():
            lookup.exception()  # those who still waited have been told

    def close(self) -> None:
        for lookup in self._running:
            lookup.cancel()
        self._lookups.clear()


async def _look_up(host: str) -> list[str]:
    """The families by turns, beginning with the one the system prefers (RFC 8305 section 4)."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    addresses = [(family, where) for family, _, _, _, (where, *_) in found if isinstance(where, str)]
    preferred = [where for family, where in addresses if family == addresses[0][0]]
    others = [where for family, where in addresses if family != addresses[0][0]]
    return callable_ones([where for where in chain(*zip_longest(preferred, others)) if where is not None])


async def first_to_answer(
    addresses: Sequence[str], connect: Callable[[str], Awaitable[_T]], drop: Callable[[_T], None]
) -> _T:
    """Connect to whichever answers first, and `drop` what else has answered. Raises the last one's OSError."""
    if len(addresses) == 1:
        return await connect(addresses[0])
    left = deque(addresses)
    attempts: set[asyncio.Future[_T]] = set()
    refused: BaseException = OSError("the name has no address")
    try:
        while left or attempts:
            if left:
                attempts.add(asyncio.ensure_future(connect(left.popleft())))
            patience_s = _HEAD_START_S if left else None
            done, _ = await asyncio.wait(attempts, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                attempts.discard(attempt)
                error = attempt.exception()
                if error is None:
                    return attempt.result()
                refused = error
        raise refused
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(lambda late: _drop(late, drop))


def _drop(attempt: "asyncio.Future[_T]", drop: Callable[[_T], None]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        drop(attempt.result())
