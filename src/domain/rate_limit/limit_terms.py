"""What is known of one limit, beside its level. All of it is made anew with a reading, nearly none with a charge."""

import math

from msgspec import Struct

from domain.rate_limit.limit_reading import Counting, Reading
from domain.rate_limit.limit_report import NO_READING, ReadingReport
from domain.rate_limit.limit_window import Window


class LimitTerms(Struct, frozen=True, gc=False):
    """What is known of one limit and stays as it is however much is sent."""

    meter: Counting = Counting()
    limit: float | None = None  # the most room there can be, per window
    kept: float = 0.0  # how much of it is kept untouched, see `Counting.kept`
    plenty: float = 0.0
    """A level of at least that much is ample without a closer look; infinite = a level says nothing that is sure."""
    rate: float = 0.0  # room that comes back per second; 0 = it comes back at once, at `window_end`
    window_end: float = 0.0  # when all room is back, where it does not come back bit by bit
    reading: Reading = Reading()  # the newest reading of what remains, as it came
    read_at: float = -math.inf  # when the request was sent whose reply gave it; -inf = there was none
    is_from_peer: bool = False  # Did another replica read it? Then it is not ours to tell.
    window: Window | None = None  # what is sure, where the level may hope for too much; None = the level is sure
    floor: float = -math.inf
    """The level falls no further: minus the limit, or minus what a reading left where no limit is known."""
    debt: float = 0.0  # How far it would have fallen below that. What is given back comes off this first.

    def report(self) -> ReadingReport:
        is_own = not self.is_from_peer and self.read_at > -math.inf
        return ReadingReport(self.reading, self.read_at) if is_own else NO_READING
