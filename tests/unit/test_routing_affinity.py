"""Requests with a key go where their prompts are cached, while there is room, and disturb nobody else's turn."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from application.endpoints.endpoint_state import Lease
from application.endpoints.waiting_queue import WaitingQueue
from application.messages import RequestTrace
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.group import ModelGroup
from domain.health.cooldown import CooldownPolicy
from domain.rate_limit.limit_reading import Reading, Readings
from domain.rate_limit.token_estimate import Demand
from domain.routing.affinity import Affinity
from domain.routing.route_query import RouteQuery
from tests.fakes import FakeClock
from tests.picture import Picture
from tests.unit.dispatch_bench import Bench, good, refused, status

DEMAND = Demand(text_bytes=40, max_output_tokens=0)
KEYS = [f"conversation-{i}" for i in range(40)]


class Scene:
    """A group of endpoints `e0`, `e1`, ... with affinity, and a clock that is set."""

    def __init__(self, *weights: int, affinity: Affinity = Affinity.PROMPT_CACHE_KEY) -> None:
        self.clock = FakeClock()
        endpoints = tuple(
            Endpoint(f"e{i}", "m", "openai", weight=weight, bucket=f"b{i}", account=f"a{i}", identity=f"digest-{i}")
            for i, weight in enumerate(weights)
        )
        self.group = ModelGroup("g", endpoints, CooldownPolicy(cooldown_s=60), affinity=affinity)
        self.picture = Picture([self.group], self.clock)

    def lease(self, key: str, passed_over: Sequence[str] = ()) -> Lease:
        lease = self.picture.pick(self.group, "", DEMAND, passed_over, key)
        assert lease is not None
        return lease

    def ask(self, key: str, passed_over: Sequence[str] = ()) -> str:
        """A request that goes well; where it went."""
        lease = self.lease(key, passed_over)
        self.picture.succeeded(lease)
        self.picture.release(lease)
        return lease.endpoint.id

    def owners(self) -> dict[str, str]:
        return {key: self.ask(key) for key in KEYS}

    def fail(self, endpoint: str, failure: Failure) -> None:
        """A request without a key fails there."""
        lease = self.lease("", [e.id for e in self.group.endpoints if e.id != endpoint])
        self.picture.failed(lease, failure)
        self.picture.release(lease)

    def read(self, endpoint: str, remaining: int) -> None:
        """A reply from there says what is left of 100 requests a minute."""
        lease = self.lease("", [e.id for e in self.group.endpoints if e.id != endpoint])
        self.picture.replied(lease, Readings(Reading(100, remaining, 60.0 * (100 - remaining) / 100)))
        self.picture.succeeded(lease)
        self.picture.release(lease)


def test_a_key_has_one_endpoint_and_all_endpoints_have_keys() -> None:
    scene = Scene(2, 1, 1)

    owners = scene.owners()

    assert scene.owners() == owners
    assert set(owners.values()) == {"e0", "e1", "e2"}


def test_keys_mean_nothing_where_affinity_is_off() -> None:
    scene = Scene(1, 1, affinity=Affinity.NONE)

    assert Counter(scene.ask("always the same") for _ in range(10)) == {"e0": 5, "e1": 5}


def test_requests_with_a_key_use_up_nobodys_turn() -> None:
    disturbed, quiet = Scene(5, 1, 1), Scene(5, 1, 1)
    turns = []
    for key in (KEYS * 2)[:70]:
        disturbed.ask(key)
        turns.append(disturbed.ask(""))

    assert turns == [quiet.ask("") for _ in range(70)]
    assert Counter(turns) == {"e0": 50, "e1": 10, "e2": 10}


@pytest.mark.parametrize(
    "failure", [Failure(FailureKind.RESET), Failure(FailureKind.RATE_LIMITED, retry_after_s=60.0)], ids=["cools", "429"]
)
def test_while_an_owner_is_out_only_its_keys_move_and_they_come_back(failure: Failure) -> None:
    scene = Scene(2, 1, 1)
    before = scene.owners()
    scene.fail("e0", failure)

    during = scene.owners()
    scene.clock.advance(70)

    assert "e0" not in during.values()
    assert all(during[key] == owner for key, owner in before.items() if owner != "e0")
    assert {during[key] for key, owner in before.items() if owner == "e0"} == {"e1", "e2"}
    assert scene.owners() == before


def test_a_retry_goes_to_the_keys_second_choice_where_it_also_goes_while_the_first_is_out() -> None:
    scene = Scene(1, 1, 1)
    before = scene.owners()
    again = {key: scene.ask(key, [owner]) for key, owner in before.items()}
    scene.fail("e1", Failure(FailureKind.RESET))

    assert all(scene.ask(key) == again[key] for key, owner in before.items() if owner == "e1")


def test_an_owner_whose_room_gets_scarce_is_left_and_taken_again_when_it_has_room() -> None:
    scene = Scene(1, 1)
    key = next(key for key, owner in scene.owners().items() if owner == "e0")
    scene.read("e0", remaining=2)

    spilled = scene.ask(key)
    scene.clock.advance(30)

    assert spilled == "e1"
    assert scene.ask(key) == "e0"


def test_where_all_is_scarce_the_roomiest_serves_whoever_owns_the_key() -> None:
    scene = Scene(1, 1)
    owners = scene.owners()
    scene.read("e0", remaining=2)
    scene.read("e1", remaining=3)

    assert "e0" in owners.values()
    assert scene.ask(next(key for key, owner in owners.items() if owner == "e0")) == "e1"


def test_weight_0_owns_no_key_and_inherits_them_when_all_others_are_out() -> None:
    scene = Scene(1, 0, 0)
    assert set(scene.owners().values()) == {"e0"}
    scene.fail("e0", Failure(FailureKind.RESET))

    inherited = scene.owners()

    assert set(inherited.values()) == {"e1", "e2"}
    assert scene.owners() == inherited


async def test_who_had_to_wait_goes_to_its_owner_if_that_has_room() -> None:
    scene = Scene(1, 1, 1)
    owners = scene.owners()
    room = WaitingQueue(scene.picture.pool, scene.picture.signal, scene.clock)

    leases = await asyncio.gather(
        *(room.lease(scene.group, RouteQuery(DEMAND, "", key), frozenset(), scene.clock.now() + 5) for key in KEYS)
    )

    assert [lease and lease.endpoint.id for lease in leases] == list(owners.values())


def test_replicas_whose_files_differ_in_order_and_ids_agree() -> None:
    here, there = Scene(1, 1, 1), Scene(1, 1, 1)
    renamed = tuple(replace(e, id=f"other-{e.id}") for e in reversed(there.group.endpoints))
    there.group = replace(there.group, endpoints=renamed)
    there.picture = Picture([there.group], there.clock)

    assert there.owners() == {key: f"other-{owner}" for key, owner in here.owners().items()}


async def attempts(bench: Bench, key: str) -> tuple[list[str], list[str]]:
    """In which order the key prefers the endpoints, and which were asked."""
    group = replace(bench.group, affinity=Affinity.PROMPT_CACHE_KEY)
    preferred: list[str] = []
    while len(preferred) < len(group.endpoints):
        lease = bench.picture.pick(group, "", DEMAND, preferred, key)
        assert lease is not None
        bench.picture.release(lease)
        preferred.append(lease.endpoint.id)
    await bench.dispatch(group, replace(bench.request(), affinity=key), trace := RequestTrace())
    return preferred, [attempt.endpoint for attempt in trace.attempts]


@pytest.mark.parametrize("key", KEYS[:8])
async def test_the_attempts_of_a_request_follow_its_keys_order(key: str) -> None:
    preferred, asked = await attempts(Bench([refused], [good], [refused]), key)

    assert asked == preferred[: preferred.index("e2") + 1]


@pytest.mark.parametrize("key", KEYS[:8])
async def test_who_backs_off_begins_again_with_the_owner(key: str) -> None:
    preferred, asked = await attempts(Bench([refused, good], [refused, good], [refused, good], fails=9), key)

    assert asked == [*preferred, preferred[0]]


@pytest.mark.parametrize("key", KEYS[:8])
async def test_who_waited_for_a_limit_begins_again_with_the_owner(key: str) -> None:
    limited = status(429, retry_after="2")
    preferred, asked = await attempts(Bench([limited, good], [limited, good], [limited, good]), key)

    assert asked == [*preferred, preferred[0]]
