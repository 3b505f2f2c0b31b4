"""What becomes of a connection whose client asks for another protocol (RFC 9110, 7.8)."""

import asyncio
from typing import cast

from adapters.http.server.client import Guest
from adapters.http.server.flow_control import Inflow

EARLY_BYTES = 64 * 1024
"""So much of what follows a request that upgrades is read before that is answered."""


class Switching:
    """Keeps what comes behind a request that upgrades until it is answered."""

    def __init__(self, inflow: Inflow) -> None:
        self._inflow = inflow
        self._early = b""

    def keep(self, data: bytes) -> None:
        """It came next."""
        self._early += data
        self._inflow.count(len(self._early))
        if len(self._early) > EARLY_BYTES:
            self._inflow.pause()

    def hand_over(self, transport: asyncio.Transport, unread: bytes, guest: Guest) -> None:
        """The transport, with `unread`, which came before the rest."""
        early = unread + self._early
        self._inflow.count(0)
        self._inflow.resume()
        self._inflow.transport = None
        transport.set_protocol(cast("asyncio.Protocol", guest))
        guest.connection_made(transport)
        if early:
            guest.data_received(early)
