"""The live picture of all endpoints: which can take a request, which have one, how each is doing.

Everything here is synchronous and in one process: between reading the picture and changing it nothing else runs. The
rules are the domain's; this module holds their state.
"""

from collections.abc import Callable, Collection, Iterable

from application.endpoints.endpoint_state import EndpointState, Lease
from application.endpoints.health import HealthTracker
from application.endpoints.ledger import Ledger
from application.endpoints.picker import Picker
from application.endpoints.replica_view import ReplicaView
from application.ports import Clock, EndpointAlarm
from domain.cooldown import HealthState
from domain.endpoint import Endpoint
from domain.failure import Failure
from domain.group import ModelGroup
from domain.rate_limit.bucket import Readings, Room
from domain.rate_limit.token_estimate import Demand, Usage
from domain.replica_report import ReplicaReport

Draw = Callable[[], float]
"""A random number in [0, 1)."""

FIRST_CONTACT_S = 0.25
"""How long a burst waits for the first answer of an endpoint that nobody has heard of yet, so that one dead endpoint
costs one request and not the whole burst."""

NO_TIME_S = 1e-9
"""Of a limit that lets nothing in, and should by its own account."""


class EndpointPool:
    """Picks endpoints and learns from what becomes of the requests."""

    def __init__(
        self, groups: Iterable[ModelGroup], clock: Clock, draw: Draw, alarm: EndpointAlarm, reserve: float
    ) -> None:
        self._clock = clock
        self.groups = {group.name: group for group in groups}
        self.states = self._statuses = {
            endpoint.id: EndpointState(endpoint, group.cooldown)
            for group in reversed(self.groups.values())  # of several groups with one endpoint the first has the say
            for endpoint in group.endpoints
        }
        self.ledger = Ledger(reserve, clock.now())
        self._picker = Picker(self.groups.values(), self._statuses, self.ledger, clock.now)
        self._health_tracker = HealthTracker(self._statuses, self.ledger, clock, draw, alarm)
        self._shared = ReplicaView(self._statuses.values(), self.ledger)
        self._on_change: Callable[[], None] = _nothing
        self._on_change_at: Callable[[Lease], None] = _nothing
        self.limited_s = self._picker.limited_s
        self.is_overload = self._picker.is_overload

    def when_room_may_have_come(self, anywhere: Callable[[], None], at: Callable[[Lease], None] | None = None) -> None:
        """`anywhere` is called whenever a request that found no endpoint might find one now; `at` in its place where
        only the bucket of a lease and the health of its endpoint have changed."""
        self._on_change = anywhere
        self._on_change_at = self._health_tracker.on_recovery = (lambda _: anywhere()) if at is None else at

    def when_report_due(self, told: Callable[[], None]) -> None:
        """`told` is called whenever other replicas should soon hear of something: a cooldown, a 429, a recovery."""
        self._health_tracker.on_report_due = told

    def checkpoint(self, now: float) -> None:
        """Remember what was sent up to now, so that readings of other replicas can be compared with it."""
        self._shared.checkpoint(now)

    def report(self, now: float) -> ReplicaReport:
        """What was found out here and is still of interest to other replicas; nothing that they told."""
        return self._shared.report(now)

    def take(self, report: ReplicaReport, now: float) -> None:
        """What other replicas found out, in this one's time. No alarm is raised: they have raised theirs."""
        if self._shared.take(report, now):
            self._on_change()

    def withhold(self, endpoints: Collection[str], withheld: bool) -> None:
        """Endpoints (ids) that cannot be asked for want of a credential are passed over, until that is over."""
        for name in endpoints:
            self._statuses[name].withheld = withheld
        self._on_change()

    def pick(
        self, group: ModelGroup, client: str, demand: Demand, passed_over: Collection[str], affinity: str = ""
    ) -> Lease | None:
        """Claim the endpoint whose turn it is, among those that are well, have room and are not `passed_over` (ids).

        None = there is none. Endpoints of weight 0 are taken only when no other can be; one whose room is scarce only
        when none has ample room: then the one with the most. In a group with affinity a request that has an `affinity`
        key takes, instead of whose turn it is, the one that its key prefers of those; nobody's turn is used up.
        """
        now = self._clock.now()
        endpoint = self._picker.pick(group, client, demand, passed_over, affinity, now)
        return None if endpoint is None else self._claim(endpoint, client, demand, now, last_resort=False)

    def others(self, group: ModelGroup, lease: Lease, tried: Collection[str]) -> bool:
        """Is there an endpoint that could take over at once, should this lease's come to nothing?"""
        return self._picker.others(group, lease.endpoint, tried)

    def is_silent(self, lease: Lease) -> bool:
        """Did the last request to this endpoint run out of time without a byte?"""
        return self._statuses[lease.endpoint.id].silent > 0

    def pick_last_resort(
        self, group: ModelGroup, client: str, demand: Demand, passed_over: Collection[str]
    ) -> Lease | None:
        """Claim the endpoint whose cooldown ends first, well or not. None = all are limited or passed over."""
        now = self._clock.now()
        endpoint = self._picker.pick_last_resort(group, client, demand, passed_over, now)
        return None if endpoint is None else self._claim(endpoint, client, demand, now, last_resort=True)

    def read(self, lease: Lease, readings: Readings) -> None:
        """The headers of the reply came, good or not."""
        status = self._statuses[lease.endpoint.id]
        status.silent = status.hung = 0
        self.ledger.read(lease.held, readings, self._clock.now())
        self._on_change_at(lease)

    def learn(self, lease: Lease, usage: Usage) -> None:
        """The reply said what its request took."""
        self.ledger.learn(lease.held, lease.demand, usage)

    def is_known(self, lease: Lease) -> bool:
        """Is its endpoint known to live, or not to be waited for? Else see `first_contact`."""
        return lease.last_resort or self._statuses[lease.endpoint.id].heard

    async def first_contact(self, lease: Lease) -> bool:
        """Let the first request to an unknown endpoint find out whether it lives, for at most `FIRST_CONTACT_S`.

        False = it does not: the lease is returned and another endpoint should be picked.
        """
        if self.is_known(lease):
            return True
        status = self._statuses[lease.endpoint.id]
        now = self._clock.now()
        if status.in_flight == 1:
            status.contact.clear()
            status.contact_until = now + FIRST_CONTACT_S
            return True
        if now < status.contact_until:
            try:
                with self._clock.timeout_at(status.contact_until):
                    await status.contact.wait()
            except TimeoutError:
                return self._kept(lease)
        cooling = status.health.state(self._clock.now()) is HealthState.COOLING
        return not cooling and self._kept(lease)

    def succeeded(self, lease: Lease) -> None:
        """The endpoint answered well (a stream: its first content came)."""
        self._health_tracker.succeeded(lease)

    def failed(self, lease: Lease, failure: Failure) -> None:
        """The attempt failed. May also follow `succeeded`, when a stream breaks."""
        self._health_tracker.failed(lease, failure)

    def release(self, lease: Lease) -> None:
        """The attempt is over, whatever became of it. A second call does nothing."""
        if not lease.open:
            return
        lease.open = False
        status = self._statuses[lease.endpoint.id]
        status.end(lease)
        reached, refused, answered = lease.reached, lease.refused, lease.answered
        self.ledger.settle(lease.held, self._clock.now(), reached=reached, refused=refused, answered=answered)
        self._on_change_at(lease)

    def fits_in_s(self, endpoint: Endpoint, client: str, demand: Demand) -> float:
        """Seconds until the endpoint's limit may let a request in, as far as is known and however well it is. 0 = it
        does now; never 0 where it does not."""
        now = self._clock.now()
        if self.ledger.room(endpoint, client, demand, now) is not Room.NONE:
            return 0.0
        return self.ledger.fits_in_s(endpoint, client, demand, now) or NO_TIME_S

    def opens_in_s(self, endpoint: Endpoint) -> float:
        """Seconds until its health may let one more request in, whatever its limit says; 0 = it does now."""
        return self._statuses[endpoint.id].opens_in_s(self._clock.now())

    def state(self, endpoint: Endpoint) -> tuple[HealthState, float, float]:
        """For people: the health, and the seconds until its cooldown and its rate-limit clock end (0 = none runs)."""
        now = self._clock.now()
        status = self._statuses[endpoint.id]
        health = status.health
        state = HealthState.COOLING if status.withheld else health.state(now)
        return state, max(0.0, health.open_until - now), self.ledger.clock_s(endpoint, now)

    def ramp(self, endpoint: Endpoint) -> int:
        """How many requests at a time it gets after a cooldown; 0 = as many as there are."""
        return self._statuses[endpoint.id].health.ramp

    def refuses_key(self, endpoint: Endpoint) -> bool:
        """Is it left alone because it took the key for none of its own?"""
        status = self._statuses[endpoint.id]
        return status.refuses_key and status.health.open_until > 0

    def in_flight(self, endpoint: Endpoint) -> int:
        """How many requests are on it now."""
        return self._statuses[endpoint.id].in_flight

    def _kept(self, lease: Lease) -> bool:
        """Is there room for what was claimed before anybody knew how much there is? If not, it was never sent."""
        room = self.ledger.overdrawn(lease.held, self._clock.now())
        if room:
            lease.reached = False
        return not room

    def _claim(self, endpoint: Endpoint, client: str, demand: Demand, now: float, *, last_resort: bool) -> Lease:
        lease = Lease(endpoint, self.ledger.charge(endpoint, client, demand, now), demand, last_resort, now, client)
        self._statuses[endpoint.id].begin(lease, now)
        return lease


def _nothing(*_: Lease) -> None:
    """Nobody listens."""
