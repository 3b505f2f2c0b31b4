"""What happened in the last minutes: the difference between the counts now and a copy of them from then."""

from collections import Counter, deque

from msgspec import Struct

from application.observing.counted import Counted
from application.observing.latencies import Latencies, Quantiles
from application.observing.request_counts import RequestCounts
from application.observing.tallies import EndpointTally
from application.observing.worker_reports import Workers
from application.ports import Clock

TICK_S = 0.25
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


def traffic(counted: Counted, group: str | None) -> Traffic:
    """Of that group; None = of all requests."""
    requests, errors = 0, Counter[str]()
    for labels, times in counted.requests.items():
        if group is None or labels.group == group:
            requests += times
            if labels.error_type and times:
                errors[labels.error_type] += times
    together = Latencies()
    for place, latencies in counted.latencies.items():
        if group is None or place.group == group:
            together += latencies
    quantiles = (part.quantiles() for part in (together.overhead, together.first_byte, together.total))
    return Traffic(requests, dict(errors), *quantiles)


def attempts_at(tally: EndpointTally, group_attempts: int) -> AttemptsOfEndpoint:
    """At that endpoint, of so many in its group."""
    share = round(tally.attempts / group_attempts, 4) if group_attempts else 0.0
    return AttemptsOfEndpoint(tally.attempts, share, {kind: times for kind, times in tally.failures.items() if times})


class Recent:
    """Keeps copies of the counts of all workers, the oldest of which is as old as the window."""

    def __init__(self, counts: RequestCounts, workers: Workers, clock: Clock) -> None:
        self._counts = counts
        self._workers = workers
        self._clock = clock
        self._copies = deque([workers.counted()], maxlen=COPIES)
        self._copied = clock.now()

    async def run(self) -> None:
        """Until cancelled. What was counted by then is known to the other workers."""
        try:
            while True:
                await self._clock.sleep(TICK_S)
                self.tick()
        finally:
            self._workers.publish()

    def tick(self) -> None:
        self._counts.tick()
        self._workers.publish()
        now = self._clock.now()
        if now - self._copied >= COPY_S:
            self._copied = now
            self._copies.append(self._workers.counted())

    def since(self, now: Counted) -> Counted:
        """What happened since the oldest copy; `now`: what all workers have counted."""
        return now.since(self._copies[0])
