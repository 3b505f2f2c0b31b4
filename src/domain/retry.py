"""How often a request is tried again, and after how long."""

from msgspec import Struct


class RetryPolicy(Struct, frozen=True):
    """Attempts, backoff and retry budget of one request.

    Backoff is exponential with full jitter: random between 0 and min(cap, base * 2^n) (AWS Architecture Blog,
    "Exponential Backoff And Jitter"; gRPC A6). The budget is Envoy's: at most `budget_ratio` of the requests in flight,
    but at least `budget_floor`, may be retrying at a time (circuit_breaker.proto, `retry_budget`).
    """

    num_retries: int = 3
    base_s: float = 0.5
    cap_s: float = 8.0
    budget_ratio: float = 0.2
    budget_floor: int = 3

    @property
    def max_attempts(self) -> int:
        """How many upstream calls one client request may cost."""
        return 1 + self.num_retries

    def backoff_s(self, backoffs: int, draw: float) -> float:
        """Seconds to wait before the next attempt, after `backoffs` earlier waits; `draw` in [0, 1)."""
        return draw * min(self.cap_s, self.base_s * 2.0 ** min(backoffs, 32))

    def budget_allows(self, retrying: int, in_flight: int) -> bool:
        """May one more request retry, when `retrying` of `in_flight` requests already do?"""
        return retrying < max(self.budget_floor, int(self.budget_ratio * in_flight))
