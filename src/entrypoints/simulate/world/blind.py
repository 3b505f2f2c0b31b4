"""What the same traffic would meet without the ledger: weights alone decide, and nobody looks at limits."""

from domain.group import ModelGroup
from domain.routing.selector import Selector
from entrypoints.simulate.scenario import Scenario
from entrypoints.simulate.world.providers import limiters_of, trouble_at
from simulator.limits import token_cost


class BlindRouting:
    """Smooth weighted round robin over the same providers; each request is sent once, at the time it comes."""

    def __init__(self, scenario: Scenario) -> None:
        self._plans = scenario.plans
        self._limiters = limiters_of(scenario.plans)
        self._selectors = {group.name: Selector.fresh(len(group.endpoints)) for group, _ in scenario.groups}
        self.refused = 0
        """How many were answered 429."""

    def ask(self, group: ModelGroup, body_bytes: int, answered: int, at_s: float) -> None:
        """One request, so many seconds after the start."""
        weights = group.weights()
        first = [index for index, tier in enumerate(group.tiers()) if not tier]
        chosen, self._selectors[group.name] = self._selectors[group.name].choose(weights, first)
        plan = self._plans[group.endpoints[chosen].id]
        trouble = trouble_at(plan, at_s)
        if trouble is None:
            cost = token_cost(body_bytes, answered, plan.provider.output_token_ratio)
            verdict = self._limiters[plan.bucket].admit(cost, at_s)
            self.refused += verdict.refused_by is not None
        else:
            self.refused += trouble.kind == "429"
