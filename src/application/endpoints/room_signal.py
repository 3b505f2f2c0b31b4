"""The signal that a request which found no endpoint might find one now."""

from collections.abc import Callable

from application.endpoints.endpoint_state import Lease


class RoomSignal:
    """Given by whatever changes the picture, heard by the one that holds requests which wait."""

    __slots__ = ("anywhere", "at")

    def __init__(self) -> None:
        self.anywhere: Callable[[], None] = _unheard
        """Anything may have changed."""
        self.at: Callable[[Lease], None] = _unheard
        """Only the bucket of this lease and the health of its endpoint have changed."""

    def heard_by(self, anywhere: Callable[[], None], at: Callable[[Lease], None]) -> None:
        """From now on these are called."""
        self.anywhere = anywhere
        self.at = at


def _unheard(*_: Lease) -> None:
    """Nothing waits."""
