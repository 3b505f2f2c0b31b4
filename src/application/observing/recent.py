"""What happened in the last minutes: the difference between the counts now and a copy of them from then."""

from collections import Counter, deque
from collections.abc import Mapping

from msgspec import Struct

from application.endpoints.endpoint_state import EndpointState
from application.observing.latencies import Latencies, Quantiles
from application.observing.request_counts import Labels, RequestCounts
from application.ports import Clock

TICK_S = 1.0
COPY_S = 30.0
COPIES = 10
WINDOW_S = COPY_S * COPIES
"""How far back is looked, up to one copy less; less after a start."""


class Traffic(Struct, frozen=True):
    """Requests of the last minutes, of one group or all."""

    requests: int
    errors: dict[str, int]
    """By error type."""
    overhead_ms: Quantiles | None
    """The proxy's own part of `first_byte_ms`. None = there was no request."""
    first_byte_ms: Quantiles | None
    total_ms: Quantiles | None


class AttemptsOfEndpoint(Struct, frozen=True):
    """Attempts of the last minutes at one endpoint."""

    attempts: int
    share: float
    """Of the attempts of its group."""
    failures: dict[str, int]
    """By kind of failure."""


class Copy(Struct, frozen=True):
    """All counts at one moment, or between two."""

    requests: Counter[Labels] = Counter()
    latencies: Mapping[tuple[str, str], Latencies] = {}
    attempts: Counter[str] = Counter()
    """By endpoint id."""
    failures: Counter[tuple[str, str]] = Counter()
    """By endpoint id and kind."""

    def since(self, earlier: "Copy") -> "Copy":
        """What came in between."""
        latencies = {
            place: latencies.since(earlier.latencies.get(place)) for place, latencies in self.latencies.items()
        }
        return Copy(
            self.requests - earlier.requests,
            latencies,
            self.attempts - earlier.attempts,
            self.failures - earlier.failures,
        )

    def traffic(self, group: str | None) -> Traffic:
        """Of that group; None = of all requests."""
        requests, errors = 0, Counter[str]()
        for labels, times in self.requests.items():
            if group is None or labels.group == group:
                requests += times
                if labels.error_type:
                    errors[labels.error_type] += times
        together = Latencies.empty()
        for place, latencies in self.latencies.items():
            if group is None or place[0] == group:
                together += latencies
        quantiles = (part.quantiles() for part in (together.overhead, together.first_byte, together.total))
        return Traffic(requests, dict(errors), *quantiles)

    def attempts_at(self, endpoint: str, group_attempts: int) -> AttemptsOfEndpoint:
        """At the endpoint of that id, of so many in its group."""
        attempts = self.attempts[endpoint]
        share = round(attempts / group_attempts, 4) if group_attempts else 0.0
        failures = {kind: times for (name, kind), times in self.failures.items() if name == endpoint}
        return AttemptsOfEndpoint(attempts, share, failures)


class Recent:
    """Keeps copies of the counts, the oldest of which is as old as the window."""

    def __init__(self, counts: RequestCounts, states: Mapping[str, EndpointState], clock: Clock) -> None:
        self._counts = counts
        self._states = states
        self._clock = clock
        self._copies = deque([Copy()], maxlen=COPIES)
        self._copied = clock.now()

    def watch(self, states: Mapping[str, EndpointState]) -> None:
        """The configuration was replaced: these are the endpoints from now on. Where one of them goes by another id the
        last minutes begin anew, as the copies are by id."""
        ids = {id(state): name for name, state in self._states.items()}
        self._states = states
        if any(ids.get(id(state), name) != name for name, state in states.items()):
            self._copies = deque([self._copy()], maxlen=COPIES)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(TICK_S)
            self.tick()

    def tick(self) -> None:
        """Some time has passed."""
        self._counts.tick()
        now = self._clock.now()
        if now - self._copied >= COPY_S:
            self._copied = now
            self._copies.append(self._copy())

    def __call__(self) -> Copy:
        """What happened since the oldest copy."""
        return self._copy().since(self._copies[0])

    def _copy(self) -> Copy:
        states = self._states
        attempts = Counter({name: state.attempts for name, state in states.items()})
        failures = Counter({(name, kind): n for name, state in states.items() for kind, n in state.failures.items()})
        return Copy(self._counts.counts(), self._counts.latencies(), attempts, failures)
