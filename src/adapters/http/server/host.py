"""The server, as its connections see it."""

import asyncio
from typing import Protocol, TypeVar

from adapters.http.server.client import Application, Guest
from adapters.http.server.request.known_heads import KnownHeads
from application.errors import InvalidRequest
from application.held_bytes import HeldBytes

_C = TypeVar("_C")
"""A connection."""


class ServerContext(Protocol[_C]):
    """The server that a connection belongs to."""

    app: Application
    loop: asyncio.AbstractEventLoop
    is_draining: bool
    running: set[_C]
    held: HeldBytes
    heads: KnownHeads

    def opened(self, connection: _C) -> None:
        """It is there."""

    def left(self, connection: _C) -> None:
        """It is gone, or is done with what it did when it went."""

    def switched(self, connection: _C, guest: Guest) -> None:
        """Its transport is the guest's from here on."""

    def stalls(self, connection: _C) -> None:
        """What is held for it waits for its client alone."""

    def moves(self, connection: _C) -> None:
        """It does not any more."""

    def crashed(self, error: Exception) -> None:
        """The application raised."""

    def refused(self, error: InvalidRequest, address: str) -> None:
        """What came from there was no request; `address` empty = it is not known."""
