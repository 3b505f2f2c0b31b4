"""A client's socket and an endpoint's, until one of them is closed: pieces pass as they come, none is changed.

What the endpoint says of its limits, of what a turn took, and of what went wrong is read beside that. An endpoint
that has said nothing yet has yet to show that it is well.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

from application.endpoints.endpoint_state import Lease
from application.endpoints.health import HealthTracker
from application.endpoints.pool import EndpointPool
from application.ports import Clock
from application.socket_ports import LOST, Closed, Piece, Socket, SocketEvent, SocketEvents
from application.sockets.whole_messages import WholeMessages
from domain.failure import Blame
from domain.rate_limit.limit_reading import NO_READINGS

YOUNG_S = 10.0
"""A socket that is lost before it is so old counts against its endpoint, also where nothing was asked of it."""
FAREWELL_S = 1.0
"""So long an endpoint may take to close, once its client has left."""

_GOES_AWAY, _FAILED = 1001, 1011
OF_THE_ENDPOINT = frozenset({Blame.ENDPOINT, Blame.LIMIT, Blame.KEY})


class Ending(Struct, frozen=True):
    """How it ended."""

    code: int
    """With which the side closed that was first; 1006 = it was lost."""
    by: Literal["client", "endpoint", "proxy"]


class Relay:
    """Owns the endpoint's socket and the lease until it is over."""

    def __init__(
        self,
        lease: Lease,
        pool: EndpointPool,
        health: HealthTracker,
        events: SocketEvents,
        clock: Clock,
        socket: Socket,
        begun: Sequence[Piece],
    ) -> None:
        """`begun`: what the endpoint has said already; it is known to be well then."""
        self.turns = 0
        """How many answers have ended."""
        self._lease = lease
        self._pool = pool
        self._health = health
        self._events = events
        self._clock = clock
        self._socket = socket
        self._begun = begun
        self._began = clock.now()
        self._messages = WholeMessages()
        self._is_answering = self._is_stopping = self._is_told = self._is_asked = False
        self._is_unheard = not begun
        self._farewell = "the proxy stops"
        self._over = asyncio.Event()  # set when the proxy wants it to end

    async def run(self, client: Socket) -> Ending:
        """Until either is closed; then the other is closed as well, for the same reason."""
        client.when_stopping = self.stop
        for piece in self._begun:
            if self._read(piece):
                _pass_on(piece, client)
        down = asyncio.ensure_future(_pump(self._socket, client, self._read))
        others = [
            asyncio.ensure_future(_pump(client, self._socket, self._ask)),
            asyncio.ensure_future(self._over.wait()),
        ]
        try:
            await asyncio.wait((down, *others), return_when=asyncio.FIRST_COMPLETED)
            ending = self._end(client)
            await asyncio.wait((down,), timeout=FAREWELL_S)
            return ending
        finally:
            for task in (down, *others):
                task.cancel()
            self.close()

    @property
    def is_streaming(self) -> bool:
        """Does a turn run?"""
        return self._is_answering

    def interrupt(self) -> None:
        """The proxy stops, and waits no longer."""
        self._over.set()

    def close(self) -> None:
        """Let go of the endpoint and the lease. A second call does nothing."""
        self._socket.abort()
        self._pool.release(self._lease)

    def stop(self) -> None:
        """The proxy stops: a turn that runs may end."""
        self._is_stopping = True
        if not self._is_answering:
            self._over.set()

    def _end(self, client: Socket) -> Ending:
        """Close whichever side is open yet. SDKs open another socket after 1001 and 1011."""
        left, ended = client.closed, self._socket.closed
        if left is not None:
            self._socket.close(*((_GOES_AWAY, "") if _is_broken(left) else (left.code, left.reason)))
            return Ending(left.code, "client" if left.by == "peer" else "proxy")
        if ended is not None:
            self._judge(ended)
            is_lost = _is_broken(ended)
            client.close(*((_FAILED, "the provider's socket was lost") if is_lost else (ended.code, ended.reason)))
            return Ending(ended.code, "endpoint" if ended.by == "peer" else "proxy")
        for each in (self._socket, client):
            each.close(_GOES_AWAY, self._farewell)
        return Ending(_GOES_AWAY, "proxy")

    def _read(self, piece: Piece) -> bool:
        """The endpoint says it; is it for the client?"""
        message = self._messages.add(piece)
        event = self._events.event(self._lease.endpoint, message) if message else None
        if event is not None:
            self._heed(event)
        if message is not None and self._is_unheard:
            self._is_unheard = False
            if event is None or event.failure is None:
                self._health.succeeded(self._lease)
        return True

    def _ask(self, _: Piece) -> bool:
        """What the client says is its own affair, but not that it does."""
        self._is_asked = True
        return True

    def _heed(self, event: SocketEvent) -> None:
        if event.readings is not NO_READINGS:
            self._is_told = True
            self._health.told(self._lease, event.readings)
        elif event.usage is not None and not self._is_told:
            self._lease.bucket.spend(event.usage, self._clock.now())
        if event.failure is not None and event.failure.meaning.blame in OF_THE_ENDPOINT:
            self._health.failed(self._lease, event.failure)
        if event.turn:
            self._is_answering = event.turn == "begins"
            self.turns += not self._is_answering
            if self._is_stopping and not self._is_answering:
                self._over.set()

    def _judge(self, ended: Closed) -> None:
        """Is the end of its socket the endpoint's failure?"""
        is_young = self._clock.now() - self._began < YOUNG_S
        owes_answer = self._is_answering or (self._is_unheard and self._is_asked)
        if ended.by == "peer" and (owes_answer or is_young):
            failure, _ = self._events.refusal(self._lease.endpoint, b"", ended.code)
            if failure.meaning.blame in OF_THE_ENDPOINT:
                self._health.failed(self._lease, failure)


def _is_broken(closed: Closed) -> bool:
    """Was it lost, or did it break a rule? Then there is no close that could be passed on."""
    return closed.code == LOST or closed.by == "us"


async def _pump(source: Socket, sink: Socket, read: Callable[[Piece], bool]) -> None:
    """All that comes, no faster than the other side takes it."""
    while (piece := await source.next_piece()) is not None:
        if read(piece):
            _pass_on(piece, sink)
        writable = sink.writable()
        if writable is not None:
            await writable


def _pass_on(piece: Piece, sink: Socket) -> None:
    sink.send(piece.data, is_text=piece.is_text, is_first=piece.is_first, is_last=piece.is_last)
