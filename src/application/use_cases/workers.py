"""One worker speaks for all: its own report, and what the others have put down."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from functools import reduce
from operator import add
from typing import Protocol

from msgspec import Struct, structs

from application.endpoints.endpoint_state import EndpointState
from application.endpoints.waiting_queue import WaitingQueue
from application.held_bytes import HeldBytes
from application.observing.counted import NOTHING, Counted
from application.observing.request_counts import RequestCounts
from application.observing.tallies import Tallies
from application.observing.worker_reports import ProcessUse, WorkerNow, WorkerReport, WorkerReports
from application.ports import Clock
from application.state.detached import Detached
from application.store_ports import StoreHealth

REPEAT_S = 5.0
"""A report is put down again after so long, though nothing was counted."""


class Requests(Sized, Protocol):
    """The requests that are being answered."""

    @property
    def held(self) -> HeldBytes:
        """What is held for them."""

    @property
    def streams(self) -> int:
        """How many of them stream already."""


class Process(Struct, frozen=True):
    pid: int
    started_unix: float
    use: Callable[[], ProcessUse]


class ReportWorker(Struct):
    """What this worker has in hand, and has counted."""

    process: Process
    counts: RequestCounts
    _tallies: Tallies
    _states: Mapping[str, EndpointState]
    _waiting: WaitingQueue
    requests: Requests
    _connections: Sized
    _detached: Detached
    _cache: StoreHealth | None
    """None = answers are not kept."""

    def look_at(self, states: Mapping[str, EndpointState], waiting: WaitingQueue, cache: StoreHealth | None) -> None:
        """The configuration was replaced: these are what it has now."""
        self._states, self._waiting, self._cache = states, waiting, cache

    def counted(self, before: Counted) -> Counted:
        """Since the proxy started, by those in its place; not a copy. `before`: what `counts` and `tallies` go on
        from."""
        return structs.replace(
            self.counts.counted(),
            endpoints=self._tallies.counted(),
            held_refused=before.held_refused + self.requests.held.refused,
            worker_starts=before.worker_starts + 1,
            cpu_s=before.cpu_s + self.process.use().cpu_s,
        )

    def now(self, besides: int) -> WorkerNow:
        """At this moment; so many requests in flight are not to be counted."""
        cache = None if self._cache is None else self._cache.health()
        return WorkerNow(
            in_flight=max(0, len(self.requests) - besides),
            streams=self.requests.streams,
            connections=len(self._connections),
            held_bytes=self.requests.held.held_bytes,
            detached=self._detached.count,
            waiting=self._waiting.all_waiting(),
            at_endpoints={name: state.in_flight for name, state in self._states.items()},
            cache_entries=None if cache is None else cache.entries,
            cache_bytes=None if cache is None else cache.bytes,
            process=self.process.use(),
        )


class AllWorkers:
    """See `application.observing.worker_reports.Workers`."""

    def __init__(self, own: ReportWorker, reports: WorkerReports, clock: Clock) -> None:
        self._own = own
        self._reports = reports
        self._clock = clock
        self._told: tuple[int, int] = (-1, 0)
        """What was known when this worker's report was put down last."""
        self._told_at = 0.0

    def __call__(self, besides: int) -> Sequence[WorkerReport]:
        """The report of each, in order. So many requests that this one has in flight only ask for them. What is told
        here the others know from now on: whoever is asked next tells no less."""
        own = self._report(besides)
        self._reports.publish(own)
        own = structs.replace(own, counted=own.counted.copy())
        return sorted([own, *self._reports.others()], key=lambda report: report.number)

    def counted(self) -> Counted:
        return total(
            (self._own.counted(self._reports.inherited), *(each.counted for each in self._reports.others()))
        ).copy()

    def publish(self) -> None:
        counts, requests, now = self._own.counts, self._own.requests, self._clock.now()
        known = counts.total + len(counts.went_well), len(requests)
        if known != self._told or requests or now - self._told_at >= REPEAT_S:
            self._told, self._told_at = known, now
            self._reports.publish(self._report(0))

    def _report(self, besides: int) -> WorkerReport:
        own, process = self._own, self._own.process
        return WorkerReport(
            self._reports.number,
            process.pid,
            process.started_unix,
            own.counted(self._reports.inherited),
            own.now(besides),
            own.counts.decisions(),
        )


def total(counted: Iterable[Counted]) -> Counted:
    """All together; not a copy."""
    return reduce(add, counted, NOTHING)
