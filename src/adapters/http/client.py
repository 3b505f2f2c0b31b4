"""What the server knows of a client, and does for it, beyond ASGI."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol


class Client(Protocol):
    """Who sent a request, and more than ASGI tells and does: both without waiting for it."""

    added: Sequence[tuple[bytes, bytes]]
    """Headers of the reply, whatever it turns out to be."""

    def when_gone(self, tell: Callable[[], None] | None) -> None:
        """Call `tell` when the client leaves before it has its reply, at once if it has left; None = nobody is told."""

    def reply(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Awaitable[None]:
        """All of the reply."""

    def put(self, piece: bytes) -> Awaitable[None] | None:
        """A piece of the body of a reply that has been started, and more follows. To be awaited before the next one;
        None = no need."""


CLIENT = "llmproxy.client"
"""The ASGI extension that is a `Client`."""
