"""Whose turn it is: which endpoint a request goes to, and when a limit lets it in if none does now.

Reads the picture, and changes nothing of it but whose turn is next.
"""

from collections.abc import Callable, Collection, Iterable, Mapping

from application.endpoints.endpoint_state import EndpointState
from application.endpoints.ledger import Ledger
from domain.affinity import Affinity, Rendezvous
from domain.endpoint import Endpoint
from domain.group import ModelGroup
from domain.rate_limit.bucket import Room
from domain.rate_limit.token_estimate import Demand
from domain.selector import Selector

_AMPLE, _SCARCE = Room.AMPLE, Room.SCARCE


class _Turns:
    """Whose turn it is in one group."""

    __slots__ = ("members", "rendezvous", "selector", "weights")

    def __init__(self, group: ModelGroup, statuses: Mapping[str, EndpointState]) -> None:
        self.weights = group.weights()
        self.members = tuple(
            (index, endpoint, statuses[endpoint.id], weight)
            for index, (endpoint, weight) in enumerate(zip(group.endpoints, self.weights, strict=True))
        )
        self.selector = Selector.fresh(len(group.endpoints))
        self.rendezvous = Rendezvous.of(e.identity or e.id for e in group.endpoints)


class Picker:
    """Chooses among the endpoints of a group. Passed over or barred endpoints are given by their ids."""

    def __init__(
        self,
        groups: Iterable[ModelGroup],
        statuses: Mapping[str, EndpointState],
        ledger: Ledger,
        now: Callable[[], float],
    ) -> None:
        self._statuses = statuses
        self._ledger = ledger
        self._now = now
        self._turns = {group.name: _Turns(group, statuses) for group in groups}

    def pick(
        self, group: ModelGroup, client: str, demand: Demand, passed_over: Collection[str], affinity: str, now: float
    ) -> Endpoint | None:
        """See `EndpointPool.pick`."""
        turns, room_of = self._turns[group.name], self._ledger.room
        primary: list[int] = []
        fallback: list[int] = []
        scarce: list[Endpoint] = []
        for index, endpoint, status, weight in turns.members:
            if endpoint.id in passed_over or not status.admits(now):
                continue
            room = room_of(endpoint, client, demand, now)
            if room is _AMPLE:
                (primary if weight else fallback).append(index)
            elif room is _SCARCE:
                scarce.append(endpoint)
        candidates = primary or fallback
        if candidates:
            if affinity and group.affinity is Affinity.PROMPT_CACHE_KEY:
                return group.endpoints[turns.rendezvous.order(affinity, turns.weights, candidates)[0]]
            index, turns.selector = turns.selector.choose(turns.weights, candidates)
            return group.endpoints[index]
        return self._roomiest(scarce, client, demand, now) if scarce else None

    def pick_last_resort(
        self, group: ModelGroup, client: str, demand: Demand, passed_over: Collection[str], now: float
    ) -> Endpoint | None:
        """See `EndpointPool.pick_last_resort`."""
        candidates = [e for e in group.endpoints if e.id not in passed_over and self._lets_in(e, client, demand, now)]
        statuses = self._statuses
        return min(candidates, key=lambda e: (statuses[e.id].withheld, statuses[e.id].health.open_until), default=None)

    def others(self, group: ModelGroup, endpoint: Endpoint, tried: Collection[str]) -> bool:
        """Is there an endpoint that could take over at once, should this one come to nothing?"""
        now = self._now()
        for _, other, status, _ in self._turns[group.name].members:
            if other.id != endpoint.id and other.id not in tried and status.admits(now):
                return True
        return False

    def limited_s(self, group: ModelGroup, client: str, demand: Demand, barred: Collection[str]) -> float | None:
        """Seconds until the first endpoint without room has some again; None = none is without."""
        now = self._now()
        waits = [
            self._ledger.fits_in_s(e, client, demand, now)
            for e in group.endpoints
            if e.id not in barred and not self._statuses[e.id].withheld and not self._lets_in(e, client, demand, now)
        ]
        return min(waits, default=None)

    def is_overload(self, group: ModelGroup, client: str, demand: Demand, barred: Collection[str]) -> bool:
        """Is overload all that takes the room? To be asked where `limited_s` found an endpoint without."""
        now = self._now()
        return all(
            self._ledger.is_overloaded(e, client, now)
            for e in group.endpoints
            if e.id not in barred and not self._statuses[e.id].withheld and not self._lets_in(e, client, demand, now)
        )

    def _roomiest(self, scarce: list[Endpoint], client: str, demand: Demand, now: float) -> Endpoint:
        return max(scarce, key=lambda endpoint: self._ledger.share_left(endpoint, client, demand, now))

    def _lets_in(self, endpoint: Endpoint, client: str, demand: Demand, now: float) -> bool:
        return self._ledger.room(endpoint, client, demand, now) is not Room.NONE
