"""How the whole proxy is, for `GET /status` and `GET /metrics`: what its workers counted, and what is now."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from application.observing.counted import Counted
from application.observing.recent import Recent
from application.observing.reload_state import Reloads, ReloadState
from application.observing.worker_reports import WorkerNow, WorkerReport
from application.use_cases.costs import CostStatus
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


class Running(Struct, frozen=True):
    version: str
    pid: int
    """Of the process that answers."""
    workers: int
    """How many share the port."""


class ProxyReport(Struct, frozen=True):
    """All of it, at one moment."""

    running: Running
    reload: ReloadState
    workers: Sequence[WorkerReport]
    counted: Counted
    """By all workers, since the start of the proxy."""
    recent: Counted
    """Of that, what came in the last minutes."""
    groups: tuple[GroupStatus, ...]
    stores: StoresStatus
    held: HeldStatus
    currency: str
    """What all costs are in."""
    cost: CostStatus | None
    """Of all groups; None = no endpoint has a price."""

    @property
    def nows(self) -> Sequence[WorkerNow]:
        """What the workers have in hand that are there."""
        return nows(self.workers)

    @property
    def started_unix(self) -> float:
        """When the oldest of these workers started."""
        return min((report.started_unix for report in self.workers if report.now is not None), default=0.0)


class ReportProxy(Struct, frozen=True):
    """Puts it together, from memory; nobody is asked."""

    _running: Running
    _groups: ReportStatus
    _stores: ReportStores
    _max_held_bytes: int
    _recent: Recent
    _workers: AllWorkers
    _reloads: Reloads
    _currency: str

    def __call__(self, besides: int) -> ProxyReport:
        """At this moment. So many requests in flight only ask for this."""
        workers = self._workers(besides)
        counted = total(report.counted for report in workers)
        recent = self._recent.since(counted)
        return ProxyReport(
            self._running,
            self._reloads.state,
            workers,
            counted,
            recent,
            self._groups(counted, recent, workers),
            self._stores(counted, workers),
            held_by(workers, self._max_held_bytes),
            self._currency,
            self._groups.cost(counted),
        )


class MetricsText(Protocol):
    """Makes the text of `GET /metrics`."""

    def __call__(self, report: ProxyReport, accept: str) -> tuple[str, bytes]:
        """Its content type, which `accept` (the header) has a say in, and the text. Takes milliseconds; may run in a
        thread."""
