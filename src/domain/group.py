"""A model group: one public model name, the endpoints behind it, and the policies they are run by."""

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

    def shares(self) -> tuple[float, ...]:
        """The fraction of traffic each endpoint gets while all are well, in the order of the endpoints."""
        weights = self.weights()
        total = sum(weights)
        return tuple(weight / total for weight in weights)
