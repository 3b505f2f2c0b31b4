"""Picks the endpoint of a request: one that is well, has room, and whose turn it is.

Everything here is synchronous and in one process: between reading the picture and changing it nothing else runs.
Endpoints that are passed over or barred are given by their ids.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from application.endpoints.bucket import Bucket
from application.endpoints.endpoint_state import EndpointState, Lease
from application.endpoints.ledger import Ledger
from application.endpoints.room_signal import RoomSignal
from application.observing.tallies import Tallies
from application.ports import Clock
from domain.endpoint import Endpoint
from domain.group import ModelGroup
from domain.rate_limit.reservation import Ending
from domain.rate_limit.room import Ahead, Room, room_for
from domain.rate_limit.token_estimate import Usage
from domain.routing.affinity import Affinity, Rendezvous
from domain.routing.availability import Availability, availability
from domain.routing.route_query import RouteQuery
from domain.routing.selector import Selector

NO_TIME_S = 1e-9
"""Of a limit that lets nothing in, and should by its own account."""

_AMPLE, _SCARCE = Room.AMPLE, Room.SCARCE
_ANSWERED = Ending.ANSWERED


def endpoint_states(groups: Iterable[ModelGroup], tallies: Tallies | None = None) -> Mapping[str, EndpointState]:
    """By endpoint id. Of several groups with one endpoint the first has the say. `tallies` None = nothing was counted
    yet."""
    counts = tallies or Tallies()
    return {
        e.id: EndpointState(e, group.cooldown, counts.of(e.id, group.name))
        for group in reversed([*groups])
        for e in group.endpoints
    }


class _Turns:
    """The endpoints of one group by their tiers, and whose turn it is."""

    __slots__ = ("has_priorities", "members", "rendezvous", "selector", "tier_of", "tiers", "weights")

    def __init__(self, group: ModelGroup, states: Mapping[str, EndpointState], ledger: Ledger) -> None:
        self.weights = group.weights()
        self.tier_of = group.tiers()
        self.members = tuple(
            (index, endpoint, states[endpoint.id], ledger.own(endpoint))
            for index, endpoint in enumerate(group.endpoints)
        )
        self.tiers = tuple(
            tuple(member for member in self.members if self.tier_of[member[0]] == tier)
            for tier in range(max(self.tier_of) + 1)
        )
        self.has_priorities = any(w and tier for w, tier in zip(self.weights, self.tier_of, strict=True))
        # One for all tiers: only candidates earn and pay, and those are of one tier, so that none knows of the others.
        self.selector = Selector.fresh(len(group.endpoints))
        self.rendezvous = Rendezvous.of(e.identity or e.id for e in group.endpoints)


class EndpointPool:
    """Claims endpoints for requests, and takes them back."""

    def __init__(
        self,
        groups: Iterable[ModelGroup],
        states: Mapping[str, EndpointState],
        ledger: Ledger,
        clock: Clock,
        room: RoomSignal,
    ) -> None:
        self._states = states
        self._ledger = ledger
        self._clock = clock
        self._room = room
        self._turns = {group.name: _Turns(group, states, ledger) for group in groups}

    def pick(self, group: ModelGroup, query: RouteQuery, passed_over: Collection[str], now: float) -> Lease | None:
        """Claim at `now` the endpoint whose turn it is, among those that are well, have room and are not `passed_over`.

        None = there is none. A tier is used only where none before it has an endpoint with ample room; one whose room
        is scarce only when none at all has: then that of the earliest tier with the most, where priorities are
        configured, else of all. In a group with affinity a request that has an affinity key takes, instead of whose
        turn it is, the one that its key prefers of those; nobody's turn is used up.
        """
        turns = self._turns[group.name]
        # By index, the tokens that the request is expected to take there.
        candidates: dict[int, float] = {}
        scarce: dict[int, float] = {}
        demand = query.demand
        for tier in turns.tiers:
            for index, endpoint, state, own in tier:
                if (passed_over and endpoint.id in passed_over) or not (state.takes_all or state.admits(now)):
                    continue
                bucket = own or self._ledger.seen(endpoint, query.client)
                need = bucket.estimate.tokens(demand)
                room = room_for(bucket.requests, bucket.tokens, bucket.throttle, need, now)
                if room is _AMPLE:
                    candidates[index] = need
                elif room is _SCARCE:
                    scarce[index] = need
            if candidates:
                if query.affinity and group.affinity is Affinity.PROMPT_CACHE_KEY:
                    chosen = turns.rendezvous.order(query.affinity, turns.weights, candidates)[0]
                else:
                    chosen, turns.selector = turns.selector.choose(turns.weights, candidates)
                break
        else:
            if not scarce:
                return None
            candidates = scarce
            chosen = self._most_room(turns, query, scarce, now)
        _, endpoint, state, own = turns.members[chosen]
        bucket = own or self._ledger.charged(endpoint, query.client)
        lease = Lease(endpoint, query, state, bucket, bucket.charge(candidates[chosen], now), now)
        state.begin(lease)
        return lease

    def availabilities(
        self, group: ModelGroup, query: RouteQuery, passed_over: Collection[str], now: float
    ) -> list[Availability]:
        """For people: how `pick` sees each endpoint, in the order of the group. Nothing is claimed."""
        turns = self._turns[group.name]
        told = [Availability.TRIED] * len(turns.members)
        for index, state, bucket in self._not_barred(group, query, passed_over):
            told[index] = availability(
                state.health, bucket.requests, bucket.tokens, bucket.throttle,
                tier=turns.tier_of[index], weight=turns.weights[index], need=bucket.need(query.demand), now=now,
                is_withheld=state.is_withheld,
            )  # fmt: skip
        return told

    def pick_last_resort(self, group: ModelGroup, query: RouteQuery, passed_over: Collection[str]) -> Lease | None:
        """Claim the endpoint whose cooldown ends first, well or not. None = all are limited or passed over."""
        now = self._clock.now()
        candidates = [
            (state.is_withheld, state.health.open_until, index)
            for index, state, bucket in self._not_barred(group, query, passed_over)
            if bucket.room_for(bucket.need(query.demand), now) is not Room.NONE
        ]
        if not candidates:
            return None
        _, endpoint, state, _ = self._turns[group.name].members[min(candidates)[2]]
        bucket = self._ledger.charged(endpoint, query.client)
        held = bucket.charge(bucket.need(query.demand), now)
        lease = Lease(endpoint, query, state, bucket, held, now, is_last_resort=True)
        state.begin(lease)
        return lease

    def has_another(self, group: ModelGroup, lease: Lease, tried: Collection[str]) -> bool:
        """Is there an endpoint that could take over at once, should this lease's come to nothing?"""
        now = self._clock.now()
        for _, other, state, _ in self._turns[group.name].members:
            if other.id != lease.endpoint.id and other.id not in tried and state.admits(now):
                return True
        return False

    def limited_s(self, group: ModelGroup, query: RouteQuery, barred: Collection[str]) -> float | None:
        """Seconds until the first endpoint without room has some again; None = none is without."""
        now = self._clock.now()
        full, demand = self._full(group, query, barred, now), query.demand
        return min((bucket.fits_in_s(bucket.need(demand), now) for bucket in full), default=None)

    def turn_in_s(self, group: ModelGroup, query: RouteQuery, barred: Collection[str], ahead: Ahead) -> float | None:
        """Seconds until an endpoint that is well should have room for the request, which could go elsewhere, after its
        part, by weight, of those `ahead`; None = none is well."""
        now, weights, soonest = self._clock.now(), self._turns[group.name].weights, None
        well = [each for each in self._not_barred(group, query, barred) if each[1].admits(now)]
        total = sum(weights[index] or 1 for index, _, _ in well)
        for index, _, bucket in well:
            part = ahead.part((weights[index] or 1) / total)
            fits_in_s = bucket.turn_in_s(bucket.need(query.demand), now, part)
            soonest = fits_in_s if soonest is None else min(soonest, fits_in_s)
        return soonest

    def is_overload(self, group: ModelGroup, query: RouteQuery, barred: Collection[str]) -> bool:
        """Is overload all that takes the room? To be asked where `limited_s` found an endpoint without."""
        now = self._clock.now()
        return all(bucket.is_overloaded(now) for bucket in self._full(group, query, barred, now))

    def fits_in_s(self, endpoint: Endpoint, query: RouteQuery, *, by_choice: bool = False) -> float:
        """Seconds until the endpoint's limit may let a request in, as far as is known and however well it is. 0 = it
        does now; never 0 where it does not. `by_choice`: the request could go elsewhere, so that of a provisioned
        deployment it takes no scarce room."""
        now, bucket = self._clock.now(), self._ledger.seen(endpoint, query.client)
        need = bucket.need(query.demand)
        room = bucket.room_for(need, now)
        if room is _AMPLE or (room is _SCARCE and not (by_choice and bucket.is_leaky)):
            return 0.0
        seconds = bucket.fits_by_choice_in_s(need, now) if by_choice else bucket.fits_in_s(need, now)
        return seconds or NO_TIME_S

    def opens_in_s(self, endpoint: Endpoint) -> float:
        """Seconds until its health may let one more request in, whatever its limit says; 0 = it does now."""
        return self._states[endpoint.id].opens_in_s(self._clock.now())

    def refuses_key(self, endpoint: Endpoint) -> bool:
        """Is it left alone because it took the key for none of its own?"""
        state = self._states[endpoint.id]
        return state.refuses_key and state.health.open_until > 0

    async def first_contact(self, lease: Lease) -> bool:
        """Where nothing is known of the endpoint yet (`Lease.is_known`): does it live? If not the lease is released,
        and another endpoint should be picked."""
        try:
            lives = await lease.state.first_contact(lease, self._clock)
        except BaseException:
            self.give_back(lease)
            raise
        if not lives:
            self.give_back(lease)
        return lives

    def give_back(self, lease: Lease) -> None:
        """Nothing was sent with it, and nothing will be."""
        lease.state.leave_unsent(lease)
        self.release(lease)

    def release(self, lease: Lease, usage: Usage | None = None) -> None:
        """The attempt is over, whatever became of it. A second call does nothing. `usage` is what the reply said that
        it took; None = it did not."""
        ending = lease.state.end(lease)
        if ending is None:
            return
        if usage is not None:
            lease.state.took(usage, lease.trace)
            lease.bucket.learn(lease.query.demand, usage)
        elif ending is _ANSWERED and not lease.query.is_beside:
            lease.state.took_unknown()
        lease.bucket.settle(lease.held, ending, self._clock.now(), usage)
        if self._room.is_heard:
            self._room.at(lease)
        if lease.when_released is not None:
            lease.when_released(usage)

    def withhold(self, endpoints: Collection[str], withheld: bool) -> None:
        """Endpoints (ids) that cannot be asked for want of a credential are passed over, until that is over."""
        for name in endpoints:
            self._states[name].withhold(withheld)
        self._room.anywhere()

    def _most_room(self, turns: _Turns, query: RouteQuery, scarce: Mapping[int, float], now: float) -> int:
        """The index of the best of those whose room is scarce; `scarce`: what the request takes there, by index."""

        def rank(index: int) -> tuple[int, float, int]:
            _, endpoint, _, _ = turns.members[index]
            left = self._ledger.seen(endpoint, query.client).share_left(scarce[index], now)
            return turns.tier_of[index] if turns.has_priorities else 0, -left, index

        return min(scarce, key=rank)

    def _not_barred(
        self, group: ModelGroup, query: RouteQuery, barred: Collection[str]
    ) -> Iterator[tuple[int, EndpointState, Bucket]]:
        for index, endpoint, state, own in self._turns[group.name].members:
            if endpoint.id not in barred:
                yield index, state, own or self._ledger.seen(endpoint, query.client)

    def _full(self, group: ModelGroup, query: RouteQuery, barred: Collection[str], now: float) -> Iterator[Bucket]:
        """Those without room, though they could be asked."""
        for _, state, bucket in self._not_barred(group, query, barred):
            if not state.is_withheld and bucket.room_for(bucket.need(query.demand), now) is Room.NONE:
                yield bucket
