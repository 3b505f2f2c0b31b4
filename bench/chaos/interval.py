"""How bad availability could be, given what was seen: the one-sided bound of Clopper and Pearson."""

from math import exp, lgamma, log, log1p

CONFIDENCE = 0.95


def highest_share(failures: int, requests: int) -> float:
    """The largest share of failures at which so few would be seen once in twenty times: with 95 % confidence the true
    one is below it. 2,995 requests without a failure, or 10,511 with five, are needed for less than 0.1 %."""
    if failures >= requests:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(failures, requests, middle) > 1 - CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def _at_most(failures: int, requests: int, share: float) -> float:
    """The probability of so many failures or fewer (the binomial distribution)."""
    return sum(
        exp(_log_ways(requests, k) + k * log(share) + (requests - k) * log1p(-share)) for k in range(failures + 1)
    )


def _log_ways(requests: int, failures: int) -> float:
    return lgamma(requests + 1) - lgamma(failures + 1) - lgamma(requests - failures + 1)
