"""What one replica finds out, the others know: through a store, whatever their clocks say and whatever befalls it."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from application.endpoints.bucket import Bucket
from application.endpoints.endpoint_state import Lease
from application.endpoints.ledger import KEPT_S, ChargeHistory
from application.state.replication import REFRESH_S, Replication
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.health.cooldown import HealthState
from domain.health.cooldown_report import COOLDOWN_TOLD_S, CooldownReport
from domain.rate_limit.limit_reading import Reading, Readings
from domain.rate_limit.limit_report import BucketReport, Charged
from domain.rate_limit.limit_state import ECHO_S
from domain.rate_limit.room import Room
from domain.rate_limit.throttle import MAX_DELAY_S
from domain.rate_limit.token_estimate import Demand
from domain.replica_moments import SKEW_S
from domain.replica_report import ReplicaReport
from tests.fakes import FakeClock, FakeStateStore, RecordingAlarm, RecordingLog
from tests.picture import Picture

DEMAND = Demand(text_bytes=40, max_output_tokens=0)


def endpoint(name: str, identity: str, *, owns_credential: bool = True) -> Endpoint:
    return Endpoint(
        id=name,
        model="m",
        provider="azure",
        identity=f"i{identity}",
        bucket=f"b{identity}",
        account=f"a{identity}",
        owns_credential=owns_credential,
    )


GROUPS = (
    ModelGroup("g", (endpoint("g/1", "1"), endpoint("g/2", "2"))),
    ModelGroup("h", (endpoint("h/1", "1"), endpoint("h/2", "3", owns_credential=False))),
)


class Replica:
    """One process, on a host whose clock says what it likes."""

    def __init__(self, name: str, store: FakeStateStore, ahead_s: float = 0.0, tick_s: float = 0.1) -> None:
        self.name = name
        self.clock = FakeClock(store.clock.now() + ahead_s)
        self.alarm = RecordingAlarm()
        self.log = RecordingLog()
        self.picture = Picture(GROUPS, self.clock, self.alarm, reserve=0.0)
        self.sharing = Replication(
            self.picture.replicas, store, self.clock, name, self.log, self.picture.report_due, tick_s
        )
        self.woken = 0
        self.picture.signal.listen(self)

    def serve_soon(self, _: object) -> None:
        self.serve_all()

    def serve_all(self) -> None:
        self.woken += 1

    def begin(self, name: str, client: str = "") -> Lease:
        group = next(group for group in GROUPS if any(e.id == name for e in group.endpoints))
        others = [e.id for e in group.endpoints if e.id != name]
        lease = self.picture.pick(group, client, DEMAND, others) or self.picture.pick_last_resort(
            group, client, DEMAND, others
        )
        assert lease is not None
        return lease

    def fail(self, name: str, failure: Failure = Failure(FailureKind.RESET), client: str = "") -> None:  # noqa: B008
        lease = self.begin(name, client)
        self.picture.failed(lease, failure)
        self.picture.release(lease)

    def succeed(self, name: str, reading: Reading | None = None) -> None:
        lease = self.begin(name)
        if reading is not None:
            self.picture.replied(lease, Readings(reading))
        self.picture.succeeded(lease)
        self.picture.release(lease)

    def state(self, name: str) -> HealthState:
        return self.picture.state(self._endpoint(name))

    def cooling_s(self, name: str) -> float:
        return self.picture.cooling_s(self._endpoint(name))

    def clock_s(self, name: str) -> float:
        return self.picture.throttled_s(self._endpoint(name))

    def room(self, name: str) -> float | None:
        return self.picture.ledger.seen(self._endpoint(name), "").requests.room(self.clock.now())

    def _endpoint(self, name: str) -> Endpoint:
        return next(e for group in GROUPS for e in group.endpoints if e.id == name)


class World:
    """A store, and two replicas whose clocks are far apart."""

    def __init__(self) -> None:
        self.store = FakeStateStore(FakeClock(5e5))
        self.one = Replica("one", self.store, ahead_s=-5e5)
        self.two = Replica("two", self.store, ahead_s=1e6)
        self.replicas = [self.one, self.two]

    def started(self, name: str) -> Replica:
        replica = Replica(name, self.store, ahead_s=77.0)
        self.replicas.append(replica)
        return replica

    def advance(self, seconds: float) -> None:
        self.store.clock.advance(seconds)
        for replica in self.replicas:
            replica.clock.advance(seconds)

    async def exchange(self) -> None:
        for replica in self.replicas * 2:
            await replica.sharing.exchange()


@pytest.fixture
def world() -> World:
    return World()


async def eventually(happened: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if happened():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never happened")


async def test_a_cooldown_is_kept_by_the_other_replica_and_ends_at_the_same_time(world: World) -> None:
    world.one.fail("g/1")
    world.advance(0.1)
    await world.exchange()

    assert world.two.cooling_s("g/1") == pytest.approx(59.9)
    assert world.two.state("g/2") is HealthState.CLOSED
    world.advance(60)
    assert world.one.state("g/1") is world.two.state("g/1") is HealthState.HALF_OPEN


async def test_the_one_that_only_heard_of_it_raises_no_alarm(world: World) -> None:
    world.one.fail("g/1")
    await world.exchange()
    world.one.succeed("g/1")
    await world.exchange()

    assert world.one.alarm.told == [("cooling", "g/1"), ("recovered", "g/1")]
    assert world.two.alarm.told == []


async def test_a_restart_does_not_forget_a_cooldown(world: World) -> None:
    world.one.fail("g/1")
    await world.one.sharing.exchange()
    world.advance(20)
    again, late = world.started("one, again"), world.started("late")
    await again.sharing.load()

    assert again.cooling_s("g/1") == pytest.approx(40)
    world.advance(45)
    await late.sharing.load()
    assert late.state("g/1") is HealthState.HALF_OPEN, "nobody has shown yet that it is well"


async def test_who_recovered_for_one_has_recovered_for_all_and_stays_so(world: World) -> None:
    world.one.fail("g/1")
    await world.exchange()
    world.advance(60)
    world.two.succeed("g/1")
    await world.exchange()

    assert world.one.state("g/1") is world.two.state("g/1") is HealthState.CLOSED
    assert not world.one.picture.replicas.report(world.one.clock.now()).endpoints, "it was not the one that found out"
    world.advance(1)
    await world.exchange()
    fresh = world.started("fresh")
    await fresh.sharing.load()
    assert {r.state("g/1") for r in world.replicas} == {HealthState.CLOSED}


async def test_an_old_report_of_a_dead_replica_reopens_nothing(world: World) -> None:
    world.one.fail("g/1", Failure(FailureKind.AUTH))
    await world.exchange()
    world.replicas.remove(world.one)
    world.advance(20)
    world.two.succeed("g/1")
    await world.exchange()
    fresh = world.started("fresh")
    await fresh.sharing.load()
    world.advance(REFRESH_S)
    await world.exchange()

    assert "one" in world.store.reports
    assert fresh.state("g/1") is world.two.state("g/1") is HealthState.CLOSED


async def test_a_429_clock_keeps_the_other_replica_away_as_long(world: World) -> None:
    world.one.fail("g/1", Failure(FailureKind.RATE_LIMITED, retry_after_s=20.0))
    world.advance(0.1)
    await world.exchange()

    assert world.two.clock_s("g/1") == pytest.approx(19.9)
    assert world.two.state("g/1") is HealthState.CLOSED, "a 429 is no failure"


async def test_a_reading_makes_the_room_known_less_what_was_sent_from_here_since(world: World) -> None:
    earlier = [world.two.begin("g/1") for _ in range(3)]
    await world.exchange()
    world.advance(0.05)
    world.one.succeed("g/1", Reading(10, 8, 8.0))
    world.advance(0.05)
    later = [world.two.begin("g/1") for _ in range(2)]
    await world.exchange()

    assert world.two.room("g/1") == 6
    for lease in earlier + later:
        world.two.picture.release(lease)
    assert world.two.picture.ledger.seen(GROUPS[0].endpoints[0], "").reserved_requests == 0


async def test_the_first_that_is_heard_of_a_bucket_may_be_what_another_replica_read(world: World) -> None:
    world.one.succeed("g/1", Reading(10, 0, 8.0))
    world.advance(0.1)
    await world.exchange()
    second = GROUPS[0].endpoints[1]

    assert world.two.picture.room(GROUPS[0].endpoints[0], DEMAND, world.two.clock.now()) is Room.NONE
    lease = world.two.picture.pick(GROUPS[0], "", DEMAND, ())
    assert lease is not None
    assert lease.endpoint is second


async def test_an_own_reading_is_not_replaced_by_what_comes_back_from_the_store(world: World) -> None:
    world.one.succeed("g/1", Reading(10, 8, 8.0))
    for _ in range(3):
        world.one.begin("g/1")
    await world.exchange()
    world.advance(0.1)
    await world.exchange()

    assert world.one.room("g/1") == 5


async def test_what_a_dead_replica_put_down_disappears_from_nobody_who_heard_of_it(world: World) -> None:
    world.one.fail("g/1")
    await world.exchange()
    world.store.reports.clear()
    world.replicas.remove(world.one)
    await world.exchange()

    assert world.two.state("g/1") is HealthState.COOLING


async def test_one_endpoint_in_two_groups_is_one_endpoint(world: World) -> None:
    world.one.fail("h/1")
    world.one.fail("g/1", Failure(FailureKind.RATE_LIMITED, retry_after_s=20.0))
    await world.exchange()

    assert world.two.state("g/1") is world.two.state("h/1") is HealthState.COOLING
    assert world.two.clock_s("g/1") == world.two.clock_s("h/1") == pytest.approx(20)


async def test_where_clients_bring_their_keys_the_health_is_shared_and_the_limits_are_not(world: World) -> None:
    world.one.fail("h/2", Failure(FailureKind.RATE_LIMITED, retry_after_s=20.0), client="a-digest")
    world.one.fail("h/2", client="another")
    await world.exchange()

    assert world.two.state("h/2") is HealthState.COOLING
    assert all(not report.buckets for _, report in world.store.puts)
    assert "h/2" not in str(world.store.puts)
    assert "a-digest" not in str(world.store.puts[-1])


async def test_limits_of_clients_keys_are_not_taken_from_anybody(world: World) -> None:
    await world.store.put("three", ReplicaReport(buckets={"b3": BucketReport(60.0), "b2": BucketReport(60.0)}))
    await world.two.sharing.exchange()

    assert (world.two.clock_s("h/2"), world.two.clock_s("g/2")) == (0, pytest.approx(60))


async def test_endpoints_that_are_not_configured_here_are_none_of_its_business(world: World) -> None:
    report = ReplicaReport({"elsewhere": CooldownReport(0, 60, 60), "i2": CooldownReport(0, 60, 60)})
    await world.store.put("three", report)
    await world.two.sharing.exchange()

    assert world.two.state("g/2") is HealthState.COOLING
    assert world.two.log.crashes == []


async def test_who_waits_is_woken_by_news_and_not_by_its_echo(world: World) -> None:
    world.one.succeed("g/1", Reading(10, 8, 8.0))
    await world.exchange()
    woken = world.two.woken
    world.advance(REFRESH_S)
    await world.exchange()
    assert len(world.store.puts) == 2
    assert world.two.woken == woken

    world.one.succeed("g/1", Reading(10, 7, 8.0))
    await world.exchange()
    assert world.two.woken == woken + 1


async def test_a_report_is_put_down_when_it_changes_and_again_every_five_seconds(world: World) -> None:
    await world.exchange()
    assert world.store.puts == [], "there is nothing to tell"

    world.one.fail("g/1")
    await world.exchange()
    world.advance(0.1)
    await world.exchange()
    assert [name for name, _ in world.store.puts] == ["one"]

    world.store.reports.clear()
    world.advance(REFRESH_S)
    await world.exchange()
    assert list(world.store.reports) == ["one"]


async def test_what_is_over_is_told_no_more(world: World) -> None:
    world.one.succeed("g/1", Reading(10, 8, 8.0))
    await world.exchange()
    assert not world.store.reports["one"][1].is_empty

    world.advance(60)
    await world.exchange()
    assert world.store.reports["one"][1].is_empty
    puts = len(world.store.puts)
    world.advance(60)
    await world.exchange()
    assert len(world.store.puts) == puts

    world.one.fail("g/2")
    world.advance(60 + COOLDOWN_TOLD_S - 1)
    await world.exchange()
    assert set(world.store.reports["one"][1].endpoints) == {"i2"}
    world.advance(1)
    await world.exchange()
    assert world.store.reports["one"][1].is_empty


async def test_a_store_that_was_away_gets_everything_again(world: World) -> None:
    world.one.fail("g/1")
    await world.exchange()
    world.store.away = True
    world.store.reports.clear()
    world.one.fail("g/2")
    await world.exchange()
    assert world.two.state("g/2") is HealthState.CLOSED

    world.store.away = False
    await world.exchange()
    assert set(world.store.reports["one"][1].endpoints) == {"i1", "i2"}
    assert world.two.state("g/2") is HealthState.COOLING
    assert world.one.log.crashes == []


async def test_a_store_that_was_away_for_a_moment_and_lost_all_gets_it_again_at_once(world: World) -> None:
    world.one.fail("g/1")
    await world.exchange()
    world.store.away = True
    world.store.reports.clear()
    await world.exchange()
    world.store.away = False
    await world.exchange()

    assert list(world.store.reports) == ["one"]


async def test_who_had_good_answers_while_the_store_was_away_knows_better_than_what_is_told_late(world: World) -> None:
    world.store.away = True
    world.one.fail("g/1")
    world.one.fail("g/2")
    world.advance(10)
    world.two.succeed("g/1")
    world.store.away = False
    await world.exchange()

    assert world.two.state("g/1") is HealthState.CLOSED
    assert world.two.state("g/2") is HealthState.COOLING


async def test_a_store_that_takes_no_writes_is_still_read(world: World) -> None:
    world.one.fail("g/1")
    await world.one.sharing.exchange()
    world.store.read_only = True
    world.two.fail("g/2")
    await world.exchange()

    assert world.two.state("g/1") is HealthState.COOLING
    world.store.read_only = False
    await world.exchange()
    assert world.one.state("g/2") is HealthState.COOLING


async def test_a_start_without_the_store_knows_nothing_and_goes_on(world: World) -> None:
    world.store.away = True
    fresh = world.started("fresh")
    await fresh.sharing.load()

    assert fresh.state("g/1") is HealthState.CLOSED
    assert fresh.log.crashes == []
    await fresh.sharing.exchange()
    world.store.away = False
    await fresh.sharing.exchange()
    assert world.store.puts == [], "it has nothing to tell"


async def test_a_report_that_looks_the_same_but_was_put_down_later_is_taken(world: World) -> None:
    report = ReplicaReport({"i1": CooldownReport(0, 60, 60)})
    await world.store.put("three", report)
    await world.two.sharing.exchange()
    world.advance(10)
    world.two.succeed("g/1")
    world.advance(10)
    await world.two.sharing.exchange()
    assert world.two.state("g/1") is HealthState.CLOSED

    await world.store.put("three", report)
    await world.two.sharing.exchange()
    assert world.two.cooling_s("g/1") == pytest.approx(60)


async def test_through_a_slow_store_a_cooldown_gets_a_little_longer_once_and_not_with_every_telling() -> None:
    world = World()
    world.store.latency_s = 0.2
    third = world.started("three")
    world.one.fail("g/1")
    world.one.fail("g/2", Failure(FailureKind.RATE_LIMITED, retry_after_s=30.0))
    for _ in range(1000):
        world.advance(0.1)
        for replica in world.replicas:
            await replica.sharing.exchange()
        elapsed_s = world.one.clock.now()
        if elapsed_s > 31:
            assert all(replica.clock_s("g/2") == 0 for replica in world.replicas)
        if elapsed_s > 61:
            assert all(replica.state("g/1") is HealthState.HALF_OPEN for replica in world.replicas)

    assert third.alarm.told == []


async def test_a_cooldown_is_put_down_at_once_and_not_at_the_next_round(world: World) -> None:
    hasty = Replica("hasty", world.store, tick_s=3600.0)
    task = asyncio.create_task(hasty.sharing.run())
    await asyncio.sleep(0)
    hasty.fail("g/1")
    async with asyncio.timeout(10):
        await world.store.put_down.wait()
    task.cancel()

    assert set(world.store.reports["hasty"][1].endpoints) == {"i1"}


async def test_rounds_that_go_wrong_are_told_once_and_do_not_end_the_exchange(world: World) -> None:
    restless = Replica("restless", world.store, tick_s=0.0)
    restless.fail("g/1")
    world.one.fail("g/2")
    await world.one.sharing.exchange()
    world.store.broken = TypeError("a mistake")
    task = asyncio.create_task(restless.sharing.run())
    await eventually(lambda: restless.state("g/2") is HealthState.COOLING)
    assert [type(error) for error in restless.log.crashes] == [TypeError]

    world.store.broken = None
    await eventually(lambda: "restless" in world.store.reports)
    assert len(restless.log.crashes) == 1
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def sent(bucket: Bucket, requests: int) -> Bucket:
    for _ in range(requests):
        bucket.charge(10.0, 0.0)
    return bucket


def test_the_books_are_remembered_as_they_stood_at_the_last_checkpoint_before() -> None:
    history, bucket = ChargeHistory(), Bucket("openai", None, None, 0.0)
    history.begin("b")
    assert history.at("b", 5.0) == Charged()

    for now in (10.0, 10.1, 10.2):
        bucket = sent(bucket, 1)
        history.note("b", bucket.charged, now)
    assert history.at("b", 9.9) == Charged()
    assert history.at("b", 10.15) == Charged(2.0, 20.0)
    assert history.at("b", 99.0) == Charged(3.0, 30.0)

    history.note("b", bucket.charged, 10.15 + KEPT_S)
    assert history.at("b", 5.0) == Charged(2.0, 20.0), "the oldest that is remembered"
    assert history.at("b", None) == Charged(2.0, 20.0)


def test_a_bucket_that_is_opened_anew_begins_with_empty_books() -> None:
    history = ChargeHistory()
    history.begin("b")
    history.note("b", sent(Bucket("openai", None, None, 0.0), 5).charged, 1.0)
    history.begin("b")

    assert history.at("b", 2.0) == Charged()


def driven(work: Coroutine[object, object, None]) -> None:
    """Run what never really waits."""
    with pytest.raises(StopIteration):
        work.send(None)


NAMES = ("g/1", "g/2", "h/1")
WHICH = st.sampled_from([0, 1])


class AnyFleet(RuleBasedStateMachine):
    """Two replicas with requests of any outcome, either may be killed; the store is away, slow or takes no writes."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.running: list[tuple[Replica, Lease]] = []

    @rule(seconds=st.one_of(st.floats(0, 0.3), st.floats(0, 70), st.floats(0, 400)))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(which=WHICH, name=st.sampled_from(NAMES))
    def a_request_is_sent(self, which: int, name: str) -> None:
        replica = self.world.replicas[which]
        group = next(group for group in GROUPS if any(e.id == name for e in group.endpoints))
        others = [e.id for e in group.endpoints if e.id != name]
        lease = replica.picture.pick(group, "", DEMAND, others)
        lease = lease or replica.picture.pick_last_resort(group, "", DEMAND, others)
        if lease is not None:
            self.running.append((replica, lease))

    @precondition(lambda self: self.running)
    @rule(
        which=st.integers(0, 50),
        end=st.sampled_from(["answer", "reset", "auth", "limit", "left"]),
        remaining=st.integers(0, 20),
    )
    def a_request_ends(self, which: int, end: str, remaining: int) -> None:
        replica, lease = self.running.pop(which % len(self.running))
        if end in ("answer", "limit"):
            replica.picture.replied(lease, Readings(Reading(20, remaining, 10.0)))
        if end == "answer":
            replica.picture.succeeded(lease)
        elif end != "left":
            kind = {"reset": FailureKind.RESET, "auth": FailureKind.AUTH, "limit": FailureKind.RATE_LIMITED}[end]
            replica.picture.failed(lease, Failure(kind))
        replica.picture.release(lease)

    @rule(which=WHICH)
    def one_exchanges(self, which: int) -> None:
        driven(self.world.replicas[which].sharing.exchange())

    @rule(away=st.booleans(), read_only=st.booleans(), latency_s=st.floats(0, 0.2))
    def the_store_is(self, away: bool, read_only: bool, latency_s: float) -> None:
        self.world.store.away, self.world.store.read_only = away, read_only
        self.world.store.latency_s = latency_s

    @rule(which=WHICH)
    def one_is_killed_and_another_starts(self, which: int) -> None:
        gone = self.world.replicas[which]
        self.running = [(replica, lease) for replica, lease in self.running if replica is not gone]
        fresh = self.world.started(f"{gone.name}+")
        self.world.replicas.remove(gone)
        self.world.replicas.remove(fresh)
        self.world.replicas.insert(which, fresh)
        driven(fresh.sharing.load())

    @rule()
    def they_agree_once_the_store_is_well(self) -> None:
        self.the_store_is(away=False, read_only=False, latency_s=0.0)
        for replica in self.world.replicas * 3:
            driven(replica.sharing.exchange())
        one, two = self.world.replicas
        for name in NAMES:
            self._agree(one, two, name)
            self._agree(two, one, name)
        self._is_settled()

    def _agree(self, knows: Replica, other: Replica, name: str) -> None:
        """What one found out itself, the other one heeds, unless it knows better."""
        now, ahead_s = knows.clock.now(), other.clock.now() - knows.clock.now()
        told = knows.picture.replicas.report(now).shifted(ahead_s).endpoints.get(f"i{name[-1]}", CooldownReport())
        status = other.picture.states[name]
        proven = max(status.health.closed_at + SKEW_S, status._well_at)
        if told.open_until is not None and told.opened_at is not None:
            assert status.health.open_until + 2 * SKEW_S >= told.open_until or proven + SKEW_S >= told.opened_at
        if told.closed_at is not None and status.health.open_until:
            assert status.health.opened_at > told.closed_at - ECHO_S
        bucket = knows.picture.replicas.report(now).shifted(ahead_s).buckets.get(f"b{name[-1]}")
        if bucket is not None:
            theirs = other.picture.ledger.seen(status.endpoint, "")
            assert theirs.throttle.until >= (bucket.limited_until or 0.0) - 2 * ECHO_S
            if bucket.requests.read_at is not None:
                assert theirs.requests.terms.read_at >= bucket.requests.read_at - 2 * ECHO_S

    def _is_settled(self) -> None:
        """Another round changes nothing."""
        puts, woken = len(self.world.store.puts), [replica.woken for replica in self.world.replicas]
        for replica in self.world.replicas:
            driven(replica.sharing.exchange())

        assert len(self.world.store.puts) == puts
        assert [replica.woken for replica in self.world.replicas] == woken

    @invariant()
    def nothing_lasts_longer_than_five_minutes(self) -> None:
        for replica in self.world.replicas:
            for name in NAMES:
                assert replica.cooling_s(name) <= 300 + ECHO_S
                assert replica.clock_s(name) <= MAX_DELAY_S + ECHO_S

    @invariant()
    def what_is_reserved_is_what_runs(self) -> None:
        for replica in self.world.replicas:
            for name in NAMES:
                entry = replica.picture.ledger.seen(replica._endpoint(name), "")
                running = sum(r is replica and lease.endpoint.bucket == f"b{name[-1]}" for r, lease in self.running)
                assert entry.reserved_requests == running

    @invariant()
    def nothing_went_wrong(self) -> None:
        assert all(replica.log.crashes == [] for replica in self.world.replicas)


TestAnyFleet = AnyFleet.TestCase
