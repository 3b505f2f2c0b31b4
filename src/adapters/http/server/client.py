"""What the server and the application that it serves know of each other."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from adapters.http.server.reply_head import Fields
from adapters.http.server.request.head import RequestHead

Receive = Callable[[], Awaitable[dict[str, Any]]]
"""ASGI's."""


class Guest(Protocol):
    """What takes over a connection whose protocol was switched: an `asyncio.Protocol`, and what the server asks of all
    that it keeps."""

    deadline: float
    """When `expire` is to be called, on the loop's clock; inf = never."""
    when_gone: Callable[[], None] | None
    """Called once, when its transport is lost."""

    def expire(self) -> None:
        """The deadline has come."""

    def shutdown(self) -> None:
        """The server stops: come to an end soon."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's, as the following."""

    def data_received(self, data: bytes) -> None: ...

    def eof_received(self) -> bool | None: ...

    def connection_lost(self, exc: Exception | None) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class Client(Protocol):
    """The sender of one request, waiting for its reply."""

    head: RequestHead
    length: int | None
    """How long the body is; None = only its end will tell."""
    added: Fields
    """Headers of the reply, whatever it turns out to be."""
    task: asyncio.Task[None] | None
    """The one that awaits what `Application.begin` has returned; None = none does (yet)."""

    @property
    def sent_bytes(self) -> int:
        """How much of a body was given to `send_chunk` and `send_framed`."""

    @property
    def addresses(self) -> Mapping[str, Any]:
        """What an ASGI scope says of the connection."""

    def on_disconnect(self, tell: Callable[[], None] | None) -> None:
        """Call `tell` when the client leaves before it has its reply, at once if it has left; None = nobody is told."""

    def body_now(self) -> bytes | None:
        """All of the body, if it has come; None = it has to be received. Once."""

    def receive(self) -> Awaitable[dict[str, Any]]:
        """ASGI's: the next piece of the body, and after the last one that the client has left."""

    def reply(self, status: int, fields: Fields, body: bytes) -> Awaitable[None] | None:
        """Send all of the reply. Among the `fields` is the length of the body, where that has to be said. What is
        returned is awaited until the client has taken enough of it; None = no need.

        Raises ValueError, and sends nothing, if a header has a character that none may have.
        """

    def start(self, status: int, fields: Fields) -> None:
        """Send the head of a reply whose body follows in chunks. Raises as `reply`."""

    def send_chunk(self, piece: bytes) -> bool:
        """Send a piece of the body of a reply that has been started, never an empty one. False = `drain` is to be
        awaited before the next one."""

    def send_framed(self, framed: bytes, line: bytes, size: int, /) -> bool:
        """Send a piece that is one whole chunk already, with the `line` before it, and so long without its framing.
        False = it is not sent: it is to go through `send_chunk`, without. Of an event stream these are whole events."""

    def finish(self) -> None:
        """The body is complete."""

    def switch(self, fields: Fields, guest: Guest) -> bool:
        """Answer a request that upgrades with 101 and these headers, and leave the connection to `guest`, with all that
        has come. The request is over then, but what `begin` returned is still awaited. False = the client has left.

        Raises as `reply`.
        """

    def drain(self) -> Awaitable[None] | None:
        """Wait until the client has taken enough of what was sent; None = no need."""


class Application(Protocol):
    """The application that answers requests."""

    def begin(self, client: Client) -> Awaitable[None] | None:
        """Answer one. What is returned is awaited in a task, and the reply has then been sent; None = it has been."""
