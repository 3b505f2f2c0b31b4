"""The signal that a request which found no endpoint might find one now."""

from typing import Protocol

from application.endpoints.endpoint_state import Lease


class RoomListener(Protocol):
    """Requests that wait for room. After a reload those of the configuration before it may still wait beside others."""

    def serve_all(self) -> None:
        """Anything may have changed."""

    def serve_soon(self, lease: Lease) -> None:
        """Only the bucket of that lease and the health of its endpoint have."""


class RoomSignal:
    """Given by whatever changes the picture, while there is a listener: while requests wait."""

    __slots__ = ("_listeners", "is_heard")

    def __init__(self) -> None:
        self._listeners: tuple[RoomListener, ...] = ()
        self.is_heard = False

    def anywhere(self) -> None:
        """Anything may have changed."""
        for each in self._listeners:
            each.serve_all()

    def at(self, lease: Lease) -> None:
        """The bucket of that lease may have, and the health of its endpoint."""
        for each in self._listeners:
            each.serve_soon(lease)

    def listen(self, listener: RoomListener) -> None:
        """From now on it is told."""
        self._listeners = (*self._listeners, listener)
        self.is_heard = True

    def stop(self, listener: RoomListener) -> None:
        """It is told no more."""
        self._listeners = tuple(each for each in self._listeners if each is not listener)
        self.is_heard = bool(self._listeners)
