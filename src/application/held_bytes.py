"""One budget of bytes for all that a worker holds for its clients: bodies while they come and while they are answered,
replies while they are read, recordings, what a client does not take.

What would go beyond the budget is refused before it is held. What is there already is counted all the same: then others
are refused, and whoever can let go of something is told. What is small keeps a part of the budget that nothing large
gets, so that a few large bodies do not shut out everybody.

Everything is synchronous: between the look and the taking nothing else runs.
"""

from collections.abc import Callable
from math import inf
from types import TracebackType
from typing import Protocol

from application.errors import ProxyError

COUNTED_BYTES = 4 * 1024  # a body up to this size is not counted: what carries it weighs more

SMALL_BYTES = 64 * 1024  # what is up to this size is small
_PART_FOR_SMALL = 8  # one of so many parts of the budget is kept for what is small


class TooMuchHeld(ProxyError):
    code = "proxy_out_of_memory"
    retry_after_s = 2.0

    def __init__(self, wanted_bytes: int, held_bytes: int, most_bytes: int, max_bytes: int) -> None:
        """`most_bytes` is what may be held for something of that size, a part of `max_bytes`."""
        part = "" if most_bytes == max_bytes else f", {most_bytes} of them for what is larger than {SMALL_BYTES}"
        super().__init__(
            f"The proxy holds {held_bytes} bytes of requests and answers for its clients, and {wanted_bytes} more do "
            f"not fit now: it may hold {max_bytes} bytes (max_held_bytes){part}. Try again in a moment."
        )


class Holder(Protocol):
    """Has a holding when there is something to hold."""

    @property
    def held(self) -> "Holding":
        """What is held for one request; closed when that is over."""


class HeldBytes:
    __slots__ = ("_most", "_most_large", "held_bytes", "max_bytes", "refused", "when_exceeded")

    def __init__(self, max_bytes: int = 0, largest_bytes: int = 0) -> None:
        """`max_bytes` 0 = no bound, but all is counted. Something of `largest_bytes` fits when nothing else is held."""
        self.held_bytes = 0
        self.refused = 0  # how often something did not fit
        self.when_exceeded: Callable[[int], None] = lambda _: None  # told by how much too much is held
        self.allow(max_bytes, largest_bytes)

    def allow(self, max_bytes: int, largest_bytes: int) -> None:
        """From now on; as above. What is held stays, though it may be more."""
        self.max_bytes = max_bytes
        self._most: float = max_bytes or inf
        self._most_large: float = max(largest_bytes, max_bytes - max_bytes // _PART_FOR_SMALL) if max_bytes else inf

    @property
    def is_full(self) -> bool:
        return self.held_bytes >= self._most_large

    def check(self, size: int) -> None:
        """Raises `TooMuchHeld` if that does not fit now. Takes nothing: a size that was only announced may be a lie."""
        if self.held_bytes + size > (self._most if size <= SMALL_BYTES else self._most_large):
            raise self._refusal(size, size)

    def take(self, more: int, whole: int) -> None:
        """Count `more` bytes of something that is `whole` bytes with them, or raise `TooMuchHeld` and count nothing."""
        held = self.held_bytes + more
        if held > self._most_large and (whole > SMALL_BYTES or held > self._most):
            raise self._refusal(more, whole)
        self.held_bytes = held

    def count(self, more: int) -> None:
        """Count what is there already, whether it fits or not."""
        self.held_bytes += more
        if self.held_bytes > self._most_large and more > 0:
            self.when_exceeded(self.held_bytes - int(self._most_large))

    def give_back(self, size: int) -> None:
        self.held_bytes -= size

    def _refusal(self, more: int, whole: int) -> TooMuchHeld:
        self.refused += 1
        most = self._most if whole <= SMALL_BYTES else self._most_large
        return TooMuchHeld(more, self.held_bytes, int(most), self.max_bytes)


class Holding:
    """What one thing takes of the budget. It gives back all of it, once, when it is closed, and takes nothing then."""

    __slots__ = ("_budget", "held_bytes")

    def __init__(self, budget: HeldBytes) -> None:
        self._budget: HeldBytes | None = budget
        self.held_bytes = 0

    def expect(self, size: int) -> None:
        """So much is announced: raises `TooMuchHeld` if it would not fit now."""
        if self._budget is not None:
            self._budget.check(size)

    def hold(self, more: int) -> None:
        """It takes so much more; raises `TooMuchHeld` if it may not, and is as before."""
        if self._budget is not None:
            whole = self.held_bytes + more
            self._budget.take(more, whole)
            self.held_bytes = whole

    def count(self, more: int) -> None:
        """It takes so much more, or less if that is negative, whether it fits or not."""
        if self._budget is not None:
            self.held_bytes += more
            self._budget.count(more)

    def hold_in_all(self, size: int) -> None:
        """It takes so much in all; as `hold` if that is more than before."""
        more = size - self.held_bytes
        if more > 0:
            self.hold(more)
        else:
            self.count(more)

    def may_hold(self, size: int) -> bool:
        """Does it take so much in all? False = it may not, and is as before."""
        try:
            self.hold_in_all(size)
        except TooMuchHeld:
            return False
        return True

    def close(self) -> None:
        """It takes nothing any more. A second call does nothing."""
        budget, self._budget = self._budget, None
        if budget is not None:
            budget.give_back(self.held_bytes)
            self.held_bytes = 0

    def __enter__(self) -> "Holding":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
