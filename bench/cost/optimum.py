"""The least that the requests of a trace can cost, with the whole hour known: a bound that no routing can go below.

A request that a tier serves saves what the next tier would have charged more for it. So the cost of all is what the
last tier would charge, less, for each tier but the last, what is saved by all requests that this tier or an earlier one
serves. The bound takes the largest that each of these sums could be, each by itself, and it is generous:

- requests may be cut in pieces, of which each goes where it likes (a fractional knapsack);
- the limits of all endpoints up to a tier are pooled, and only those of tokens are looked at;
- windows begin with the first requests, one endpoint's after the other's;
- each request may wait for as long as `max_wait_for_tier` allows, even for a minute that has not begun;
- the sums need not be reached together.

What the largest sum is: of the sets of tokens that a limit can let in each is a vector of a polymatroid (they are flows
from one source through time), so that taking the tokens of the highest saving first is optimal (Edmonds, "Submodular
functions, matroids, and certain polyhedra", 1970). With the requests in the order of what a token of theirs saves, it
is the sum over all steps of that saving of the step times the most tokens that can be let in of those above it.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

Counting = Literal["bucket", "windows"]
_MINUTE_S = 60.0
STEPS = 200
"""So many different savings a token are told apart; what lies between two is taken for the higher."""


class Demand(Struct, frozen=True):
    """One request."""

    at_s: float
    tokens: int
    """That a limit is charged for it."""
    costs: tuple[float, ...]
    """At each tier, in the order in which they are used: none is below the one before it."""


class Limit(Struct, frozen=True):
    """Of one endpoint."""

    per_minute: float
    opens_s: float = 0.0
    """When its first window begins."""
    holds: float | None = None
    """How much its bucket lets in at once; None = as much as in a minute."""

    @property
    def burst(self) -> float:
        """The same, as a number."""
        return self.per_minute if self.holds is None else self.holds


class Pool(Struct, frozen=True):
    """What all endpoints up to one tier let in together."""

    limits: tuple[Limit, ...]
    counting: Counting
    """`bucket`: refills without pause, and is full at the start. `windows`: all is back each minute."""


def least_cost(demands: Sequence[Demand], pools: Sequence[Pool], wait_s: float) -> float:
    """`pools[k]` is that of the tiers up to k; the last tier has none, as it takes whatever is left. `wait_s` is at
    most a minute."""
    saved = 0.0
    for tier, pool in enumerate(pools):
        savings = [demand.costs[tier + 1] - demand.costs[tier] for demand in demands]
        saved += _most_saved(demands, savings, pool, wait_s)
    return sum(demand.costs[-1] for demand in demands) - saved


def _most_saved(demands: Sequence[Demand], savings: Sequence[float], pool: Pool, wait_s: float) -> float:
    a_token = [saving / demand.tokens for demand, saving in zip(demands, savings, strict=True)]
    levels = sorted({*a_token}, reverse=True)
    if len(levels) > STEPS:
        levels = [levels[len(levels) * step // STEPS] for step in range(STEPS)]
    total = 0.0
    for level, below in zip(levels, [*levels[1:], 0.0], strict=True):
        # All whose saving is above the next level are taken to have this one: no less than they have.
        among = (demand for demand, saving in zip(demands, a_token, strict=True) if saving > below)
        total += (level - below) * most_let_in(among, pool, wait_s)
    return total


def most_let_in(demands: Iterable[Demand], pool: Pool, wait_s: float) -> float:
    """The most tokens of these requests that can be let in, each within `wait_s` of its arrival; in time order."""
    if pool.counting == "bucket":
        return _through_bucket(demands, pool.limits, wait_s)
    return _through_windows(demands, pool.limits, wait_s)


def _through_bucket(demands: Iterable[Demand], limits: Sequence[Limit], wait_s: float) -> float:
    """To wait for a refill is to borrow it: the bucket is larger by what comes back meanwhile."""
    rate = sum(limit.per_minute for limit in limits) / _MINUTE_S
    most = level = sum(limit.burst for limit in limits) + rate * wait_s
    total = at_s = 0.0
    for demand in demands:
        level = min(most, level + rate * (demand.at_s - at_s))
        at_s = demand.at_s
        taken = min(level, demand.tokens)
        level -= taken
        total += taken
    return total


def _through_windows(demands: Iterable[Demand], limits: Sequence[Limit], wait_s: float) -> float:
    """Each takes first of the window that ends first, which is optimal as windows are intervals (Glover, "Maximum
    matching in a convex bipartite graph", 1967). One that waits may take of a window that is still to begin."""
    windows = [_Windows(limit) for limit in limits]
    total = 0.0
    for demand in demands:
        missing = float(demand.tokens)
        for each in windows:
            each.turn(demand.at_s)
        windows.sort(key=lambda each: each.ends_s)
        for each in windows:
            missing -= each.take(missing, 0)
        for each in windows:
            if each.ends_s - wait_s <= demand.at_s:
                missing -= each.take(missing, 1)
        total += demand.tokens - missing
    return total


class _Windows:
    """The windows of one limit, one after the other."""

    def __init__(self, limit: Limit) -> None:
        self.ends_s = limit.opens_s + _MINUTE_S
        self._whole = limit.per_minute
        self._left = [limit.per_minute, limit.per_minute]
        """Of the window that is open, and of the next."""

    def turn(self, at_s: float) -> None:
        """It is so late now."""
        while self.ends_s <= at_s:
            self.ends_s += _MINUTE_S
            self._left = [self._left[1], self._whole]

    def take(self, tokens: float, which: Literal[0, 1]) -> float:
        """As many of the tokens as it lets in: the open window (0) or the next (1)."""
        taken = min(self._left[which], tokens)
        self._left[which] -= taken
        return taken
