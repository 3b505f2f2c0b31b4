"""What is known of one limit: how it is counted, what replies say about it, and what that makes of it.

None of it changes when a request is sent: what does is in `domain.rate_limit.limit_state`. Times are monotonic seconds.
These values hold no cycles, so the collector is spared them (`gc=False`).
"""

from enum import Enum

from msgspec import Struct

PER_MINUTE_S = 60.0
AZURE_REQUEST_SLICE_S = 10.0

MAX_COUNT = 1e12  # a limit, or what remains of one, that is larger says nothing
LEAST_LIMIT = 1.0  # a limit that lets no request in, ever, means something else: it says nothing
MAX_RESET_S = 86_400.0  # providers count by the minute, some by the day: a later reset says nothing
_LEAST_RESET_S = 0.001  # shorter resets are no more than that, and would make the rate as large as can be


class Refill(Enum):
    CONTINUOUS = "continuous"
    WINDOW = "window"
    LEAKY = "leaky"
    """Without pause, and a request of any size is let in while there is any room (`domain.rate_limit.leaky_bucket`)."""


class Reading(Struct, frozen=True, gc=False):
    """What one reply says about one limit. None = it does not say, or nothing that can be true."""

    limit: float | None = None
    remaining: float | None = None
    reset_s: float | None = None  # seconds from the reply's admission until all room is back
    is_bare: bool = False
    """Was the reset a number without a unit, as Azure writes it? Then it may be rounded up to a whole second, and all
    room may come back at once."""

    @property
    def is_empty(self) -> bool:
        return self.limit is None and self.remaining is None

    def comes_at_once(self, limit: float) -> bool:
        """Of a bare reset: does all room of `limit` come back at once then? So it does where that is too early for a
        limit per minute that refills without pause, with what remains rounded down."""
        remaining, reset_s = self.remaining, self.reset_s
        if remaining is None or reset_s is None:
            return False
        return reset_s < PER_MINUTE_S * (1.0 - (remaining + 1.0) / limit)

    @property
    def is_possible(self) -> bool:
        return (
            _is_within(self.limit, LEAST_LIMIT, MAX_COUNT)
            and _is_within(self.remaining, 0.0, MAX_COUNT)
            and _is_within(self.reset_s, 0.0, MAX_RESET_S)
        )


class Readings(Struct, frozen=True, gc=False):
    requests: Reading = Reading()
    tokens: Reading = Reading()


NO_READINGS = Readings()  # of a reply that says nothing


class Counting(Struct, frozen=True, gc=False):
    refill: Refill = Refill.CONTINUOUS
    window_s: float = PER_MINUTE_S  # after how long the room is back, where no reading says so
    is_exact: bool = False  # is what is charged known, and no estimate?
    reserve: float = 0.0  # the fraction of the limit that is kept untouched while another bucket has room

    def asked(self, amount: float) -> float:
        """The room without which a request of `amount` is not let in."""
        return 1.0 if self.refill is Refill.LEAKY else amount

    def kept(self, limit: float | None) -> float:
        """How much of the room is kept untouched: the reserve, but at least 1; nothing where no limit is known."""
        return 0.0 if limit is None else max(self.reserve * limit, 1.0)

    def per_window(self, per_minute: float, window_s: float | None = None) -> float:
        """The limit of one window of `window_s` (None = as long as the provider documents), where one is named per
        minute. What is too little to be cut into windows is counted by the minute."""
        limit = per_minute * (self.window_s if window_s is None else window_s) / PER_MINUTE_S
        return limit if limit >= 1.0 else per_minute


def countings(provider: str, reserve: float) -> tuple[Counting, Counting]:
    if provider == "azure":
        requests = Counting(Refill.WINDOW, AZURE_REQUEST_SLICE_S, is_exact=True, reserve=reserve)
        return requests, Counting(Refill.WINDOW, reserve=reserve)
    return Counting(is_exact=True, reserve=reserve), Counting(reserve=reserve)


def refill_rate(limit: float, remaining: float, reset_s: float | None) -> float:
    """Room that comes back per second where that goes on without pause: what is missing within the reset, else the
    limit within a minute. All of it within a day at least, as no limit is counted over a longer time."""
    if not reset_s or remaining >= limit:
        return limit / PER_MINUTE_S
    rate, least = (limit - remaining) / (reset_s if reset_s > _LEAST_RESET_S else _LEAST_RESET_S), limit / MAX_RESET_S
    return rate if rate > least else least


def _is_within(value: float | None, least: float, most: float) -> bool:
    """What is not a number is in no range."""
    return value is None or least <= value <= most
