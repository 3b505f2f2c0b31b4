"""Rate limits that are truly enforced. Pure: time comes in as `now_s`, any clock that never runs backwards.

Two ways of counting, as the providers document them:
- OpenAI: a bucket that refills continuously; "reset" is the time until it is full again (OpenAI rate-limits guide).
- Azure OpenAI: fixed windows, requests in slices of 10 s and tokens in minutes (Azure OpenAI quota documentation).
And windows of any length, fixed or sliding, as other gateways have them.
A refused request is not charged here.
"""

from collections import deque
from math import ceil, floor
from typing import Literal, Protocol

from msgspec import Struct

from simulator.settings import Windows

Dimension = Literal["requests", "tokens"]
_ROUNDING = 1e-9  # a caller that waited exactly as long as it was told must not miss by a rounding error
_MINUTE_S = 60.0
_SLICE_S = 10.0


class Gauge(Struct, frozen=True):
    """What a reply can say about one limit. `reset_s` seconds until it is whole again."""

    limit: int
    remaining: int
    reset_s: float


class Verdict(Struct, frozen=True):
    """Whether a request was let in, and where both limits stand after it. None: that dimension has no limit."""

    refused_by: Dimension | None
    requested: int
    """What it would have cost in the dimension that refused it."""
    wait_s: float
    """Until the same request would be let in; 0 for one that was, infinite for one that never will be."""
    requests: Gauge | None
    tokens: Gauge | None


class Meter(Protocol):
    """One limit: how long a cost has to wait, taking it, and reading what is left."""

    def wait_s(self, cost: int, now_s: float) -> float:
        """0 when there is room now; infinite when the cost exceeds the whole limit."""

    def take(self, cost: int, now_s: float) -> None:
        """Charge a cost that `wait_s` has just found room for."""

    def gauge(self, now_s: float) -> Gauge:
        """What a reply says now."""


class Bucket:
    """Refills continuously at `per_minute`; holds one minute's worth."""

    def __init__(self, per_minute: int) -> None:
        self._capacity = per_minute
        self._rate = per_minute / _MINUTE_S
        self._level = float(per_minute)
        self._at_s: float | None = None

    def wait_s(self, cost: int, now_s: float) -> float:
        if cost > self._capacity:
            return float("inf")
        self._refill(now_s)
        missing = cost - self._level
        return missing / self._rate if missing > _ROUNDING else 0.0

    def take(self, cost: int, now_s: float) -> None:
        self._refill(now_s)
        self._level = max(0.0, self._level - cost)

    def gauge(self, now_s: float) -> Gauge:
        self._refill(now_s)
        missing = self._capacity - self._level
        return Gauge(self._capacity, floor(self._level + _ROUNDING), missing / self._rate)

    def _refill(self, now_s: float) -> None:
        if self._at_s is not None and now_s > self._at_s:
            self._level = min(self._capacity, self._level + (now_s - self._at_s) * self._rate)
        self._at_s = now_s if self._at_s is None else max(self._at_s, now_s)


class Window:
    """At most `capacity` in each window of `length_s`; the first window opens with the first request, or at any other
    time that is given."""

    def __init__(self, capacity: int, length_s: float, stated_limit: int, opened_s: float | None = None) -> None:
        self._capacity = capacity
        self._length_s = length_s
        self._stated_limit = stated_limit
        self._opened_s = opened_s
        self._used = 0

    def wait_s(self, cost: int, now_s: float) -> float:
        if cost > self._capacity:
            return float("inf")
        self._turn(now_s)
        return 0.0 if self._used + cost <= self._capacity else self._left_s(now_s)

    def take(self, cost: int, now_s: float) -> None:
        self._turn(now_s)
        self._used += cost

    def gauge(self, now_s: float) -> Gauge:
        self._turn(now_s)
        return Gauge(self._stated_limit, self._capacity - self._used, self._left_s(now_s))

    def _turn(self, now_s: float) -> None:
        if self._opened_s is None:
            self._opened_s = now_s
        passed = floor((now_s - self._opened_s) / self._length_s + _ROUNDING)
        if passed > 0:
            self._opened_s += passed * self._length_s
            self._used = 0

    def _left_s(self, now_s: float) -> float:
        opened_s = now_s if self._opened_s is None else self._opened_s
        return max(0.0, opened_s + self._length_s - now_s)


class SlidingWindow:
    """At most `capacity` in any `length_s`; whole again when the last request is so long ago."""

    def __init__(self, capacity: int, length_s: float) -> None:
        self._capacity = capacity
        self._length_s = length_s
        self._taken: deque[tuple[float, int]] = deque()

    def wait_s(self, cost: int, now_s: float) -> float:
        if cost > self._capacity:
            return float("inf")
        missing, wait_s = cost - self.gauge(now_s).remaining, 0.0
        for at_s, taken in self._taken:
            if missing <= 0:
                break
            missing, wait_s = missing - taken, at_s + self._length_s - now_s
        return wait_s

    def take(self, cost: int, now_s: float) -> None:
        self._taken.append((now_s, cost))

    def gauge(self, now_s: float) -> Gauge:
        while self._taken and self._taken[0][0] + self._length_s <= now_s + _ROUNDING:
            self._taken.popleft()
        reset_s = self._taken[-1][0] + self._length_s - now_s if self._taken else 0.0
        return Gauge(self._capacity, self._capacity - sum(cost for _, cost in self._taken), reset_s)


class Limiter:
    """Both limits of one account and model: a request is charged to both or to none."""

    def __init__(self, requests: Meter | None, tokens: Meter | None) -> None:
        self._requests = requests
        self._tokens = tokens

    def admit(self, tokens: int, now_s: float) -> Verdict:
        """Charge one request of that many tokens, or say which limit refuses it longest, and for how long."""
        requests_wait_s = 0.0 if self._requests is None else self._requests.wait_s(1, now_s)
        tokens_wait_s = 0.0 if self._tokens is None else self._tokens.wait_s(tokens, now_s)
        if tokens_wait_s > 0 and tokens_wait_s >= requests_wait_s:
            return self._verdict(now_s, "tokens", tokens, tokens_wait_s)
        if requests_wait_s > 0:
            return self._verdict(now_s, "requests", 1, requests_wait_s)
        if self._requests is not None:
            self._requests.take(1, now_s)
        if self._tokens is not None:
            self._tokens.take(tokens, now_s)
        return self._verdict(now_s, None, 0, 0.0)

    def correct(self, less: float, at_s: float) -> None:
        """A request that was let in takes so much less than it was charged, which is known at `at_s`. Here it stays
        charged."""

    def _verdict(self, now_s: float, refused_by: Dimension | None, requested: int, wait_s: float) -> Verdict:
        return Verdict(
            refused_by=refused_by,
            requested=requested,
            wait_s=wait_s,
            requests=None if self._requests is None else self._requests.gauge(now_s),
            tokens=None if self._tokens is None else self._tokens.gauge(now_s),
        )


def continuous_limiter(rpm: int | None, tpm: int | None) -> Limiter:
    """OpenAI's way: buckets that refill all the time."""
    return Limiter(None if rpm is None else Bucket(rpm), None if tpm is None else Bucket(tpm))


def windowed_limiter(rpm: int | None, tpm: int | None) -> Limiter:
    """Azure's way. Requests below 6 a minute cannot be cut into slices and are counted by the minute."""
    requests: Window | None = None
    if rpm is not None:
        slices = _MINUTE_S / _SLICE_S if rpm >= _MINUTE_S / _SLICE_S else 1
        requests = Window(int(rpm // slices), _MINUTE_S / slices, stated_limit=rpm)
    return Limiter(requests, None if tpm is None else Window(tpm, _MINUTE_S, stated_limit=tpm))


def limiter_of_windows(rpm: int | None, tpm: int | None, length_s: float, windows: Windows) -> Limiter:
    """Windows of any length, with both limits in each of them."""

    def meter(capacity: int) -> Meter:
        if windows == "sliding":
            return SlidingWindow(capacity, length_s)
        return Window(capacity, length_s, capacity, 0.0 if windows == "aligned" else None)

    return Limiter(None if rpm is None else meter(rpm), None if tpm is None else meter(tpm))


def token_cost(body_bytes: int, max_tokens: int | None, output_ratio: float = 1.0) -> int:
    """What admission charges, in input tokens: the larger of the output asked for and 16, each of which counts for
    `output_ratio`, and a quarter of the body's bytes."""
    return ceil(output_ratio * max(max_tokens or 0, 16)) + ceil(body_bytes / 4)
