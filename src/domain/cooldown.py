"""When an endpoint is left alone, for how long, and how it comes back. Every rule about that lives here.

closed --`allowed_fails` failures in a row--> cooling --time passes--> half-open --probe succeeds--> closed, ramping
                                                 ^                         |
                                                 +--- twice as long -------+ probe fails

A configuration fault (a refused key, a deployment that does not exist) cools at once and for `fault_s`. A rate limit is
no failure and never gets here: it has a clock of its own (`domain.rate_limit`).
"""

from enum import StrEnum

from msgspec import Struct, structs

RAMP_END = 64
"""Once this many requests at a time went well after a cooldown, the endpoint takes all it is given."""


class HealthState(StrEnum):
    """What an endpoint's health says at one moment."""

    CLOSED = "closed"
    COOLING = "cooling"
    HALF_OPEN = "half-open"
    PROBING = "probing"


class EndpointHealth(Struct, frozen=True):
    """What is remembered of one endpoint's failures. `FRESH` is an endpoint nothing is known of."""

    failures: int = 0
    """In a row; a success starts again from 0."""
    opened_at: float = 0.0
    """When the current cooldown began. What was sent before that has no say in it."""
    open_until: float = 0.0
    """When the current cooldown ends; 0 = none, the endpoint is closed."""
    cooldown_s: float = 0.0
    """The length of the current cooldown before jitter: the next one, if the probe fails, is twice as long."""
    probe_until: float = 0.0
    """The end of the running probe's lease; 0 = no probe runs."""
    ramp: int = 0
    """How many requests at a time the endpoint gets after a cooldown; 0 = as many as there are."""

    def state(self, now: float) -> HealthState:
        """What the endpoint is at `now`."""
        if not self.open_until:
            return HealthState.CLOSED
        if now < self.open_until:
            return HealthState.COOLING
        return HealthState.PROBING if now < self.probe_until else HealthState.HALF_OPEN

    def admits(self, now: float, on_trial: int) -> bool:
        """May one more request go there, beside `on_trial` others that were sent since it recovered and have not been
        answered yet?"""
        if self.open_until:
            return self.state(now) is HealthState.HALF_OPEN
        return not self.ramp or on_trial < self.ramp


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

    def after_start(self, health: EndpointHealth, now: float) -> EndpointHealth:
        """A request is sent: if a cooldown has just ended it is the probe, and takes the lease."""
        if health.state(now) is not HealthState.HALF_OPEN:
            return health
        return structs.replace(health, probe_until=now + self.probe_lease_s)

    def after_abandon(self, health: EndpointHealth, probe_until: float) -> EndpointHealth:
        """A probe ended without a verdict (its client left) and gives its lease back, if that is still its own."""
        return structs.replace(health, probe_until=0.0) if health.probe_until == probe_until else health

    def after_success(self, health: EndpointHealth, started: float) -> EndpointHealth:
        """A request sent at `started` went well. After a cooldown that closes the endpoint and begins the ramp.

        An answer to what was sent before the cooldown began says nothing about how the endpoint is now.
        """
        if health.open_until:
            return EndpointHealth(ramp=1) if started >= health.opened_at else health
        if not health.ramp:
            return FRESH if health.failures else health
        ramp = health.ramp * 2
        return EndpointHealth(ramp=ramp if ramp < RAMP_END else 0)

    def after_failure(self, health: EndpointHealth, started: float, now: float, draw: float) -> EndpointHealth:
        """A request sent at `started` failed at `now`. `draw` in [0, 1) sets the jitter.

        Failures of what was sent before or during a cooldown do not lengthen it: only a probe does, after it.
        """
        if health.open_until:
            probed = started >= health.open_until
            return self._cooling(health, now, 2 * health.cooldown_s, draw) if probed else health
        failures = health.failures + 1
        if failures < self.allowed_fails:
            return EndpointHealth(failures=failures, ramp=health.ramp)
        return self._cooling(health, now, self.cooldown_s, draw)

    def after_fault(self, health: EndpointHealth, now: float) -> EndpointHealth:
        """The endpoint cannot work as configured: it cools at once, for `fault_s`, unless it cools longer already."""
        until = now + self.fault_s
        if health.open_until >= until:
            return health
        return EndpointHealth(opened_at=now, open_until=until, cooldown_s=self.fault_s)

    def _cooling(self, health: EndpointHealth, now: float, length_s: float, draw: float) -> EndpointHealth:
        limit_s = max(self.max_cooldown_s, self.cooldown_s)
        length_s = min(length_s, limit_s)
        jittered_s = min(length_s * (1 + self.jitter * (2 * draw - 1)), limit_s)
        return EndpointHealth(
            failures=health.failures + 1, opened_at=now, open_until=now + jittered_s, cooldown_s=length_s
        )
