"""One turn on a socket to a provider, as an exchange sees it: a stream that is over when the turn is.

Its events do not pass through here but over the relay, as they come.
"""

import asyncio
from collections.abc import Callable

from application.endpoints.endpoint_state import Lease
from application.endpoints.pool import EndpointPool
from application.errors import HandedOver
from application.flow import Take, TakeFramed
from application.messages import Headers, ProxyRequest
from application.ports import Providers
from application.telemetry_ports import CANCELLED
from domain.failure import Failure
from domain.rate_limit.token_estimate import Usage


class NativeTurn:
    """See `StreamedAnswer`. Owns its lease."""

    status = 200
    ahead_bytes = 0

    def __init__(
        self, lease: Lease, request: ProxyRequest, lane: str, pool: EndpointPool, providers: Providers, headers: Headers
    ) -> None:
        """`headers`: of the reply to the handshake, where it is the first turn."""
        self.lease = lease
        self.request = request
        self.lane = lane
        self.headers = headers
        self.failure: Failure | None = None
        self.complete = False
        self.has_content = False
        """Has anything come that another endpoint could not say as well?"""
        self.when_abandoned: Callable[[], None] | None = None
        """Told when whoever waits for it goes before its end."""
        self._pool = pool
        self._providers = providers
        self._over = asyncio.Event()
        self._moves: HandedOver | None = None

    async def flow(self, take: Take, take_framed: TakeFramed | None = None, /) -> bool:  # noqa: ARG002 - of nothing
        """See `StreamedAnswer`. Raises `HandedOver` when the turn is for another endpoint."""
        await self._over.wait()
        if self._moves is not None:
            raise self._moves
        return True

    def end(self, usage: Usage | None, failure: Failure | None = None, moves: HandedOver | None = None) -> None:
        """It is over. `usage` None = nobody said what it took; `moves`: what the client is told in place of the
        failure, None = it has been told, or is left."""
        self.failure, self._moves = failure, moves
        self.complete = failure is None
        self._pool.release(self.lease, usage)
        self._over.set()

    @property
    def error(self) -> str:
        """See `Ended`."""
        if self.failure is not None:
            return self.failure.kind.value
        return "" if self.complete else CANCELLED

    def error_frame(self, message: str, code: str) -> bytes:
        """See `StreamedAnswer`."""
        return self._providers.scanner(self.lease.endpoint, self.request).error_frame(message, code)

    def close(self) -> None:
        """See `StreamedAnswer`."""
        if not self._over.is_set() and self.when_abandoned is not None:
            self.when_abandoned()
        self._pool.release(self.lease)
