"""Weighted rendezvous hashing: who owns a key, who comes next, and what moves when the group changes."""

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from domain.routing.affinity import DRAW_BITS, Rendezvous, score

# Half an emoji is what a client's JSON may hold, however wrong it is.
KEYS = st.text(st.characters(), max_size=40)
WEIGHTS = st.lists(st.integers(0, 20), min_size=1, max_size=6)


def group(size: int) -> Rendezvous:
    return Rendezvous.of(f"endpoint-{i}" for i in range(size))


def owners(weights: list[int], keys: int, rendezvous: Rendezvous | None = None) -> Counter[int]:
    rendezvous = rendezvous or group(len(weights))
    return Counter(rendezvous.order(f"key-{i}", weights, range(len(weights)))[0] for i in range(keys))


@given(KEYS, WEIGHTS)
def test_every_candidate_has_its_place_and_the_same_every_time(key: str, weights: list[int]) -> None:
    rendezvous = group(len(weights))

    order = rendezvous.order(key, weights, range(len(weights)))

    assert sorted(order) == list(range(len(weights)))
    assert rendezvous.order(key, weights, range(len(weights))) == order


@given(KEYS, WEIGHTS, st.data())
def test_who_leaves_takes_nobody_elses_keys_along(key: str, weights: list[int], data: st.DataObject) -> None:
    rendezvous = group(len(weights))
    everybody = rendezvous.order(key, weights, range(len(weights)))
    left = data.draw(st.sets(st.sampled_from(range(len(weights)))))

    assert rendezvous.order(key, weights, left) == [index for index in everybody if index in left]


@given(KEYS, st.lists(st.integers(1, 20), min_size=2, max_size=6), st.data())
def test_a_weight_that_grows_only_attracts(key: str, weights: list[int], data: st.DataObject) -> None:
    grown = data.draw(st.sampled_from(range(len(weights))))
    heavier = [weight + 5 * (index == grown) for index, weight in enumerate(weights)]
    rendezvous = group(len(weights))

    before = rendezvous.order(key, weights, range(len(weights)))
    after = rendezvous.order(key, heavier, range(len(weights)))

    assert [index for index in after if index != grown] == [index for index in before if index != grown]
    assert after.index(grown) <= before.index(grown)


@given(KEYS, st.permutations(range(4)), st.lists(st.integers(0, 9), min_size=4, max_size=4))
def test_replicas_agree_whatever_the_order_of_their_files(key: str, places: list[int], weights: list[int]) -> None:
    names = [f"endpoint-{i}" for i in range(4)]
    here = Rendezvous.of(names).order(key, weights, range(4))
    there = Rendezvous.of(names[i] for i in places).order(key, [weights[i] for i in places], range(4))

    assert [places[index] for index in there] == here


@given(KEYS, WEIGHTS)
def test_weight_0_comes_after_every_other(key: str, weights: list[int]) -> None:
    order = group(len(weights)).order(key, weights, range(len(weights)))

    assert [weights[index] == 0 for index in order] == sorted(weights[index] == 0 for index in order)


def test_over_many_keys_the_shares_follow_the_weights() -> None:
    weights, keys = [5, 3, 1, 1], 20_000
    counted = owners(weights, keys)

    assert all(math.isclose(counted[i], keys * weight / 10, rel_tol=0.05) for i, weight in enumerate(weights))


def test_the_keys_of_who_leaves_spread_over_the_others_by_their_weights() -> None:
    weights, rendezvous = [4, 3, 1], group(3)
    orders = [rendezvous.order(f"key-{i}", weights, range(3)) for i in range(20_000)]
    heirs = Counter(order[1] for order in orders if order[0] == 0)

    assert math.isclose(heirs[1] / heirs[2], 3, rel_tol=0.1)


def test_endpoints_of_weight_0_share_alike_among_themselves() -> None:
    rendezvous = group(3)
    counted = Counter(rendezvous.order(f"key-{i}", [1, 0, 0], [1, 2])[0] for i in range(10_000))

    assert math.isclose(counted[1], counted[2], rel_tol=0.1)


def test_an_endpoint_that_is_listed_twice_has_both_shares() -> None:
    counted = owners([1, 1, 1], 20_000, Rendezvous.of(["twin", "twin", "other"]))

    assert all(math.isclose(count, 20_000 / 3, rel_tol=0.05) for count in counted.values())


def test_key_and_name_are_told_apart() -> None:
    letters = "bcdefghijkmn"
    one = Rendezvous.of(f"1{letter}" for letter in letters).order("a", [1] * 12, range(12))
    two = Rendezvous.of(letters).order("a1", [1] * 12, range(12))

    assert one != two


def test_the_hash_is_one_that_every_version_and_replica_computes_alike() -> None:
    orders = ["".join(map(str, group(5).order(key, [5, 4, 3, 2, 0], range(5)))) for key in ("", "a", "ключ", "\ud83d")]

    assert orders == ["21034", "02134", "01324", "20134"]


@given(st.integers(0, 2**DRAW_BITS - 1), st.integers(1, 1_000_000))
def test_every_draw_has_a_score(draw: int, weight: int) -> None:
    assert 0 < score(draw, weight) < math.inf


def test_the_first_and_the_last_draw_have_a_score_too() -> None:
    assert 0 < score(0, 1) < score(2**DRAW_BITS - 1, 1) < math.inf
