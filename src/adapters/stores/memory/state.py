"""What replicas know of endpoints, kept in memory: for one process, and for several "replicas" of a test."""

from collections.abc import Sequence

from adapters.stores.report_codec import decode_report, encode_report
from application.ports import Clock
from application.store_ports import HeardReport, StoreReport
from domain.replica_report import ReplicaReport


class MemoryEndpointStateStore:
    """An `EndpointStateStore` for all that hold this object. Never raises. Reports older than `keep_s` are gone."""

    def __init__(self, clock: Clock, keep_s: float = 600.0) -> None:
        self._clock = clock
        self._keep_s = keep_s
        self._reports: dict[str, tuple[float, bytes]] = {}
        """When each replica put its report down, and the report, encoded: it is what it was then, whatever its maker
        does to it, and passes the same checks as in any other store."""

    async def put(self, replica: str, report: ReplicaReport) -> None:
        packed = encode_report(report)
        if packed is None:
            return
        self._reports[replica] = (self._clock.now(), packed)
        for gone in [name for name in self._reports if self._age_s(name) > self._keep_s]:
            del self._reports[gone]

    async def others(self, replica: str) -> Sequence[HeardReport]:
        heard = []
        for name, (_, packed) in self._reports.items():
            age_s = self._age_s(name)
            if name == replica or age_s > self._keep_s:
                continue
            report = decode_report(packed)
            if report is not None:
                heard.append(HeardReport(name, age_s, report))
        return heard

    def _age_s(self, replica: str) -> float:
        return self._clock.now() - self._reports[replica][0]

    def health(self) -> StoreReport:
        return StoreReport(kind="memory", state="ok", entries=len(self._reports))
