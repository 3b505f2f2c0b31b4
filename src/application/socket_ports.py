"""Open WebSockets, as the use cases see them: those of clients, and those that endpoints are asked to open."""

from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

from msgspec import Struct

from application.flow import Take, TakeFramed
from application.messages import Headers, WholeReply
from domain.endpoint import Endpoint
from domain.failure import Failure
from domain.rate_limit.limit_reading import NO_READINGS, Readings
from domain.rate_limit.token_estimate import Usage

LOST = 1006
"""The close code of a socket that went without a close frame (RFC 6455, 7.4.1)."""


class Piece(Protocol):
    """A message, or a fragment of one as its sender cut it."""

    @property
    def data(self) -> bytes: ...

    @property
    def is_text(self) -> bool: ...

    @property
    def is_first(self) -> bool: ...

    @property
    def is_last(self) -> bool: ...


class Closed(Protocol):
    """Why a socket is closed."""

    @property
    def code(self) -> int: ...

    @property
    def reason(self) -> str: ...

    @property
    def by(self) -> Literal["peer", "us"]:
        """Whose close frame or failure came first."""


class Socket(Protocol):
    """An open WebSocket. What is sent to one that is closed is dropped; nothing raises."""

    when_stopping: Callable[[], None] | None
    """Called when the server that keeps it stops; None = it closes at once."""

    @property
    def closed(self) -> Closed | None:
        """None = it is not, though it may be about to."""

    def next_piece(self) -> Awaitable[Piece | None]:
        """None = nothing more comes, and `closed` says why."""

    def send(self, data: bytes, *, is_text: bool = True, is_first: bool = True, is_last: bool = True) -> None:
        """A message, or a piece of one."""

    def writable(self) -> Awaitable[None] | None:
        """To be awaited before the next `send`; None = no need."""

    def close(self, code: int, reason: str = "") -> None:
        """Begin to close."""

    def abort(self) -> None:
        """Cut it now."""


class OpenedSocket:
    """See `UpstreamReply`: the reply to a handshake that an endpoint has accepted. All that follows comes over
    `socket`."""

    status = 101

    def __init__(self, headers: Headers, socket: Socket) -> None:
        self.headers = headers
        self.socket = socket

    async def receive(self) -> bytes:
        """There is no body."""
        return b""

    def whole_now(self) -> bytes | None:
        """There is no body."""
        return None

    async def flow(self, take: Take, take_framed: TakeFramed | None = None, /) -> bool:  # noqa: ARG002 - of nothing
        """There is no body."""
        return True

    def rest(self) -> None:
        """There is no body."""

    def close(self) -> None:
        """See `UpstreamReply.close`."""
        self.socket.abort()


class SocketEvent(Struct, frozen=True):
    """What a message of an endpoint says that matters here."""

    is_error: bool = False
    """Is it an error, rather than news of a turn?"""
    turn: Literal["", "begins", "ends"] = ""
    readings: Readings = NO_READINGS
    usage: Usage | None = None
    """What the turn took; None = it does not say."""
    failure: Failure | None = None
    """What went wrong; None = nothing."""
    lane: str = ""
    """Of the turn that it is about, on a Responses socket; empty = the one without a name."""


class SocketEvents(Protocol):
    """What messages of endpoints mean."""

    def event(self, endpoint: Endpoint, message: bytes) -> SocketEvent | None:
        """None = nothing that matters here."""

    def refusal(self, endpoint: Endpoint, message: bytes, close_code: int) -> tuple[Failure, WholeReply | None]:
        """What it means that a socket says nothing but an error (`message`, empty = none) before it is closed with
        that code; and what a client may be shown of that, None = nothing."""
