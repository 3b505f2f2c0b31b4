"""The signal that a request which found no endpoint might find one now."""

from collections.abc import Callable

from application.endpoints.endpoint_state import Lease


class RoomSignal:
    """Given by whatever changes the picture, while there is a listener: while requests wait."""

    __slots__ = ("anywhere", "at", "is_heard")

    def __init__(self) -> None:
        self.anywhere: Callable[[], None] = _unheard
        self.at: Callable[[Lease], None] = _unheard
        self.is_heard = False

    def listen(self, anywhere: Callable[[], None], at: Callable[[Lease], None]) -> None:
        """`anywhere` is called from now on when anything may have changed, `at` when only the bucket of that lease and
        the health of its endpoint have."""
        self.anywhere = anywhere
        self.at = at
        self.is_heard = True

    def stop(self) -> None:
        """Nothing is called any more."""
        self.anywhere = self.at = _unheard
        self.is_heard = False


def _unheard(*_: Lease) -> None:
    """Nothing waits."""
