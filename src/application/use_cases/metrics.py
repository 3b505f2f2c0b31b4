"""All that `GET /metrics` says: the counters of all workers and what is now, of which an adapter makes the text."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from application.observing.counted import NOTHING, Counted
from application.observing.reload_state import Reloads, ReloadState
from application.observing.worker_reports import WorkerNow, WorkerReport
from application.use_cases.overview import Running
from application.use_cases.status import (
    GroupStatus,
    HeldStatus,
    ReportStatus,
    ReportStores,
    StoresStatus,
    held_by,
    nows,
)
from application.use_cases.workers import AllWorkers, total


class Metrics(Struct, frozen=True):
    """All of it, at one moment."""

    version: str
    workers: Sequence[WorkerReport]
    counted: Counted
    """By all of them."""
    groups: Sequence[GroupStatus]
    stores: StoresStatus
    held: HeldStatus
    reload: ReloadState

    @property
    def nows(self) -> Sequence[WorkerNow]:
        """What the workers have in hand that are there."""
        return nows(self.workers)


class MetricsText(Protocol):
    """Makes the text."""

    def __call__(self, metrics: Metrics, accept: str) -> tuple[str, bytes]:
        """Its content type, which `accept` (the header) has a say in, and the text. Takes milliseconds; may run in a
        thread."""


class ReportMetrics:
    """Puts it together."""

    def __init__(
        self,
        running: Running,
        groups: ReportStatus,
        stores: ReportStores,
        max_held_bytes: int,
        workers: AllWorkers,
        reloads: Reloads,
    ) -> None:
        self._running = running
        self._groups = groups
        self._stores = stores
        self._max_held_bytes = max_held_bytes
        self._workers = workers
        self._reloads = reloads

    def __call__(self, besides: int) -> Metrics:
        """At this moment. So many requests in flight only ask for this."""
        workers = self._workers(besides)
        counted = total(report.counted for report in workers)
        return Metrics(
            self._running.version,
            workers,
            counted,
            self._groups(counted, NOTHING, workers),
            self._stores(counted, workers),
            held_by(workers, self._max_held_bytes),
            self._reloads.state,
        )
