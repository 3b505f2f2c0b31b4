"""The same requests shared by weights alone, as LiteLLM's default (`simple-shuffle`) shares them: a model of it, and
not LiteLLM itself.

Each request goes to an endpoint by chance, in proportion to the weights. A 429 sends it on to another, twice at most,
and its endpoint is left alone for as long as `retry-after` asks (LiteLLM's documentation of routing and cooldowns).
Nobody looks at what is left of a limit, and nobody waits. A refusal takes no time here.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from math import ceil, isinf

from msgspec import Struct

from entrypoints.simulate.scenario import Plan
from entrypoints.simulate.traffic import Arrival
from simulator.limits import token_cost
from simulator.protocol.limit_headers import limiter_for

MOST_ATTEMPTS = 3
DEFAULT_COOLDOWN_S = 5.0
"""Where a refusal names no time, or one that cannot be meant."""
_LONGEST_S = 60.0


class Shared(Struct):
    """What came of it. Tokens are those of the requests that each endpoint answered."""

    answered: Counter[str]
    given_tokens: Counter[str]
    answered_tokens: Counter[str]
    charged_tokens: Counter[str]
    """By the limits."""
    provider_429s: int = 0
    client_429s: int = 0


def shared_by_weight(
    arrivals: Iterable[Arrival], plans: Mapping[str, Plan], weights: Mapping[str, int], seed: int
) -> Shared:
    """`plans` and `weights` by endpoint; each endpoint has a limit of its own."""
    dice = random.Random(f"{seed} shuffle")  # noqa: S311 - repeatable on purpose
    limiters = {name: limiter_for(plan.provider) for name, plan in plans.items()}
    rests_until = dict.fromkeys(plans, 0.0)
    told = Shared(Counter(), Counter(), Counter(), Counter())
    for arrival in arrivals:
        cost = token_cost(4 * arrival.given_tokens, arrival.answered_tokens)
        for _ in range(MOST_ATTEMPTS):
            awake = [name for name in plans if rests_until[name] <= arrival.at_s]
            if not awake:
                break
            chosen = dice.choices(awake, [weights[name] for name in awake])[0]
            verdict = limiters[chosen].admit(cost, arrival.at_s)
            if verdict.refused_by is None:
                told.answered[chosen] += 1
                told.given_tokens[chosen] += arrival.given_tokens
                told.answered_tokens[chosen] += arrival.answered_tokens
                told.charged_tokens[chosen] += cost
                break
            told.provider_429s += 1
            rests_until[chosen] = arrival.at_s + _cooldown_s(verdict.wait_s)
        else:
            told.client_429s += 1
            continue
        told.client_429s += not awake
    return told


def _cooldown_s(wait_s: float) -> float:
    return DEFAULT_COOLDOWN_S if isinf(wait_s) or wait_s > _LONGEST_S else max(1.0, ceil(wait_s))
