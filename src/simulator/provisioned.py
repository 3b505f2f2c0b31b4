"""A provisioned deployment (PTU) as Azure counts it. Pure, as `limits`.

Azure OpenAI provisioned throughput guide: a leaky bucket. A request is let in while it is below 100 %, and adds what it
is expected to take; what it took less or more is put right when it ends; the bucket drains without pause. Above 100 % a
request is refused, and told when it is below again. Microsoft does not say how much it holds. All amounts are input
tokens: how many of them an output token counts for is the caller's matter.
"""

from heapq import heappop, heappush
from math import floor

from simulator.limits import Gauge, Limiter, Verdict

CONTEXT_TOKENS = 128_000
"""A prompt of more is refused, whatever the model takes elsewhere."""
HOLDS_S = 10.0
"""The bucket holds what drains in so long."""
_ROUNDING = 1e-6


class ProvisionedLimiter(Limiter):
    """Drains `per_minute` tokens a minute."""

    def __init__(self, per_minute: int, holds_s: float = HOLDS_S) -> None:
        super().__init__(None, None)
        self._rate = per_minute / 60
        self._brim = self._rate * holds_s
        self._level = 0.0
        self._at_s: float | None = None
        self._corrections: list[tuple[float, float]] = []

    def admit(self, tokens: int, now_s: float) -> Verdict:
        """See `Limiter`: however many tokens those are, while it is below 100 %."""
        self._advance(now_s)
        wait_s = (self._level - self._brim) / self._rate
        if wait_s > _ROUNDING:
            return Verdict("tokens", tokens, wait_s, None, self._gauge())
        self._level += tokens
        return Verdict(None, 0, 0.0, None, self._gauge())

    def correct(self, less: float, at_s: float) -> None:
        """See `Limiter`."""
        heappush(self._corrections, (at_s, less))

    def _gauge(self) -> Gauge:
        return Gauge(max(1, floor(self._brim)), floor(self._brim - self._level), self._level / self._rate)

    def _advance(self, now_s: float) -> None:
        while self._corrections and self._corrections[0][0] <= now_s:
            at_s, less = heappop(self._corrections)
            self._drain(at_s)
            self._level = max(0.0, self._level - less)
        self._drain(now_s)

    def _drain(self, now_s: float) -> None:
        if self._at_s is not None and now_s > self._at_s:
            self._level = max(0.0, self._level - self._rate * (now_s - self._at_s))
        self._at_s = now_s if self._at_s is None else max(self._at_s, now_s)
