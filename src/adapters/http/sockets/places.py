"""How many WebSockets a worker has, and may have."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal


class SocketPlaces:
    """Counts them."""

    def __init__(self, mode: Literal["bridge", "off"], most: int) -> None:
        """`most`: of this worker."""
        self.is_off = mode == "off"
        """Is none served at all?"""
        self.open = 0
        """How many there are."""
        self._most = most

    @property
    def is_full(self) -> bool:
        """May no more be opened?"""
        return self.is_off or self.open >= self._most

    @contextmanager
    def taken(self) -> Iterator[None]:
        """One more, as long as the block runs."""
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1
