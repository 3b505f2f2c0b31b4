"""Leaks to plant, so that it is known what a soak would notice: a pass of a harness that cannot fail is worthless."""

import asyncio
import os
from collections.abc import Callable

LEAKED_BYTES = 100
"""Kept per request by the leak `memory`: less than a tenth of a short prompt."""

OBJECTS_ONE_IN = 10
ONE_IN = 200
"""So many requests make the other leaks leak once."""


class Leaks:
    """Each method leaks a little, and is called once for each request."""

    def __init__(self) -> None:
        self._kept: list[object] = []
        self._requests = 0

    def memory(self) -> None:
        """`LEAKED_BYTES` for each request."""
        self._kept.append(os.urandom(LEAKED_BYTES))

    def objects(self) -> None:
        """Small objects that refer to each other, as a forgotten callback would."""
        if self._due(OBJECTS_ONE_IN):
            cycle: list[object] = []
            cycle.append(cycle)
            self._kept.append(cycle)

    def fds(self) -> None:
        """Open files."""
        if self._due():
            self._kept.append(os.open(os.devnull, os.O_RDONLY))

    def tasks(self) -> None:
        """Tasks that wait for what never comes."""
        if self._due():
            self._kept.append(asyncio.ensure_future(asyncio.Event().wait()))

    def connections(self) -> None:
        """Connections to a provider that go back to no pool."""
        if self._due():
            self._kept.append(asyncio.ensure_future(self._connect()))

    def _due(self, one_in: int = ONE_IN) -> bool:
        self._requests += 1
        return self._requests % one_in == 0

    async def _connect(self) -> None:
        port = int(os.environ[PROVIDER_PORT_VARIABLE])
        self._kept.append(await asyncio.open_connection("127.0.0.1", port))


PROVIDER_PORT_VARIABLE = "LLMPROXY_SOAK_PROVIDER_PORT"
KINDS = ("memory", "objects", "fds", "tasks", "connections")


def leak_of(kind: str) -> Callable[[], None]:
    """What to call for each request."""
    if kind not in KINDS:
        raise ValueError(f"'{kind}' is no leak to plant; valid: {', '.join(KINDS)}")
    leak: Callable[[], None] = getattr(Leaks(), kind)
    return leak
