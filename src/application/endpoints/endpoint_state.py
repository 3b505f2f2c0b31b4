"""One attempt's claim on an endpoint, and what is known of the endpoint it is a claim on."""

import asyncio
from collections.abc import Callable

from msgspec import Struct

from application.endpoints.bucket import Bucket
from application.messages import RequestTrace
from application.observing.tallies import EndpointTally
from application.ports import Clock
from domain.endpoint import Endpoint
from domain.failure import NEVER_SENT, Effect, Failure, FailureKind
from domain.health.cooldown import FRESH, NEVER, NO_CHANCE_S, CooldownPolicy, EndpointHealth, HealthState
from domain.health.cooldown_report import CooldownReport
from domain.health.evidence import HANGS, NO_SILENCE, is_of_one_use
from domain.rate_limit.reservation import Ending, Reservation
from domain.rate_limit.token_estimate import Usage
from domain.routing.route_query import RouteQuery

FIRST_CONTACT_S = 0.25
"""How long a burst waits for the first answer of an endpoint that nobody has heard of yet, so that one dead endpoint
costs one request and not the whole burst."""

_ANSWERED = Ending.ANSWERED
_OUT_OF_TIME = frozenset({FailureKind.DEADLINE, FailureKind.SLOW})
_KEY_REFUSED = frozenset({FailureKind.AUTH, FailureKind.KEY})


class Lease(Struct, eq=False):
    """One attempt's claim on an endpoint, from the pick to the last byte. Only `EndpointState` changes it, but for
    `when_released` and `trace`."""

    endpoint: Endpoint
    query: RouteQuery
    state: "EndpointState"
    bucket: Bucket
    held: Reservation
    started: float
    is_last_resort: bool = False
    when_released: Callable[[Usage | None], None] | None = None
    """Told once, with what the reply said that it took; None = nobody asks."""
    trace: RequestTrace | None = None
    """Where to write what the reply cost; None = nobody asks."""
    _is_open: bool = True
    _probe_until: float = 0.0
    """The lease of the probe that this attempt is; 0 = it is none."""
    _is_on_trial: bool = False
    _is_verdict: bool = False
    """Does what became of it say how the endpoint is?"""
    _ending: Ending = Ending.LEFT

    @property
    def is_known(self) -> bool:
        """Is its endpoint known to live, or not to be waited for? Else see `EndpointState.first_contact`."""
        return self.state.is_heard or self.is_last_resort


class EndpointState:
    """What is known of one endpoint now. It alone writes its health, and what changes of its leases."""

    __slots__ = (
        "_contact", "_contact_until", "_well_at", "_well_for", "endpoint", "health", "in_flight", "is_heard",
        "is_withheld", "policy", "refuses_key", "silence", "takes_all", "tally"
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint, policy: CooldownPolicy, tally: EndpointTally | None = None) -> None:
        """`tally` counts what is sent and what comes of it; None = nothing was counted yet."""
        self.endpoint = endpoint
        self.tally = tally or EndpointTally()
        self.policy = policy
        self.health: EndpointHealth = FRESH
        self.in_flight = 0
        self.is_withheld = False
        """Is there nothing to authorize requests with? That is no fault of the endpoint's, and ends at once."""
        self.takes_all = True
        """Is nothing the matter with it? Then requests come and go well without changing anything."""
        self.refuses_key = False
        """Was that the last fault of its configuration?"""
        self.silence = NO_SILENCE
        """What comes after requests that ran out of time without a byte, up to the last one."""
        self.is_heard = False
        """Has it ever answered, one way or the other?"""
        self._well_at = NEVER
        """When the latest request was sent that went well."""
        self._well_for: dict[str, float] = {}
        """The same, for each use."""
        self._contact = asyncio.Event()
        self._contact_until = 0.0

    def configure(self, endpoint: Endpoint, policy: CooldownPolicy, tally: EndpointTally) -> None:
        """The configuration now says this of it; what was found out stays. `tally`: of the id that it has now."""
        self.endpoint = endpoint
        self.policy = policy
        self.tally = tally

    def admits(self, now: float) -> bool:
        """May one more request go there?"""
        return self.takes_all or (not self.is_withheld and self.health.admits(now))

    def opens_in_s(self, now: float) -> float:
        """Seconds until one more may go there, as far as time alone brings that; 0 = now."""
        return NO_CHANCE_S if self.is_withheld else self.health.opens_in_s(now)

    def shown(self, now: float) -> tuple[HealthState, float]:
        """For people: its health, and the seconds until its cooldown ends (0 = none runs)."""
        state = HealthState.COOLING if self.is_withheld else self.health.state(now)
        return state, max(0.0, self.health.open_until - now)

    def withhold(self, is_withheld: bool) -> None:
        """A credential is missing, or there again."""
        self.is_withheld = is_withheld
        self._become(self.health)

    def begin(self, lease: Lease) -> None:
        """A request is about to be sent."""
        self.in_flight += 1
        if self.takes_all:
            return
        before = self.health
        self._become(self.policy.after_start(before, lease.started))
        if self.health.probe_until != before.probe_until:
            lease._probe_until = self.health.probe_until
        lease._is_on_trial = self.health.on_trial > before.on_trial

    async def first_contact(self, lease: Lease, clock: Clock) -> bool:
        """Let the first request to an endpoint that nothing is known of find out whether it lives, for at most
        `FIRST_CONTACT_S`. False = it does not, or has no room for so many: the lease is to be released, and another
        endpoint picked."""
        now = clock.now()
        if self.in_flight == 1:
            self._contact.clear()
            self._contact_until = now + FIRST_CONTACT_S
            return True
        if now < self._contact_until:
            try:
                with clock.timeout_at(self._contact_until):
                    await self._contact.wait()
            except TimeoutError:
                return self._is_kept(lease, clock)
        cooling = self.health.state(clock.now()) is HealthState.COOLING
        return not cooling and self._is_kept(lease, clock)

    def send(self) -> None:
        """A request is sent. Not each that began is: one may be released unsent."""
        self.tally.attempts += 1

    def leave_unsent(self, lease: Lease) -> None:
        """Nothing is sent with it: it took nothing of any limit."""
        lease._ending = Ending.UNSENT

    def replied(self) -> None:
        """A byte came after silence."""
        self.silence = NO_SILENCE

    def succeeded(self, lease: Lease) -> None:
        """A request was answered well. An answer beside its purpose says nothing of its health."""
        lease._ending = _ANSWERED
        query, started = lease.query, lease.started
        lease._is_verdict = not query.is_beside
        if lease._is_on_trial or not self.is_heard:
            self._hear(lease)
        if query.is_beside:
            return
        self._well_at = well_at = started if started > self._well_at else self._well_at
        self._well_for[query.use] = well_at
        if not self.takes_all:
            self._become(self.policy.after_success(self.health, started))

    def failed(self, lease: Lease, failure: Failure, now: float) -> tuple[Failure, Effect]:
        """An attempt failed: what is the matter, and what does that do to the endpoint?"""
        lease._is_verdict = True
        failures, kind = self.tally.failures, failure.kind.value
        failures[kind] = failures.get(kind, 0) + 1
        self._hear(lease)
        is_beside, use = lease.query.is_beside, lease.query.use
        if failure.kind in NEVER_SENT:
            lease._ending = Ending.UNSENT
        elif failure.is_refusal:
            lease._ending = Ending.REFUSED
        if failure.kind in _OUT_OF_TIME and not is_beside:
            self.silence = self.silence.after_timeout(now - lease.started)
            if self.silence.is_hang:
                self.silence, failure = NO_SILENCE, HANGS
        effect = failure.effect(is_beside=is_beside)
        if effect is Effect.FAULT:
            self._well_for.pop(use, None)
            effect = Effect.NONE if is_of_one_use(self._well_for, use, now, failure.kind) else effect
        if effect in (Effect.NONE, Effect.CLOCK):
            lease._is_verdict = False
        return failure, effect

    def count(self, lease: Lease, effect: Effect, now: float, draw: float) -> bool:
        """A failure counts, or is held against it (`Effect.SUSPECT`): does it cool for longer than it did?"""
        before = self.health
        if effect is Effect.COUNT:
            self._become(self.policy.after_failure(before, lease.started, now, draw))
        else:
            asked = hash(lease.query.body)
            self._become(self.policy.after_unknown(before, asked, lease.started, now, draw))
        cools = self.health.open_until > before.open_until
        if cools:
            self.tally.cooldowns += 1
        elif effect is Effect.SUSPECT:
            lease._is_verdict = False
        return cools

    def fault(self, failure: Failure, now: float) -> bool:
        """It cannot work as it is configured or paid: is that new?"""
        before = self.health
        self._become(self.policy.after_fault(before, now))
        self.refuses_key = failure.kind in _KEY_REFUSED
        is_new = before.state(now) is not HealthState.COOLING or before.cooldown_s != self.policy.fault_s
        self.tally.cooldowns += is_new
        return is_new

    def end(self, lease: Lease) -> Ending | None:
        """It is over; if nobody can say how it went, a probe gives its lease back. None = it was over already."""
        if not lease._is_open:
            return None
        lease._is_open = False
        self.in_flight -= 1
        if lease._is_on_trial:
            self._end_trial(lease)
        if not lease._is_verdict:
            if lease._probe_until:
                self._become(self.policy.after_abandon(self.health, lease._probe_until))
            self._contact.set()
        return lease._ending

    def took(self, usage: Usage, trace: RequestTrace | None = None) -> None:
        """A reply said what its request took. `trace`: where to write what that costs; None = nobody asks."""
        tally = self.tally
        tally.input_tokens += usage.prompt_tokens
        tally.output_tokens += usage.output_tokens
        if (usage.cached_tokens or usage.written_tokens) and usage.adds_up():  # else more would be cached than there is
            tally.cached_tokens += usage.cached_tokens
            tally.written_tokens += usage.written_tokens
        price = self.endpoint.price
        if price is None:
            tally.costs.unpriced += 1
            return
        cost = tally.costs.charge(usage, price, self.endpoint.baseline)
        if trace is not None:
            trace.cost = cost

    def took_unknown(self) -> None:
        """A reply did not say what its request took."""
        self.tally.costs.unpriced += 1

    def streamed(self, usage: Usage, seconds: float) -> None:
        """A stream said what it took; so long after its first content it was over."""
        if usage.output_tokens > 1:
            self.tally.between_tokens.add([1000.0 * seconds / (usage.output_tokens - 1)])

    def report(self) -> CooldownReport:
        """What was found out here."""
        return self.policy.report(self.health)

    def take(self, report: CooldownReport, now: float) -> bool:
        """Another replica says so: does it change anything?"""
        before = self.health
        self._become(self.policy.after_report(before, report, now, self._well_at))
        return self.health is not before

    def _become(self, health: EndpointHealth) -> None:
        self.health = health
        self.takes_all = health.is_settled and not self.is_withheld

    def _hear(self, lease: Lease) -> None:
        if not self.is_heard:
            self.is_heard = True
            self._contact.set()
        if lease._is_on_trial:
            self._end_trial(lease)

    def _end_trial(self, lease: Lease) -> None:
        lease._is_on_trial = False
        self._become(self.policy.after_trial(self.health))

    def _is_kept(self, lease: Lease, clock: Clock) -> bool:
        """Is there room for what was claimed before anybody knew how much there is?"""
        return not lease.bucket.is_overdrawn(clock.now())
