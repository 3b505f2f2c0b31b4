"""The waiting room against its rule, word for word: whatever happens, the same go to the same places in one order."""

import asyncio
from collections.abc import Callable, Collection

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from application.endpoints.endpoint_state import Lease
from application.endpoints.pool import EndpointPool
from application.endpoints.waiting_queue import WaitingQueue
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.health.cooldown import CooldownPolicy
from domain.rate_limit.limit_reading import Reading, Readings
from domain.rate_limit.token_estimate import Demand
from domain.routing.route_query import RouteQuery
from tests.examples import examples
from tests.fakes import HeldClock
from tests.picture import Picture


def endpoint(name: str, bucket: str, *, owns_credential: bool = True, weight: int = 1) -> Endpoint:
    return Endpoint(name, "m", "openai", weight, bucket, account=bucket, owns_credential=owns_credential)


OWN, BROUGHT = "own", "brought"
QUICK = CooldownPolicy(cooldown_s=3.0, max_cooldown_s=5.0, fault_s=6.0, probe_lease_s=10.0)
GROUPS = (
    ModelGroup("g", (endpoint("g/1", OWN), endpoint("g/2", "2", weight=3), endpoint("g/3", "3", weight=0)), QUICK),
    ModelGroup("h", (endpoint("h/1", OWN), endpoint("h/2", BROUGHT, owns_credential=False)), QUICK),
    ModelGroup("i", (endpoint("i/1", BROUGHT, owns_credential=False),), QUICK),
)
SMALL, LARGE = (Demand(text_bytes=4 * tokens, max_output_tokens=0) for tokens in (10, 90))
TOKENS, TOKENS_A_SECOND = 3000, 50.0
"""So many come back in the 2 s for which a limit is believed that whoever lacks some is not let in at a guess."""

GROUP, CLIENT, DEMAND = st.sampled_from(GROUPS), st.sampled_from(["", "x", "y"]), st.sampled_from([SMALL, LARGE])
FAILURES = {
    "limited": Failure(FailureKind.RATE_LIMITED, retry_after_s=2.0),
    "reset": Failure(FailureKind.RESET),
    "not connected": Failure(FailureKind.CONNECT),
    "refused": Failure(FailureKind.AUTH),
}


class Picks(EndpointPool):
    """A pool that tells who was sent where."""

    def note(self, running: list[Lease], served: list[tuple[int, str]]) -> None:
        self.running, self.served = running, served

    def pick(self, group: ModelGroup, query: RouteQuery, passed_over: Collection[str], now: float) -> Lease | None:
        lease = super().pick(group, query, passed_over, now)
        if lease is not None:
            self.running.append(lease)
            self.served.append((int(query.affinity), lease.endpoint.id))
        return lease

    def pick_last_resort(self, group: ModelGroup, query: RouteQuery, passed_over: Collection[str]) -> Lease | None:
        lease = super().pick_last_resort(group, query, passed_over)
        if lease is not None:
            self.running.append(lease)
            self.served.append((-1, lease.endpoint.id))
        return lease


class World(Picture):
    """Groups nothing is known of, and who was sent where. A request's number is its key for affinity, which none of the
    groups has."""

    def __init__(self) -> None:
        super().__init__(GROUPS, HeldClock(), reserve=0.0)
        self.running: list[Lease] = []
        self.served: list[tuple[int, str]] = []
        self.pool = picks = Picks(GROUPS, self.states, self.ledger, self.clock, self.signal)
        picks.note(self.running, self.served)

    def end(self, which: int, how: str, requests: int, tokens: int) -> None:
        lease = self.running.pop(which % len(self.running))
        if how in ("answer", "limited"):
            asked = Reading(60, requests, 60.0 - requests)
            self.replied(lease, Readings(asked, Reading(TOKENS, tokens, (TOKENS - tokens) / TOKENS_A_SECOND)))
        if how == "answer":
            self.succeeded(lease)
        elif how in FAILURES:
            self.failed(lease, FAILURES[how])
        self.release(lease)

    def ask(self, group: ModelGroup, client: str, demand: Demand, *, last_resort: bool) -> None:
        if self.pick(group, client, demand, (), "0") is None and last_resort:
            self.pick_last_resort(group, client, demand, ())


class NaiveRoom:
    """Everybody is looked at, whatever happened. Who finds no endpoint keeps all of them from those behind."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.waiting: dict[int, tuple[float, ModelGroup, str, Demand, frozenset[str]]] = {}

    def walk(self) -> None:
        kept: set[tuple[str, str]] = set()
        for number, waiter in sorted(self.waiting.items(), key=lambda item: (item[1][0], item[0])):
            _, group, client, demand, barred = waiter
            stands = {(e.id, "" if e.owns_credential else client) for e in group.endpoints if e.id not in barred}
            passed_over = barred | {name for name, _ in stands & kept}
            if self.world.pick(group, client, demand, passed_over, str(number)) is not None:
                del self.waiting[number]
            elif stands and not stands & kept and self._none_is_well(group, RouteQuery(demand, client), barred):
                self.world.pick_last_resort(group, client, demand, barred)
                del self.waiting[number]
            else:
                kept |= stands

    def _none_is_well(self, group: ModelGroup, query: RouteQuery, barred: frozenset[str]) -> bool:
        """Have all room for it, and is it only their health that keeps it out?"""
        pool = self.world.pool
        allowed = [endpoint for endpoint in group.endpoints if endpoint.id not in barred]
        return all(pool.opens_in_s(e) > 0 and not pool.fits_in_s(e, query) for e in allowed)


class AnyCrowd(RuleBasedStateMachine):
    """Requests come and wait, leave, pick without having waited, are answered, limited, fail; time passes."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.Runner()
        self.real, self.naive = World(), World()
        self.room, self.model = WaitingQueue(self.real.pool, self.real.signal, self.real.clock), NaiveRoom(self.naive)
        self.tasks: dict[int, asyncio.Task[Lease | None]] = {}
        self.number = 0

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        for task in self.tasks.values():
            task.cancel()
        self.loop.run(self.real.clock.pass_time(0.0))
        self.loop.close()
        assert not self.room.halls
        assert not self.room._doors
        assert not self.room._noted
        assert not self.room._timers._heap
        assert self.room._timers._sleeper is None

    def happens(self, what: Callable[[World], object], seconds: float = 0.0) -> None:
        """The same in both worlds, then time passes."""

        async def really() -> None:
            what(self.real)
            await self.real.clock.pass_time(seconds)

        self.loop.run(really())
        what(self.naive)
        self.naive.clock.advance(seconds)
        self.model.walk()

    @rule(
        group=GROUP, client=CLIENT, demand=DEMAND, barred=st.sets(st.integers(0, 2)), patience=st.integers(1000, 1003)
    )
    def one_comes_to_wait(
        self, group: ModelGroup, client: str, demand: Demand, barred: set[int], patience: int
    ) -> None:
        self.number += 1
        ids = frozenset(e.id for index, e in enumerate(group.endpoints) if index in barred)
        until, number = self.real.clock.now() + patience, self.number

        def comes(world: World) -> None:
            if world is self.naive:
                self.model.waiting[number] = (until, group, client, demand, ids)
            else:
                waits = self.room.lease(group, RouteQuery(demand, client, str(number)), ids, until)
                self.tasks[number] = asyncio.ensure_future(waits)

        self.happens(comes)

    @precondition(lambda self: self.model.waiting)
    @rule(which=st.integers(0, 50))
    def one_that_waits_leaves(self, which: int) -> None:
        number = sorted(self.model.waiting)[which % len(self.model.waiting)]
        del self.model.waiting[number]
        self.happens(lambda world: world is self.real and self.tasks.pop(number).cancel())

    @rule(group=GROUP, client=CLIENT, demand=DEMAND, last_resort=st.booleans())
    def one_does_not_wait(self, group: ModelGroup, client: str, demand: Demand, last_resort: bool) -> None:
        self.happens(lambda world: world.ask(group, client, demand, last_resort=last_resort))

    @precondition(lambda self: self.real.running)
    @rule(
        which=st.integers(0, 50),
        how=st.sampled_from(["answer", "answer", "left", *FAILURES]),
        requests=st.sampled_from([0, 0, 1, 2, 5]),
        tokens=st.sampled_from([0, 0, 15, 100, 200]),
    )
    def one_ends(self, which: int, how: str, requests: int, tokens: int) -> None:
        self.happens(lambda world: world.end(which, how, requests, tokens))

    @rule(withheld=st.booleans(), names=st.sets(st.sampled_from(["g/1", "g/2", "h/2", "i/1"])))
    def credentials_come_or_go(self, names: set[str], withheld: bool) -> None:
        self.happens(lambda world: world.pool.withhold(names, withheld))

    @rule(seconds=st.sampled_from([0.0137, 0.37, 1.13, 3.77, 11.3]))
    def time_passes(self, seconds: float) -> None:
        self.happens(lambda world: None, seconds)

    @invariant()
    def the_same_go_to_the_same_endpoints_in_one_order(self) -> None:
        self.tasks = {number: task for number, task in self.tasks.items() if not task.done()}
        assert self.real.served == self.naive.served
        assert set(self.tasks) == set(self.model.waiting)
        assert all(
            self.room.waiting(group.name) == sum(waiter[1] is group for waiter in self.model.waiting.values())
            for group in GROUPS
        )


TestAnyCrowd = AnyCrowd.TestCase
TestAnyCrowd.settings = settings(max_examples=examples(20), stateful_step_count=100)
