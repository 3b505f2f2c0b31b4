"""Whether an endpoint may be picked for a request, and if not, what keeps it away: the rule of the pick, for people.

`EndpointPool.pick` decides the same in fewer steps; a property test holds the two together.
"""

from enum import StrEnum

from domain.health.cooldown import EndpointHealth, HealthState
from domain.rate_limit.limit_state import LimitState
from domain.rate_limit.room import TOKEN_MARGIN, Room, room_for
from domain.rate_limit.throttle import Throttle


class Availability(StrEnum):
    """What one endpoint is for one request at one moment. The first four may be picked, in this order."""

    READY = "ready"
    LATER_TIER = "tier"
    """It could take the request, and does where no endpoint of an earlier tier can."""
    FALLBACK = "fallback"
    """The same of the last tier, that of weight 0."""
    SCARCE = "scarce"
    """The request may or may not fit its limits: asked only where no other endpoint has ample room."""
    THROTTLED = "throttled"
    """Its provider said 429, and until when."""
    NO_REQUESTS = "no room for requests"
    NO_TOKENS = "no room for tokens"
    COOLING = "cooling"
    PROBING = "probing"
    """Its cooldown is over, and one request finds out how it is."""
    RAMPING = "ramping"
    """It has as many requests as it gets at a time after a cooldown."""
    NO_CREDENTIAL = "no credential"
    TRIED = "already tried"


AMPLE = (Availability.READY, Availability.LATER_TIER, Availability.FALLBACK)
"""What has room for certain."""
PICKED = (*AMPLE, Availability.SCARCE)
"""What a pick takes: the first of these that there is, and of later tiers the earliest."""

_BY_HEALTH = {
    HealthState.COOLING: Availability.COOLING,
    HealthState.PROBING: Availability.PROBING,
    HealthState.CLOSED: Availability.RAMPING,
}


def availability(
    health: EndpointHealth,
    requests: LimitState,
    tokens: LimitState,
    throttle: Throttle,
    *,
    tier: int,
    weight: int,
    need: float,
    now: float,
    is_withheld: bool = False,
) -> Availability:
    """Of an endpoint that was not tried, for a request of `need` tokens. `tier` and `weight` are the effective ones
    of its group; `is_withheld`: has it no credential now?"""
    if is_withheld:
        return Availability.NO_CREDENTIAL
    if not health.admits(now):
        return _BY_HEALTH[health.state(now)]
    room = room_for(requests, tokens, throttle, need, now)
    if room is Room.AMPLE:
        later = Availability.LATER_TIER if weight else Availability.FALLBACK
        return later if tier else Availability.READY
    if room is Room.SCARCE:
        return Availability.SCARCE
    if throttle.opens_in_s(now):
        return Availability.THROTTLED
    is_by_requests = requests.fits_in_s(1.0, now) >= tokens.fits_in_s(need * TOKEN_MARGIN, now)
    return Availability.NO_REQUESTS if is_by_requests else Availability.NO_TOKENS
