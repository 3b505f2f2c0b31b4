"""The server, as its connections see it."""

import asyncio
from collections import OrderedDict
from typing import Any, Protocol, TypeVar

from application.errors import InvalidRequest

_C = TypeVar("_C")
"""A connection."""


class Host(Protocol[_C]):
    """The server that a connection belongs to."""

    app: Any
    loop: asyncio.AbstractEventLoop
    is_draining: bool
    running: set[_C]
    idle: OrderedDict[_C, None]
    """Those that nothing is owed to: they may be closed to make room, the first one first."""

    def opened(self, connection: _C) -> None:
        """It is there."""

    def rests(self, connection: _C) -> None:
        """All that was asked on it is answered."""

    def left(self, connection: _C) -> None:
        """It is gone, or is done with what it did when it went."""

    def crashed(self, error: Exception) -> None:
        """The application raised."""

    def refused(self, error: InvalidRequest, address: str) -> None:
        """What came from there was no request; `address` empty = it is not known."""
