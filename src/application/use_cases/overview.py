"""All that `GET /status` says: what is now, what the last minutes brought, the last decisions."""

from collections.abc import Sequence
from itertools import chain

from msgspec import Struct, structs

from application.observing.decision import Decision
from application.observing.recent import WINDOW_S, Traffic, traffic
from application.observing.request_counts import newest
from application.use_cases.costs import CostStatus
from application.use_cases.proxy_report import ProxyReport
from application.use_cases.status import GroupStatus, HeldStatus, StoresStatus


class Worker(Struct, frozen=True):
    """The process that answers."""

    pid: int
    workers: int
    """How many share the port; the figures are of all of them."""


class WorkerStatus(Struct, frozen=True):
    number: int
    pid: int
    started_unix: int
    in_flight: int
    """Requests that it is answering."""


class ProxyStatus(Struct, frozen=True):
    version: str
    started_unix: int
    worker: Worker
    workers: tuple[WorkerStatus, ...]
    """Those that there are now, in order."""
    draining: bool
    """Has it been told to stop?"""
    in_flight: int
    """Requests that are being answered, those that wait included."""
    generation: int
    """Of the configuration: 1, and one more with each that was taken over since."""
    reloaded_unix: int
    """When this one was."""
    reload_refused_unix: int | None
    """When another one was refused since; None = none was."""
    reload_refusal: str
    """Why; empty = none was."""


class RecentTraffic(Traffic, frozen=True):
    """All requests of the last minutes."""

    window_s: float
    """How far back that is."""


class Overview(Struct, frozen=True):
    groups: tuple[GroupStatus, ...]
    stores: StoresStatus
    held: HeldStatus
    proxy: ProxyStatus
    recent: RecentTraffic
    currency: str
    cost: CostStatus | None
    """Of all groups, in that currency; None = no endpoint has a price."""
    decisions: Sequence[Decision]


def overview_of(report: ProxyReport, *, draining: bool) -> Overview:
    lately, told = traffic(report.recent, None), newest(chain.from_iterable(each.decisions for each in report.workers))
    return Overview(
        report.groups,
        report.stores,
        report.held,
        _proxy(report, draining=draining),
        RecentTraffic(
            lately.requests, lately.errors, lately.overhead_ms, lately.first_byte_ms, lately.total_ms, WINDOW_S
        ),
        report.currency,
        report.cost,
        [structs.replace(decision, unix=round(decision.unix, 1)) for decision in told],
    )


def _proxy(report: ProxyReport, *, draining: bool) -> ProxyStatus:
    running, reload = report.running, report.reload
    return ProxyStatus(
        running.version,
        int(report.started_unix),
        Worker(running.pid, running.workers),
        tuple(
            WorkerStatus(each.number, each.pid, int(each.started_unix), each.now.in_flight)
            for each in report.workers
            if each.now is not None
        ),
        draining,
        sum(now.in_flight for now in report.nows),
        reload.generation,
        int(reload.succeeded_unix),
        None if reload.refused_unix is None else int(reload.refused_unix),
        reload.refusal,
    )
