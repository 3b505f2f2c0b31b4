"""Whether a request waits for an earlier tier, though a later one could take it now (`max_wait_for_tier`)."""

from application.attempts.active_request import ActiveRequest
from application.endpoints.endpoint_state import Lease
from application.endpoints.pool import EndpointPool
from application.endpoints.waiting_queue import WaitingQueue
from domain.routing.availability import AMPLE, Availability

PUNCTUALITY = 0.9
"""A turn is an estimate: one that is due in the last tenth of the time comes too late as often as not."""


class TierWait:
    """Waits in the waiting queue, at the endpoints of the earlier tiers alone."""

    def __init__(self, pool: EndpointPool, waiting: WaitingQueue) -> None:
        self._pool = pool
        self._waiting = waiting

    def barred(self, active: ActiveRequest, now: float) -> frozenset[str] | None:
        """Endpoints (ids) that are not waited for: those of the first tier that could take the request at once and of
        all after it, and those that it cannot go to anyway. None = it does not wait.

        What is scarce in an earlier tier is taken without a wait: there is nothing better to keep it for. Of
        provisioned capacity ample room is waited for: what is kept free below its brim is not lost. Behind others it
        waits only if they should leave room for it in time: a line that is too long makes all late, and fills no tier
        better.
        """
        if now >= active.spill_at:
            return None
        group, query, state = active.group, active.query, active.state
        tiers = group.tiers()
        seen = self._pool.availabilities(group, query, state.standings, now)
        ready = min((tier for tier, each in zip(tiers, seen, strict=True) if each in AMPLE), default=None)
        if ready is None:
            return None  # all have to wait for room anyway: for whichever endpoint has some first
        first = max(1, ready)
        later = (endpoint.id for endpoint, tier in zip(group.endpoints, tiers, strict=True) if tier >= first)
        barred = frozenset((*state.standings, *later))
        if ready == 0:
            # It stands behind those that came before it. A request that failed somewhere goes on at once.
            return barred if not state.failures and self._waiting.waiting(group.name) else None
        ahead = self._waiting.ahead(group.name)
        is_scarce = any(
            tier < first and each is Availability.SCARCE and not endpoint.is_provisioned
            for endpoint, tier, each in zip(group.endpoints, tiers, seen, strict=True)
        )
        if is_scarce and not ahead.requests:
            return barred
        turn_s = self._pool.turn_in_s(group, query, barred, ahead)
        return barred if turn_s is not None and turn_s <= PUNCTUALITY * (_until(active) - now) else None

    async def lease(self, active: ActiveRequest, barred: frozenset[str]) -> Lease | None:
        """A lease on whichever endpoint that is not `barred` has room first. None = none had in time, or none is well
        by now; the request does not wait again then."""
        lease = await self._waiting.lease(active.group, active.query, barred, _until(active), by_choice=True)
        if lease is None:
            active.spill_at = 0.0
        return lease


def _until(active: ActiveRequest) -> float:
    return min(active.spill_at, active.state.must_end_by)
