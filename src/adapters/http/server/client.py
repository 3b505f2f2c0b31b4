"""What the server and the application that it serves know of each other."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from adapters.http.server.request.head import RequestHead

Receive = Callable[[], Awaitable[dict[str, Any]]]
"""ASGI's."""


class Client(Protocol):
    """Who sent a request, and waits for the reply."""

    head: RequestHead
    length: int | None
    """How long the body is; None = only its end will tell."""
    added: Sequence[tuple[bytes, bytes]]
    """Headers of the reply, whatever it turns out to be."""

    @property
    def addresses(self) -> dict[str, Any]:
        """What an ASGI scope says of the connection."""

    def when_gone(self, tell: Callable[[], None] | None) -> None:
        """Call `tell` when the client leaves before it has its reply, at once if it has left; None = nobody is told."""

    def body_now(self) -> bytes | None:
        """All of the body, if it has come; None = it has to be received. Once."""

    def receive(self) -> Awaitable[dict[str, Any]]:
        """ASGI's: the next piece of the body, and after the last one that the client has left."""

    def send(self, message: dict[str, Any]) -> Awaitable[None]:
        """ASGI's: the start of the reply, then its body."""

    def reply(self, status: int, fields: Sequence[str], body: bytes) -> Awaitable[None] | None:
        """All of the reply. `fields` are its headers, `name: value`; among them the length of the body, where that has
        to be said. To be awaited, that the client has taken enough of it; None = no need.

        Raises ValueError, and sends nothing, if a header has a character that none may have.
        """

    def put(self, piece: bytes) -> Awaitable[None] | None:
        """A piece of the body of a reply that has been started, and more follows. To be awaited before the next one;
        None = no need."""


class Application(Protocol):
    """Whoever answers requests."""

    def begin(self, client: Client) -> Awaitable[None] | None:
        """Answer one. What is returned is awaited in a task, and the reply has then been sent; None = it has been."""


CLIENT = "llmproxy.client"
"""The ASGI extension that is a `Client`."""
