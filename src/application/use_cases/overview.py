"""All that `GET /status` says: what is now, what the last minutes brought, the last decisions. From memory; nobody is
asked."""

from collections.abc import Sequence
from itertools import chain

from msgspec import Struct, structs

from application.observing.decision import Decision
from application.observing.recent import WINDOW_S, Recent, Traffic, traffic
from application.observing.request_counts import newest
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


class Worker(Struct, frozen=True):
    """The process that answers."""

    pid: int
    workers: int
    """How many share the port; the figures are of all of them."""


class Running(Struct, frozen=True):
    """What runs, and since when."""

    version: str
    generation: int
    """Of the configuration: 1, and one more with each that was taken over since."""
    started_unix: int
    worker: Worker


class WorkerStatus(Struct, frozen=True):
    """One of the workers."""

    number: int
    pid: int
    started_unix: int
    in_flight: int
    """Requests that it is answering."""


class ProxyStatus(Running, frozen=True):
    """The proxy as such."""

    workers: tuple[WorkerStatus, ...]
    """Those that there are now, in order."""
    draining: bool
    """Has it been told to stop?"""
    in_flight: int
    """Requests that are being answered, those that wait included."""


class RecentTraffic(Traffic, frozen=True):
    """All requests of the last minutes."""

    window_s: float
    """How far back that is."""


class Overview(Struct, frozen=True):
    """All of it."""

    groups: tuple[GroupStatus, ...]
    stores: StoresStatus
    held: HeldStatus
    proxy: ProxyStatus
    recent: RecentTraffic
    decisions: Sequence[Decision]


class ReportOverview:
    """Puts it together."""

    def __init__(
        self,
        running: Running,
        groups: ReportStatus,
        stores: ReportStores,
        max_held_bytes: int,
        recent: Recent,
        workers: AllWorkers,
    ) -> None:
        self._running = running
        self._groups = groups
        self._stores = stores
        self._max_held_bytes = max_held_bytes
        self._recent = recent
        self._workers = workers

    def __call__(self, besides: int, *, draining: bool) -> Overview:
        """At this moment. So many requests in flight only ask for this."""
        running, workers = self._running, self._workers(besides)
        counted = total(report.counted for report in workers)
        recent = self._recent.since(counted)
        lately = traffic(recent, None)
        return Overview(
            self._groups(counted, recent, workers),
            self._stores(counted, workers),
            held_by(workers, self._max_held_bytes),
            ProxyStatus(
                running.version,
                running.generation,
                min(int(report.started_unix) for report in workers),
                running.worker,
                tuple(
                    WorkerStatus(each.number, each.pid, int(each.started_unix), each.now.in_flight)
                    for each in workers
                    if each.now is not None
                ),
                draining,
                sum(now.in_flight for now in nows(workers)),
            ),
            RecentTraffic(
                lately.requests, lately.errors, lately.overhead_ms, lately.first_byte_ms, lately.total_ms, WINDOW_S
            ),
            [
                structs.replace(decision, unix=round(decision.unix, 1))
                for decision in newest(chain.from_iterable(report.decisions for report in workers))
            ],
        )
