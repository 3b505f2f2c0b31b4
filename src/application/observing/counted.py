"""All counters of a worker, or of all workers, at one moment: a value that is added up and subtracted."""

from typing import NamedTuple

from msgspec import Struct, structs

from application.observing.latencies import Latencies
from application.observing.sums import added, less
from application.observing.tallies import EndpointTally


class Labels(NamedTuple):
    """What requests are counted apart by. Empty = there is none, or the request did not get so far."""

    group: str
    endpoint: str
    """The one that answered, or was asked last."""
    api: str
    status_class: str
    """`2xx`, `4xx` ..."""
    error_type: str
    """See `error_types`; empty = all went well."""
    cache: str
    """What the cache did."""


class Place(NamedTuple):
    """What the durations of requests are kept apart by."""

    group: str
    api: str
    kind: str
    """`whole` or `stream`; `cached` = the answer, either way, was not asked for by this request."""


class Counted(Struct, frozen=True):
    """None of it ever falls while the proxy runs."""

    requests: dict[Labels, int] = {}
    """Pages that are no call of an API do not count."""
    latencies: dict[Place, Latencies] = {}
    """Requests that got no further than their refusal are in none."""
    endpoints: dict[str, EndpointTally] = {}
    """By endpoint id."""
    retries: dict[str, int] = {}
    """By group: attempts of requests beyond their first."""
    failovers: dict[str, int] = {}
    """By group: requests that were answered well after an attempt had failed."""
    limited: dict[str, int] = {}
    """By group: requests whose client was told 429."""
    held_refused: int = 0
    """How often something did not fit into `max_held_bytes`."""
    worker_starts: int = 0
    cpu_s: float = 0.0
    """The CPU time of the processes, in seconds."""

    def __add__(self, other: "Counted") -> "Counted":
        return Counted(
            added(self.requests, other.requests),
            added(self.latencies, other.latencies),
            added(self.endpoints, other.endpoints),
            added(self.retries, other.retries),
            added(self.failovers, other.failovers),
            added(self.limited, other.limited),
            self.held_refused + other.held_refused,
            self.worker_starts + other.worker_starts,
            self.cpu_s + other.cpu_s,
        )

    def copy(self) -> "Counted":
        """As they are now: what counts goes on to add to its own."""
        return structs.replace(
            self,
            requests=dict(self.requests),
            latencies={place: latencies.copy() for place, latencies in self.latencies.items()},
            endpoints={name: tally.copy() for name, tally in self.endpoints.items()},
            retries=dict(self.retries),
            failovers=dict(self.failovers),
            limited=dict(self.limited),
        )

    def since(self, earlier: "Counted") -> "Counted":
        """What came after `earlier`, of requests and endpoints."""
        return Counted(
            less(self.requests, earlier.requests),
            less(self.latencies, earlier.latencies),
            less(self.endpoints, earlier.endpoints),
        )


NOTHING = Counted()
