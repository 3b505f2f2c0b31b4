"""When an endpoint is left alone, for how long, and how it comes back. Every rule about that lives here; what counts
for or against an endpoint at all is decided by `domain.failure` and `domain.health.evidence`.

closed --`allowed_fails` failures in a row--> cooling --time passes--> half-open --probe succeeds--> closed, ramping
                                                 ^                         |
                                                 +--- twice as long -------+ probe fails

A configuration fault (a refused key, a deployment that does not exist) cools at once and for `fault_s`. A rate limit is
no failure and never gets here: it has a throttle of its own (`domain.rate_limit`). An error of unknown cause is held
against the endpoint only when `UNKNOWN_REQUESTS` different requests in a row meet one.

Replicas report cooldowns and recoveries to each other (`domain.replica_report`). What another one found out is
believed where nothing newer is known here.
"""

import math
from enum import StrEnum

from msgspec import Struct, structs

from domain.health.cooldown_report import NO_COOLDOWN, CooldownReport
from domain.replica_moments import SKEW_S

NEVER = -math.inf

RAMP_END = 64  # once this many requests at a time went well after a cooldown, the endpoint takes all it is given
NO_CHANCE_S = 1.0  # how soon to look again where time alone opens nothing: what does open it says so

UNKNOWN_REQUESTS = 3  # so many different requests in a row are not all wrong: the endpoint is at fault


class HealthState(StrEnum):
    CLOSED = "closed"
    COOLING = "cooling"
    HALF_OPEN = "half-open"
    PROBING = "probing"


class EndpointHealth(Struct, frozen=True):
    """What is remembered of one endpoint's failures. `FRESH` is an endpoint nothing is known of."""

    failures: int = 0  # in a row; a success starts again from 0
    unknown: tuple[int, ...] = ()  # numbers of the different requests that met one since the last success
    opened_at: float = 0.0  # When the current cooldown began. What was sent before that has no say in it.
    open_until: float = 0.0  # when the current cooldown ends; 0 = none, the endpoint is closed
    cooldown_s: float = 0.0  # of the current cooldown, before jitter; a probe that fails doubles it
    probe_until: float = 0.0  # the end of the running probe's lease; 0 = no probe runs
    ramp: int = 0  # how many requests at a time the endpoint gets after a cooldown; 0 = as many as there are
    closed_at: float = NEVER  # when the request was sent that ended the last cooldown by going well
    opened_elsewhere: bool = False  # Did another replica begin the current cooldown? Then it is not ours to tell.
    closed_elsewhere: bool = False  # did another replica send the request of `closed_at`?
    on_trial: int = 0  # requests that were sent during a ramp and are not answered yet

    def state(self, now: float) -> HealthState:
        if not self.open_until:
            return HealthState.CLOSED
        if now < self.open_until:
            return HealthState.COOLING
        return HealthState.PROBING if now < self.probe_until else HealthState.HALF_OPEN

    @property
    def is_settled(self) -> bool:
        """Is it closed, and is there nothing that a success, or the start of a request, would change?"""
        return not (self.open_until or self.ramp or self.failures or self.unknown)

    def admits(self, now: float) -> bool:
        if self.open_until:
            return self.state(now) is HealthState.HALF_OPEN
        return not self.ramp or self.on_trial < self.ramp

    def opens_in_s(self, now: float) -> float:
        """Seconds until one more may go there, as far as time alone brings that; 0 = now."""
        if self.admits(now):
            return 0.0
        ends_in_s = max(self.open_until, self.probe_until) - now
        return ends_in_s if ends_in_s > 0.0 else NO_CHANCE_S


FRESH = EndpointHealth()


class CooldownPolicy(Struct, frozen=True):
    """How many failures cool an endpoint, and for how long. Times in seconds; jitter is a fraction of the cooldown."""

    allowed_fails: int = 1
    cooldown_s: float = 60.0
    max_cooldown_s: float = 300.0
    fault_s: float = 300.0
    jitter: float = 0.1
    probe_lease_s: float = 120.0

    def __post_init__(self) -> None:
        if self.allowed_fails < 1 or self.cooldown_s <= 0:
            raise ValueError("allowed_fails must be at least 1 and cooldown_time above 0 s")

    @property
    def longest_s(self) -> float:
        """No cooldown is longer, whatever its reason."""
        return max(self.max_cooldown_s, self.fault_s, self.cooldown_s)

    def after_start(self, health: EndpointHealth, now: float) -> EndpointHealth:
        """A request is sent: after a cooldown it is the probe, with a lease; in a ramp on trial until answered."""
        if health.ramp:
            return structs.replace(health, on_trial=health.on_trial + 1)
        if not health.open_until or health.state(now) is not HealthState.HALF_OPEN:
            return health
        return structs.replace(health, probe_until=now + self.probe_lease_s)

    def after_trial(self, health: EndpointHealth) -> EndpointHealth:
        return structs.replace(health, on_trial=health.on_trial - 1)

    def after_abandon(self, health: EndpointHealth, probe_until: float) -> EndpointHealth:
        """A probe ended without a verdict (its client left) and gives its lease back, if that is still its own."""
        return structs.replace(health, probe_until=0.0) if health.probe_until == probe_until else health

    def after_success(self, health: EndpointHealth, started: float) -> EndpointHealth:
        """A request sent at `started` went well. After a cooldown that closes the endpoint and begins the ramp. An
        answer to what was sent before the cooldown began says nothing about how the endpoint is now."""
        if health.open_until:
            closed = EndpointHealth(ramp=1, closed_at=started, on_trial=health.on_trial)
            return closed if started >= health.opened_at else health
        if not health.ramp:
            return health if health.is_settled else structs.replace(health, failures=0, unknown=())
        ramp = health.ramp * 2
        return structs.replace(health, failures=0, unknown=(), ramp=ramp if ramp < RAMP_END else 0)

    def after_failure(self, health: EndpointHealth, started: float, now: float, draw: float) -> EndpointHealth:
        """A request sent at `started` failed at `now`. `draw` in [0, 1) sets the jitter. Failures of what was sent
        before or during a cooldown do not lengthen it: only a probe does, after it."""
        if health.open_until:
            probed = started >= health.open_until
            return self._cooling(health, now, 2 * health.cooldown_s, draw) if probed else health
        failures = health.failures + 1
        if failures < self.allowed_fails:
            return structs.replace(health, failures=failures)
        return self._cooling(health, now, self.cooldown_s, draw)

    def after_unknown(
        self, health: EndpointHealth, request: int, started: float, now: float, draw: float
    ) -> EndpointHealth:
        """A request sent at `started` met an error of unknown cause at `now`. `request` is a number that tells it from
        others: a client that repeats itself is one. `draw` in [0, 1) sets the jitter.

        The very same object where that decides nothing. After a cooldown that this brought, one more such error of
        another request brings the next.
        """
        if request in health.unknown:
            return health
        if len(health.unknown) < UNKNOWN_REQUESTS:
            health = structs.replace(health, unknown=(*health.unknown, request))
        if len(health.unknown) < UNKNOWN_REQUESTS:
            return health
        if health.open_until:
            probed = started >= health.open_until
            return self._cooling(health, now, 2 * health.cooldown_s, draw) if probed else health
        return self._cooling(health, now, self.cooldown_s, draw)

    def after_fault(self, health: EndpointHealth, now: float) -> EndpointHealth:
        """The endpoint cannot work as configured: it cools at once, for `fault_s`, unless it cools longer already."""
        until = now + self.fault_s
        if health.open_until >= until:
            return health
        return self._open(health, now, until, self.fault_s)

    def report(self, health: EndpointHealth) -> CooldownReport:
        opened = health.open_until and not health.opened_elsewhere
        closed = health.closed_at != NEVER and not health.closed_elsewhere
        if not opened and not closed:
            return NO_COOLDOWN
        closed_at = health.closed_at if closed else None
        if not opened:
            return CooldownReport(closed_at=closed_at)
        return CooldownReport(health.opened_at, health.open_until, health.cooldown_s, closed_at)

    def after_report(
        self, health: EndpointHealth, report: CooldownReport, now: float, well_at: float = NEVER
    ) -> EndpointHealth:
        """Another replica says so; the very same object where that changes nothing.

        `well_at` is when the latest request was sent from here that went well: a cooldown that began before says
        how the endpoint was, not how it is. One whose end has passed already leaves the endpoint to be probed.
        """
        closed_at = _past(report.closed_at, now)
        if health.open_until and closed_at >= health.opened_at:
            on_trial = health.on_trial
            health = EndpointHealth(ramp=1, closed_at=closed_at, closed_elsewhere=True, on_trial=on_trial)
        elif closed_at > health.closed_at + SKEW_S:
            health = structs.replace(health, closed_at=closed_at, closed_elsewhere=True)
        opened_at = _past(report.opened_at, now)
        # What one replica tells is in order, however near its moments are; what different ones tell need not be.
        same = health.closed_elsewhere and abs(closed_at - health.closed_at) <= SKEW_S
        recovered_at = closed_at if same else health.closed_at + SKEW_S
        if report.open_until is None or opened_at <= max(recovered_at, well_at):
            return health
        limit_s = self.longest_s
        until = min(report.open_until, opened_at + limit_s)
        if not until or not until > max(opened_at, health.open_until + SKEW_S if health.open_until else NEVER):
            return health
        length_s = min(report.cooldown_s, limit_s) if report.cooldown_s > 0 else self.cooldown_s
        if health.open_until:
            opened_at = max(opened_at, health.opened_at)
        return structs.replace(self._open(health, opened_at, until, length_s), opened_elsewhere=True)

    def _open(self, health: EndpointHealth, now: float, until: float, length_s: float) -> EndpointHealth:
        opened = {"opened_at": now, "open_until": until, "cooldown_s": length_s, "opened_elsewhere": False}
        return structs.replace(health, probe_until=0.0, ramp=0, **opened)

    def _cooling(self, health: EndpointHealth, now: float, length_s: float, draw: float) -> EndpointHealth:
        limit_s = max(self.max_cooldown_s, self.cooldown_s)
        length_s = min(length_s, limit_s)
        jittered_s = min(length_s * (1 + self.jitter * (2 * draw - 1)), limit_s)
        failed = structs.replace(health, failures=health.failures + 1)
        return self._open(failed, now, now + jittered_s, length_s)


def _past(at: float | None, now: float) -> float:
    """A moment that was told, not after `now`. What cannot have been yet, or is no time at all, never was."""
    return min(at, now) if at is not None and NEVER < at <= now + SKEW_S else NEVER
