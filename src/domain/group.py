"""A model group: one public model name, the endpoints behind it, and the policies they are run by."""

from collections import Counter
from functools import cached_property

from msgspec import Struct

from domain.endpoint import Endpoint
from domain.health.cooldown import CooldownPolicy
from domain.retry import RetryPolicy
from domain.routing.affinity import Affinity


class ModelGroup(Struct, frozen=True, dict=True):
    name: str
    endpoints: tuple[Endpoint, ...]
    cooldown: CooldownPolicy = CooldownPolicy()
    retry: RetryPolicy = RetryPolicy()
    affinity: Affinity = Affinity.NONE
    max_wait_for_tier_s: float = 0.0  # how long a request waits for an earlier tier before it goes to a later one

    def __post_init__(self) -> None:
        if not self.endpoints:
            raise ValueError(f"model group '{self.name}' has no endpoints")

    @cached_property
    def request_timeout_s(self) -> float:
        """How long one request may take until its first content, over all attempts: the most patient endpoint's."""
        return max(endpoint.request_timeout_s for endpoint in self.endpoints)

    def weights(self) -> tuple[int, ...]:
        """The effective weights, in the order of the endpoints: all equal when every configured one is 0."""
        if any(endpoint.weight for endpoint in self.endpoints):
            return tuple(endpoint.weight for endpoint in self.endpoints)
        return (1,) * len(self.endpoints)

    def tiers(self) -> tuple[int, ...]:
        """The tier of each endpoint, in the order of the endpoints: 0 is used first, and each later one only for what
        those before it cannot take. A tier is a priority; weight 0 is the last one, whatever the priority."""
        weighted = zip(self.endpoints, self.weights(), strict=True)
        ranks = [(0, endpoint.priority) if weight else (1, 0) for endpoint, weight in weighted]
        order = sorted({*ranks})
        return tuple(order.index(rank) for rank in ranks)

    def tier_names(self) -> tuple[str, ...]:
        """What people call the tier of each endpoint: `first`, then `priority 1`, ..., and `fallback` for weight 0."""
        each = zip(self.endpoints, self.tiers(), self.weights(), strict=True)
        return tuple(
            "first" if not tier else f"priority {endpoint.priority}" if weight else "fallback"
            for endpoint, tier, weight in each
        )

    def tier_shares(self) -> tuple[float, ...]:
        """The fraction each endpoint gets of what its tier gets while all of the tier are well."""
        tiers, weights = self.tiers(), [weight or 1 for weight in self.weights()]
        totals: Counter[int] = Counter()
        for tier, weight in zip(tiers, weights, strict=True):
            totals[tier] += weight
        return tuple(weight / totals[tier] for tier, weight in zip(tiers, weights, strict=True))

    def shares(self) -> tuple[float, ...]:
        """The fraction of traffic each endpoint gets while all are well and have room: the first tier takes all."""
        return tuple(0.0 if tier else share for tier, share in zip(self.tiers(), self.tier_shares(), strict=True))
