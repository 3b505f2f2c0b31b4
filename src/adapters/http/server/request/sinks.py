"""What a reader of requests hands them to."""

from typing import Protocol

from adapters.http.server.request.head import RequestHead


class BodySink(Protocol):
    """Takes the body of one request."""

    def feed(self, piece: bytes) -> None:
        """A piece of it, never empty."""

    def complete(self) -> None:
        """That was all."""


class RequestSink(Protocol):
    """Where requests are handed in."""

    def has_room(self) -> bool:
        """May more be handed in? If not, what has come stays bytes."""

    def arrived(self, head: RequestHead, length: int | None, body: bytes | None = None) -> BodySink:
        """A request. `length`: of the body; None = only its end will tell. `body`: all of it; None = it is to come, and
        goes to what is returned."""
