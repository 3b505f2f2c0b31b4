"""Stand-ins for the outside world, for unit tests: a clock that is set, upstreams that say what they are told."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from adapters.clock import Timeout, Timeouts
from application.flow import Take, TakeFramed, pulled
from application.messages import Headers, UpstreamCall
from application.ports import UpstreamFailed
from application.store_ports import HeardReport, StoreUnavailable
from application.telemetry_ports import RequestRecord
from domain.endpoint import Endpoint
from domain.failure import Failure
from domain.replica_report import ReplicaReport


class StillTimeouts(Timeouts):
    """Limits that are looked at when the test lets time pass."""

    def arm(self, when: float, at_least_s: float = 0.0) -> None:
        if when <= self._now():
            asyncio.get_running_loop().call_soon(self.expire)


class FakeTimer:
    def __init__(self, when: float, work: Callable[[], object]) -> None:
        self.when = when
        self.work = work
        self.is_over = False

    def cancel(self) -> None:
        self.is_over = True


class FakeClock:
    """Time that passes only when it is told to, or slept; what is to end by it ends then."""

    def __init__(self, now: float = 1000.0) -> None:
        self.time = now
        self.slept: list[float] = []
        self._timeouts = StillTimeouts(self.now)
        self._timers: list[FakeTimer] = []

    def now(self) -> float:
        return self.time

    def unix(self) -> float:
        return 1_800_000_000.0 + self.time

    def timeout_at(self, when: float) -> Timeout:
        return Timeout(self._timeouts, when)

    def call_at(self, when: float, work: Callable[[], object]) -> FakeTimer:
        self._timers.append(FakeTimer(when, work))
        return self._timers[-1]

    def advance(self, seconds: float) -> None:
        self.time += seconds
        self._timeouts.expire()
        for timer in [each for each in self._timers if each.when <= self.time]:
            self._timers.remove(timer)
            if not timer.is_over:
                timer.work()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)


class HeldClock(FakeClock):
    """Sleepers wake when the test lets time pass, and not before."""

    def __init__(self) -> None:
        super().__init__()
        self.sleepers: list[tuple[float, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.time + seconds, future))
        await future

    async def pass_time(self, seconds: float) -> None:
        self.advance(seconds)
        for due, future in self.sleepers:
            if due <= self.time + 1e-6 and not future.done():
                future.set_result(None)
        for _ in range(10):
            await asyncio.sleep(0)


class FakeReply:
    """A reply made of pieces; a `Failure` among them is raised, a callable is called first."""

    def __init__(
        self, status: int, pieces: Iterable[bytes | Failure | Callable[[], None]], headers: Headers = ()
    ) -> None:
        self.status = status
        self.headers = headers
        self._pieces = list(pieces)
        self.closed = False

    def whole_now(self) -> bytes | None:
        return None

    async def receive(self) -> bytes:
        await asyncio.sleep(0)
        while self._pieces:
            piece = self._pieces.pop(0)
            if isinstance(piece, Failure):
                raise UpstreamFailed(piece)
            if isinstance(piece, bytes):
                return piece
            piece()
        return b""

    async def flow(self, take: Take, _: TakeFramed | None = None, /) -> bool:
        return await pulled(self.receive, take)

    def rest(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


Answer = FakeReply | Failure


class ScriptedUpstream:
    """Answers each URL's calls from its script; the last entry repeats for ever."""

    def __init__(self, scripts: dict[str, Sequence[Callable[[], Answer]]]) -> None:
        self._scripts = {url: list(script) for url, script in scripts.items()}
        self.calls: list[UpstreamCall] = []
        self.replies: list[FakeReply] = []

    async def send(self, call: UpstreamCall) -> FakeReply:
        self.calls.append(call)
        await asyncio.sleep(0)
        script = next(script for url, script in self._scripts.items() if call.url.startswith(url))
        answer = (script.pop(0) if len(script) > 1 else script[0])()
        if isinstance(answer, Failure):
            raise UpstreamFailed(answer)
        self.replies.append(answer)
        return answer

    async def close(self) -> None:
        return


class RecordingAlarm:
    """Remembers what it was told, as (what, endpoint id)."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def cooling(self, endpoint: Endpoint, failure: Failure, seconds: float) -> None:
        self.told.append(("cooling", endpoint.id))

    def fault(self, endpoint: Endpoint, failure: Failure, seconds: float) -> None:
        self.told.append(("fault", endpoint.id))

    def limited(self, endpoint: Endpoint, failure: Failure, seconds: float) -> None:
        self.told.append(("limited", endpoint.id))

    def recovered(self, endpoint: Endpoint) -> None:
        self.told.append(("recovered", endpoint.id))


class RecordingLog:
    """Keeps the records of finished requests."""

    def __init__(self) -> None:
        self.records: list[RequestRecord] = []
        self.crashes: list[BaseException] = []

    def record(self, record: RequestRecord, is_probe: bool = False) -> None:
        self.records.append(record)

    def crashed(self, request_id: str, error: BaseException) -> None:
        self.crashes.append(error)


class FakeStateStore:
    """Keeps the report of each replica, by a clock of its own; it can be away, take no writes, be emptied, or slow."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.reports: dict[str, tuple[float, ReplicaReport]] = {}
        self.puts: list[tuple[str, ReplicaReport]] = []
        self.put_down = asyncio.Event()
        self.away = False
        self.read_only = False
        self.broken: Exception | None = None
        self.latency_s = 0.0
        """What a report takes to be put down and to be read, together: it looks that much younger."""

    async def put(self, replica: str, report: ReplicaReport) -> None:
        if self.broken:
            raise self.broken
        if self.away or self.read_only:
            raise StoreUnavailable("away")
        self.puts.append((replica, report))
        self.reports[replica] = (self.clock.now(), report)
        self.put_down.set()

    async def others(self, replica: str) -> Sequence[HeardReport]:
        if self.away:
            raise StoreUnavailable("away")
        return [
            HeardReport(name, max(0.0, self.clock.now() - put_at - self.latency_s), report)
            for name, (put_at, report) in self.reports.items()
            if name != replica
        ]
