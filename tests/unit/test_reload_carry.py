"""What the next configuration takes over of the one before: states by identity, buckets by key."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from application.endpoints.carried_states import carried_states
from application.endpoints.endpoint_state import EndpointState, Lease
from application.endpoints.ledger import Ledger
from application.endpoints.room_signal import RoomSignal
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.health.cooldown import CooldownPolicy
from domain.rate_limit.reservation import Ending

POLICY = CooldownPolicy()
LIMITED = Failure(FailureKind.RATE_LIMITED, "429", retry_after_s=50.0)


def states(*endpoints: tuple[str, str]) -> dict[str, EndpointState]:
    """By id; each with an identity."""
    return {
        name: EndpointState(Endpoint(name, "m", "openai", identity=identity), POLICY) for name, identity in endpoints
    }


def test_the_state_goes_where_the_identity_goes_and_no_other() -> None:
    earlier = states(("a", "one"), ("b", "two"), ("c", "three"))
    fresh = states(("b", "one"), ("x", "three"), ("a", "four"))

    carried = carried_states(fresh, earlier)

    assert carried == {"b": earlier["a"], "x": earlier["c"], "a": fresh["a"]}


def test_one_endpoint_in_two_groups_keeps_both_its_states_apart() -> None:
    earlier = states(("g/1", "one"), ("h/1", "one"))

    assert carried_states(states(("h/1", "one"), ("g/1", "one")), earlier) == earlier
    assert carried_states(states(("h/1", "one")), earlier) == {"h/1": earlier["h/1"]}
    fresh = states(("i/1", "one"), ("h/1", "one"), ("k/1", "one"))
    carried = carried_states(fresh, earlier)
    assert carried == {"h/1": earlier["h/1"], "i/1": earlier["g/1"], "k/1": fresh["k/1"]}


IDS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(("", "1", "2", "3"))), unique_by=lambda pair: pair[0])


@given(IDS, IDS)
def test_a_state_is_carried_once_only_to_its_own_identity_and_to_its_own_id_first(
    before: Sequence[tuple[str, str]], after: Sequence[tuple[str, str]]
) -> None:
    earlier, fresh = states(*before), states(*after)
    kept = dict(earlier)

    carried = carried_states(fresh, earlier)

    assert earlier == kept
    assert list(carried) == list(fresh)
    assert len({id(state) for state in carried.values()}) == len(carried)
    for name, state in carried.items():
        identity = fresh[name].endpoint.identity
        assert state.endpoint.identity == identity
        if name in earlier and identity and earlier[name].endpoint.identity == identity:
            assert state is earlier[name]
    for identity in "123":
        there = sum(state.endpoint.identity == identity for state in earlier.values())
        taken = [state for state in carried.values() if state.endpoint.identity == identity]
        assert sum(state in earlier.values() for state in taken) == min(there, len(taken))


def endpoint(bucket: str, rpm: int | None = None, *, owns_credential: bool = True) -> Endpoint:
    return Endpoint(bucket, "m", "openai", bucket=bucket, rpm=rpm, owns_credential=owns_credential)


def test_buckets_go_on_and_those_nobody_needs_are_forgotten() -> None:
    before = Ledger(0.02, 0.0)
    kept, gone = before.own(endpoint("kept")), before.own(endpoint("gone"))
    after = Ledger(0.02, 9.0, before)
    after.own(endpoint("kept"))
    after.take_over([endpoint("kept"), endpoint("new")], 9.0)

    assert after.own(endpoint("kept")) is kept
    assert after.own(endpoint("gone")) is not gone
    assert after.own(endpoint("new")) is not None
    after.checkpoint(10.0)


def test_until_it_is_taken_over_nothing_changes_and_then_what_is_configured_does() -> None:
    before = Ledger(0.02, 0.0)
    bucket = before.own(endpoint("b", rpm=10))
    assert bucket is not None
    held = bucket.charge(5.0, 1.0)
    bucket.limited(LIMITED, 1.0, 1.0)
    after = Ledger(0.02, 2.0, before)
    assert after.own(endpoint("b", rpm=60)) is bucket
    assert bucket.requests.terms.limit == 10

    after.take_over([endpoint("b", rpm=60)], 2.0)

    assert bucket.requests.terms.limit == bucket.requests.room(2.0) == 60
    assert bucket.throttle.wait_s(2.0) > 40
    bucket.settle(held, Ending.UNSENT, 3.0)
    assert bucket.requests.room(3.0) == 60
    assert bucket.reserved_requests == 0
    charged = bucket.requests.charged
    assert charged == 1.0
    bucket.charge(5.0, 3.0)
    assert bucket.requests.charged == 2.0


def test_what_is_configured_as_before_keeps_the_room_that_is_left() -> None:
    before = Ledger(0.02, 0.0)
    bucket = before.own(endpoint("b", rpm=10))
    assert bucket is not None
    bucket.charge(5.0, 1.0)
    after = Ledger(0.02, 1.0, before)
    after.take_over([endpoint("b", rpm=10)], 1.0)

    assert bucket.requests.room(1.0) == 9


def test_buckets_of_clients_that_bring_their_keys_go_on_too() -> None:
    theirs = endpoint("b", owns_credential=False)
    before = Ledger(0.02, 0.0)
    one = before.charged(theirs, "client-1")
    before.charged(endpoint("gone", owns_credential=False), "client-1")
    after = Ledger(0.02, 1.0, before)
    after.take_over([theirs], 1.0)

    assert after.charged(theirs, "client-1") is one
    assert len(after._clients) == 1


class Waiting:
    """Requests of one configuration."""

    def __init__(self) -> None:
        self.told = 0

    def serve_all(self) -> None:
        self.told += 1

    def serve_soon(self, _: Lease) -> None:
        self.told += 1


def test_room_is_told_to_those_who_wait_in_either_configuration() -> None:
    signal, before, after = RoomSignal(), Waiting(), Waiting()
    signal.listen(before)
    signal.listen(after)
    signal.anywhere()
    signal.stop(before)
    assert signal.is_heard
    signal.anywhere()
    signal.stop(after)
    signal.anywhere()

    assert (before.told, after.told, signal.is_heard) == (1, 2, False)
