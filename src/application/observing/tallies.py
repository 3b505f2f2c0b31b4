"""What was ever sent to an endpoint and what came of it, in counters that only grow.

They outlive what is known of the endpoint: one that is configured anew goes on where its counters are, and those of one
that has gone stay.
"""

from collections.abc import Mapping
from copy import copy

from msgspec import Struct, field, structs

from application.observing.cost_tally import CostTally
from application.observing.latencies import Histogram
from application.observing.sums import added, less


class EndpointTally(Struct):
    """The counters of one endpoint. `EndpointState` adds to them."""

    group: str = ""
    """The model group it is in; of several the first."""
    attempts: int = 0
    """Also those that are under way."""
    failures: dict[str, int] = field(default_factory=dict)
    """Attempts that failed, by kind."""
    cooldowns: int = 0
    """How often it began to rest, or rests for longer than it did."""
    input_tokens: int = 0
    """As its replies say, those from the provider's prompt cache included. A reply may not say."""
    cached_tokens: int = 0
    written_tokens: int = 0
    """Those written to it."""
    output_tokens: int = 0
    between_tokens: Histogram = field(default_factory=Histogram)
    """Of each stream that says its tokens: the mean time from one to the next, after its first content."""
    costs: CostTally = field(default_factory=CostTally)

    def copy(self) -> "EndpointTally":
        return structs.replace(
            self, failures=dict(self.failures), between_tokens=self.between_tokens.copy(), costs=copy(self.costs)
        )

    def __add__(self, other: "EndpointTally") -> "EndpointTally":
        return EndpointTally(
            other.group or self.group,
            self.attempts + other.attempts,
            added(self.failures, other.failures),
            self.cooldowns + other.cooldowns,
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.written_tokens + other.written_tokens,
            self.output_tokens + other.output_tokens,
            self.between_tokens + other.between_tokens,
            self.costs + other.costs,
        )

    def __sub__(self, earlier: "EndpointTally") -> "EndpointTally":
        """What came after an earlier copy of this one."""
        return EndpointTally(
            self.group,
            self.attempts - earlier.attempts,
            less(self.failures, earlier.failures),
            self.cooldowns - earlier.cooldowns,
            self.input_tokens - earlier.input_tokens,
            self.cached_tokens - earlier.cached_tokens,
            self.written_tokens - earlier.written_tokens,
            self.output_tokens - earlier.output_tokens,
            self.between_tokens - earlier.between_tokens,
            self.costs - earlier.costs,
        )


class Tallies:
    """Those of all endpoints there are, or have been since the proxy started."""

    def __init__(self, before: Mapping[str, EndpointTally] | None = None) -> None:
        """`before`: what was counted in this worker's place before, which goes on here; None = nothing."""
        self._by_endpoint: dict[str, EndpointTally] = {} if before is None else dict(before)

    def of(self, endpoint: str, group: str) -> EndpointTally:
        """The counters of the endpoint with that id, always the same."""
        tally = self._by_endpoint.setdefault(endpoint, EndpointTally())
        tally.group = group
        return tally

    def counted(self) -> dict[str, EndpointTally]:
        """By endpoint id, with sums that are up to date; not a copy."""
        for tally in self._by_endpoint.values():
            tally.costs.fold()
        return self._by_endpoint

    def saved(self, endpoint: str, cost: int, times: int) -> None:
        """An answer that this endpoint gave for `cost` picos was given so often again. Of endpoints that are not known
        (to another replica they may be) nothing is counted."""
        if (tally := self._by_endpoint.get(endpoint)) is not None:
            tally.costs.priced_hits += times
            tally.costs.new_saved_by_cache += cost * times
