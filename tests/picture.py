"""The live picture of endpoints as the container composes it, without the rest."""

import asyncio
from collections.abc import Callable, Collection, Iterable

from application.endpoints.bucket import Bucket
from application.endpoints.endpoint_state import Lease
from application.endpoints.health import HealthTracker
from application.endpoints.ledger import Ledger
from application.endpoints.pool import EndpointPool, endpoint_states
from application.endpoints.replica_view import ReplicaView
from application.endpoints.room_signal import RoomSignal
from domain.endpoint import Endpoint
from domain.failure import Failure
from domain.group import ModelGroup
from domain.health.cooldown import HealthState
from domain.rate_limit.limit_reading import Readings
from domain.rate_limit.room import Room
from domain.rate_limit.token_estimate import Demand, Usage
from domain.routing.route_query import RouteQuery
from tests.fakes import FakeClock, RecordingAlarm


class Picture:
    """Everything that is known of the endpoints of some groups, and short words for what happens to them."""

    def __init__(
        self,
        groups: Iterable[ModelGroup],
        clock: FakeClock,
        alarm: RecordingAlarm | None = None,
        reserve: float = 0.02,
        draw: Callable[[], float] = lambda: 0.5,
    ) -> None:
        groups = tuple(groups)
        self.clock = clock
        self.states = endpoint_states(groups)
        self.ledger = Ledger(reserve, clock.now())
        self.signal = RoomSignal()
        self.report_due = asyncio.Event()
        self.pool = EndpointPool(groups, self.states, self.ledger, clock, self.signal)
        self.health = HealthTracker(self.states, clock, draw, alarm or RecordingAlarm(), self.signal, self.report_due)
        self.replicas = ReplicaView(self.states, self.ledger, self.signal)

    def pick(
        self, group: ModelGroup, client: str, demand: Demand, passed_over: Collection[str], affinity: str = ""
    ) -> Lease | None:
        return self.pool.pick(group, RouteQuery(demand, client, affinity), passed_over, self.clock.now())

    def pick_last_resort(
        self, group: ModelGroup, client: str, demand: Demand, passed_over: Collection[str]
    ) -> Lease | None:
        return self.pool.pick_last_resort(group, RouteQuery(demand, client), passed_over)

    def replied(self, lease: Lease, readings: Readings) -> None:
        self.health.replied(lease, readings)

    def succeeded(self, lease: Lease) -> None:
        self.health.succeeded(lease)

    def failed(self, lease: Lease, failure: Failure) -> None:
        self.health.failed(lease, failure)

    def release(self, lease: Lease, usage: Usage | None = None) -> None:
        self.pool.release(lease, usage)

    def state(self, endpoint: Endpoint) -> HealthState:
        return self.states[endpoint.id].shown(self.clock.now())[0]

    def cooling_s(self, endpoint: Endpoint) -> float:
        return self.states[endpoint.id].shown(self.clock.now())[1]

    def throttled_s(self, endpoint: Endpoint) -> float:
        return self.ledger.throttled_s(endpoint, self.clock.now())

    def room(self, endpoint: Endpoint, demand: Demand, now: float | None = None) -> Room:
        bucket = self.ledger.seen(endpoint, "")
        return bucket.room_for(bucket.need(demand), self.clock.now() if now is None else now)

    def known(self, endpoint: Endpoint) -> Bucket | None:
        return self.ledger.known(endpoint)
