"""What replicas find out about endpoints, told to each other through a store.

The picture that decides stays in this process (`application.endpoints`); a task beside it puts down what was found out
here, and takes in what the others put down. A store that is away costs nothing but this exchange. Times travel as
seconds from the moment a report was put down, and its age is told by the store's clock alone, so that the clocks of the
hosts may be as far apart as they like.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from application.endpoints.replica_view import ReplicaView
from application.ports import Clock
from application.store_ports import EndpointStateStore, StoreUnavailable
from application.telemetry_ports import RequestLog
from domain.replica_moments import SKEW_S
from domain.replica_report import ReplicaReport

TICK_S = 0.1
GATHER_S = 0.02
"""How long an urgent report waits for more: a bill that is not paid cools many endpoints at one moment, and a flood of
failures must not become a flood of reports."""
REFRESH_S = 5.0  # how often a report is put down again that has not changed, in case the store lost it


class Replication:
    """The exchange of one replica. `replica` names one life of one process: what an earlier life put down under
    another name is taken in like anybody's, what it put down under the same name would be lost."""

    def __init__(
        self,
        view: ReplicaView,
        store: EndpointStateStore,
        clock: Clock,
        replica: str,
        log: RequestLog,
        report_due: asyncio.Event,
        tick_s: float = TICK_S,
    ) -> None:
        self._view = view
        self._store = store
        self._clock = clock
        self._replica = replica
        self._log = log
        self._tick_s = tick_s
        self._report_due = report_due
        self._put: ReplicaReport | None = ReplicaReport()  # what the store holds of this replica; None = not certain
        self._put_at = 0.0
        self._heard: dict[str, tuple[ReplicaReport, float]] = {}  # the last report of each other replica, and when
        self._crashing = False

    def look_at(self, view: ReplicaView, store: EndpointStateStore) -> None:
        """The configuration was replaced: this is the picture from now on, and what others say is taken in anew, as it
        may be about an endpoint that was none of ours."""
        self._view = view
        self._store = store
        self._heard = {}

    async def load(self) -> None:
        """Take in, before the first request, what is known. Waits as long as the store lets it; never raises."""
        self._tell(await self._half(self._take_others))

    async def run(self) -> None:
        """Until cancelled. Nothing else ends it."""
        while True:
            await self._pause()
            await self.exchange()

    async def exchange(self) -> None:
        """One round: put down what is new here, take in what is new elsewhere, each by itself. Raises nothing."""
        put_error = await self._half(self._put_own)
        take_error = await self._half(self._take_others)
        self._tell(put_error or take_error)

    async def _half(self, half: Callable[[], Awaitable[None]]) -> Exception | None:
        """Do one half of a round. What went wrong unexpectedly is returned; a store that is away is no surprise."""
        try:
            await half()
        except StoreUnavailable:
            # It may come back empty: then everything is to be put down again.
            self._put = None
        except Exception as error:
            return error
        return None

    def _tell(self, error: Exception | None) -> None:
        """Once when rounds begin to go wrong, not in each."""
        if error is not None and not self._crashing:
            self._log.crashed("", error)
        self._crashing = error is not None

    async def _pause(self) -> None:
        """Until the next round is due, or something happens that the others should know soon."""
        with contextlib.suppress(TimeoutError):
            with self._clock.timeout_at(self._clock.now() + self._tick_s):
                await self._report_due.wait()
            await self._clock.sleep(GATHER_S)
        self._report_due.clear()

    async def _put_own(self) -> None:
        now = self._clock.now()
        self._view.checkpoint(now)
        report = self._view.report(now)
        if report.is_empty and self._put is None:
            return
        if report == self._put and (report.is_empty or now - self._put_at < REFRESH_S):
            return
        self._put = None
        await self._store.put(self._replica, report.shifted(-now))
        self._put = report
        self._put_at = now

    async def _take_others(self) -> None:
        """All of it as soon as any of it is new: what meant nothing before may mean something now."""
        everybody = await self._store.others(self._replica)
        now = self._clock.now()
        before, self._heard = self._heard, {h.replica: (h.report, now - h.age_s) for h in everybody}
        if all(_is_same(heard, before.get(name)) for name, heard in self._heard.items()):
            return
        heard = ReplicaReport()
        for report, put_at in self._heard.values():
            heard = heard.merged(report.shifted(put_at))
        self._view.take(heard, now)


def _is_same(heard: tuple[ReplicaReport, float], before: tuple[ReplicaReport, float] | None) -> bool:
    """Is it the very report that was heard before? Its age is measured anew each time, and never twice the same."""
    return before is not None and heard[0] is before[0] and abs(heard[1] - before[1]) < SKEW_S
