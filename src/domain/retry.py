"""How often a request is tried again, after how long, how many requests may do so, and how long one try may take."""

from math import inf

from msgspec import Struct

from domain.failure import FailureKind

RECALL_AFTER_S = (0.25, 0.75)  # when an account that denies what it keeps is asked again

_DEADLINE, _FIRST_BYTE, _SLOW = FailureKind.DEADLINE, FailureKind.FIRST_BYTE_TIMEOUT, FailureKind.SLOW


def first_sign_by(now: float, must_end_by: float) -> float:
    """When a doubtful attempt must have shown a sign of life: half of the time is another's. inf = no time to share."""
    return (now + must_end_by) / 2 if now < must_end_by else inf


def time_limit(now: float, deadline: float, sign_by: float, first_byte_s: float) -> tuple[float, FailureKind]:
    """When the first sign of life of an attempt must have come, and what it is called if it does not.

    DEADLINE = it is the time of the whole request that ends then. `sign_by` inf = nothing is expected before the
    endpoint's own `first_byte_s` are over.
    """
    first_byte_by = now + first_byte_s
    if sign_by < first_byte_by and sign_by < deadline:
        return sign_by, _SLOW
    return (first_byte_by, _FIRST_BYTE) if first_byte_by < deadline else (deadline, _DEADLINE)


class RetryBudget(Struct, frozen=True):
    """What a group may spend on retries: keeps an outage from being multiplied by the retries it causes.

    Every request earns a fraction of a retry, and every retry costs one (Finagle's RetryBudget; gRPC A6 throttling).
    Failing over to an endpoint that is well and was not tried yet is free: it moves load, it does not add any.
    """

    tokens: float

    def after_request(self, policy: "RetryPolicy") -> "RetryBudget":
        if self.tokens >= policy.budget_burst:
            return self
        return RetryBudget(min(policy.budget_burst, self.tokens + policy.budget_ratio))

    def allows(self, policy: "RetryPolicy", retrying: int) -> bool:
        """May one more request retry, when `retrying` do? A few always may, however bad the times."""
        return self.tokens >= 1 or retrying < policy.budget_floor

    def after_retry(self, policy: "RetryPolicy") -> "RetryBudget":
        """A retry is sent; those that always may are paid for later, but not for ever."""
        return RetryBudget(max(-policy.budget_burst, self.tokens - 1))


class RetryPolicy(Struct, frozen=True):
    """Attempts, backoff and retry budget of one group.

    Backoff is exponential with full jitter: random between 0 and min(cap, base * 2^n) (AWS Architecture Blog,
    "Exponential Backoff And Jitter"; gRPC A6).
    """

    num_retries: int = 3
    base_s: float = 0.5
    cap_s: float = 8.0
    budget_ratio: float = 0.2  # retries that each request earns
    budget_burst: float = 10.0  # the most retries that can be saved up
    budget_floor: int = 3  # how many requests may retry at a time when nothing is saved up

    @property
    def max_attempts(self) -> int:
        return 1 + self.num_retries

    @property
    def full_budget(self) -> RetryBudget:
        return RetryBudget(self.budget_burst)

    def backoff_s(self, backoffs: int, draw: float) -> float:
        """Seconds to wait before the next attempt, after `backoffs` earlier waits; `draw` in [0, 1)."""
        return draw * min(self.cap_s, self.base_s * 2.0 ** min(backoffs, 32))
