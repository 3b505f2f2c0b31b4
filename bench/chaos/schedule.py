"""Which fault comes when: drawn from a seed, so that a run can be repeated.

At any moment at least one site is well, and has been for as long as its last fault takes to settle: a proxy that does
everything right can answer every request. Every kind comes before any comes again.
"""

import random
from collections.abc import Iterator, Sequence

from bench.chaos.faults import (
    LASTING_REDIS_FAULTS,
    REDIS,
    REDIS_FAULTS,
    REPLICA_FAULTS,
    REPLICAS,
    SITE_FAULTS,
    SITES,
    Fault,
    settle_s,
)

FIRST_S = 2.0
CALM_S = 5.0
"""Before the end: what began in time ends in time."""

_SITE_TRACKS = 2
_SITE_S, _SITE_PAUSE_S = (2.0, 12.0), (0.5, 5.0)
_REDIS_S, _REDIS_PAUSE_S = (2.0, 12.0), (3.0, 12.0)
_REPLICA_PAUSE_S = (4.0, 12.0)
_PART = 0.4
"""Half of the faults of sites strike so many of the requests only."""


def schedule(seed: int, seconds: float) -> list[Fault]:
    """All faults of a run of that length, in the order in which they begin."""
    rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
    last_s = seconds - CALM_S
    faults = [*_sites(rng, last_s), *_redis(rng, last_s), *_replicas(rng, last_s)]
    return sorted(faults, key=lambda fault: fault.at_s)


def well_sites(faults: Sequence[Fault], at_s: float) -> list[str]:
    """Those without a fault at that moment, and for as long before as their last one takes to settle."""
    return [site for site in SITES if not any(_strikes(fault, site, at_s) for fault in faults)]


def _strikes(fault: Fault, site: str, at_s: float) -> bool:
    return fault.target == site and fault.at_s <= at_s < fault.until_s + settle_s(fault)


def _sites(rng: random.Random, last_s: float) -> list[Fault]:
    """Several at a time. Whoever is free next draws a site that leaves another one well."""
    deck = dealt(rng, tuple(SITE_FAULTS))
    free_at_s = [FIRST_S + number for number in range(_SITE_TRACKS)]
    faults: list[Fault] = []
    while (at_s := min(free_at_s)) < last_s:
        track = free_at_s.index(at_s)
        well = well_sites(faults, at_s)
        busy = {fault.target for fault in faults if fault.until_s > at_s}
        open_to = [site for site in SITES if site not in busy and any(other != site for other in well)]
        if not open_to:
            free_at_s[track] = at_s + 0.5
            continue
        kind = next(deck)
        seconds = min(rng.uniform(*_SITE_S), SITE_FAULTS[kind].longest_s, max(0.5, last_s - at_s))
        faults.append(Fault(at_s, seconds, rng.choice(open_to), kind, rng.choice((1.0, _PART))))
        free_at_s[track] = at_s + seconds + rng.uniform(*_SITE_PAUSE_S)
    return faults


def _redis(rng: random.Random, last_s: float) -> Iterator[Fault]:
    deck, at_s = dealt(rng, REDIS_FAULTS), FIRST_S + rng.uniform(*_REDIS_PAUSE_S)
    while at_s < last_s:
        kind = next(deck)
        seconds = min(rng.uniform(*_REDIS_S), last_s - at_s) if kind in LASTING_REDIS_FAULTS else 0.0
        yield Fault(at_s, seconds, REDIS, kind)
        at_s += seconds + rng.uniform(*_REDIS_PAUSE_S)


def _replicas(rng: random.Random, last_s: float) -> Iterator[Fault]:
    """One after the other: what takes its time holds up the next one."""
    deck, at_s = dealt(rng, REPLICA_FAULTS), FIRST_S + rng.uniform(*_REPLICA_PAUSE_S)
    while at_s < last_s:
        yield Fault(at_s, 0.0, rng.choice(REPLICAS), next(deck))
        at_s += rng.uniform(*_REPLICA_PAUSE_S)


def dealt(rng: random.Random, kinds: Sequence[str]) -> Iterator[str]:
    while True:
        yield from rng.sample(kinds, len(kinds))
