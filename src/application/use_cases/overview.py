"""All that `GET /status` says, of the worker that answers: what is now, what the last minutes brought, the last
decisions. From memory; nobody is asked."""

from collections.abc import Sequence

from msgspec import Struct

from application.observing.recent import WINDOW_S, Recent, Traffic
from application.observing.reload_state import Reloads
from application.observing.request_counts import RequestCounts
from application.use_cases.status import GroupStatus, HeldStatus, ReportHeld, ReportStatus, ReportStores, StoresStatus


class Worker(Struct, frozen=True):
    """The process that answers."""

    pid: int
    workers: int
    """How many share the port; what each counts is its own."""


class Running(Struct, frozen=True):
    """What runs, and since when."""

    version: str
    started_unix: int
    worker: Worker


class ProxyStatus(Running, frozen=True):
    """The proxy as such."""

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


class DecisionReport(Struct, frozen=True):
    """What was decided for one request, as the log says it; nothing of what its client sent."""

    request_id: str
    unix: float
    group: str
    api: str
    endpoint: str
    attempts: int
    reasons: str
    status: int
    outcome: str
    stream: bool
    cache: str
    total_ms: float
    first_byte_ms: float
    overhead_ms: float


class Overview(Struct, frozen=True):
    """All of it."""

    groups: tuple[GroupStatus, ...]
    stores: StoresStatus
    held: HeldStatus
    proxy: ProxyStatus
    recent: RecentTraffic
    decisions: Sequence[DecisionReport]


class ReportOverview:
    """Puts it together."""

    def __init__(
        self,
        running: Running,
        groups: ReportStatus,
        stores: ReportStores,
        held: ReportHeld,
        recent: Recent,
        counts: RequestCounts,
        reloads: Reloads,
    ) -> None:
        self._running = running
        self._groups = groups
        self._stores = stores
        self._held = held
        self._recent = recent
        self._counts = counts
        self._reloads = reloads

    def __call__(self, in_flight: int, *, draining: bool) -> Overview:
        """At this moment."""
        recent = self._recent()
        traffic = recent.traffic(None)
        return Overview(
            self._groups(recent),
            self._stores(),
            self._held(),
            self._proxy(in_flight, draining=draining),
            RecentTraffic(
                traffic.requests,
                traffic.errors,
                traffic.overhead_ms,
                traffic.first_byte_ms,
                traffic.total_ms,
                WINDOW_S,
            ),
            self._decisions(),
        )

    def _proxy(self, in_flight: int, *, draining: bool) -> ProxyStatus:
        running, state = self._running, self._reloads.state
        refused = state.refused_unix
        return ProxyStatus(
            running.version,
            running.started_unix,
            running.worker,
            draining,
            in_flight,
            state.generation,
            int(state.succeeded_unix),
            None if refused is None else int(refused),
            state.refusal,
        )

    def _decisions(self) -> Sequence[DecisionReport]:
        return [
            DecisionReport(
                record.request_id,
                round(unix, 1),
                group,
                record.api,
                record.endpoint,
                record.attempts,
                record.reasons,
                record.status,
                record.outcome,
                record.stream,
                record.cache,
                record.total_ms,
                record.first_byte_ms,
                record.overhead_ms,
            )
            for unix, group, record in self._counts.decisions()
        ]
