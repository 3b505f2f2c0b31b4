"""Smooth weighted round robin: exact shares, evenly spread, also when some are out."""

from hypothesis import given
from hypothesis import strategies as st

from domain.routing.selector import Selector


def turns(weights: list[int], candidates: list[int], count: int, selector: Selector | None = None) -> list[int]:
    selector = selector or Selector.fresh(len(weights))
    chosen = []
    for _ in range(count):
        index, selector = selector.choose(weights, candidates)
        chosen.append(index)
    return chosen


def test_weights_5_1_1_are_spread_as_nginx_does() -> None:
    assert turns([5, 1, 1], [0, 1, 2], 7) == [0, 0, 1, 0, 2, 0, 0]


def test_3_to_1_over_400_requests_is_exactly_300_to_100_and_interleaved() -> None:
    chosen = turns([3, 1], [0, 1], 400)

    assert (chosen.count(0), chosen.count(1)) == (300, 100)
    assert all(chosen[i : i + 4].count(1) == 1 for i in range(0, 400, 4))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(1, 3))
def test_every_full_round_divides_exactly_by_weight(weights: list[int], rounds: int) -> None:
    chosen = turns(weights, list(range(len(weights))), rounds * sum(weights))

    assert [chosen.count(i) for i in range(len(weights))] == [rounds * weight for weight in weights]


@given(st.data())
def test_those_available_share_by_their_weights_when_others_are_out(data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.integers(1, 20), min_size=2, max_size=5))
    before = data.draw(st.integers(0, 30))
    out = data.draw(st.sets(st.integers(0, len(weights) - 1), max_size=len(weights) - 1))
    selector = Selector.fresh(len(weights))
    for _ in range(before):
        _, selector = selector.choose(weights, list(range(len(weights))))
    left = [i for i in range(len(weights)) if i not in out]
    total = sum(weights[i] for i in left)

    chosen = turns(weights, left, 20 * total, selector)

    assert not set(chosen) & out
    # Credit left over from before shifts shares once, by as many turns as it pays for.
    paid = sum(abs(selector.credits[i]) for i in left) / total
    assert all(abs(chosen.count(i) - 20 * weights[i]) <= len(weights) + 1 + paid for i in left)


def test_credit_from_before_pays_for_turns_when_others_are_out() -> None:
    weights, selector = [1, 1, 9, 12], Selector.fresh(4)
    for _ in range(8):
        _, selector = selector.choose(weights, [0, 1, 2, 3])
    chosen = turns(weights, [0, 1], 40, selector)

    assert abs(chosen.count(0) - 20) <= sum(abs(credit) for credit in selector.credits[:2]) / 2 + 1


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 200))
def test_credit_always_sums_to_nothing(weights: list[int], count: int) -> None:
    selector = Selector.fresh(len(weights))
    for _ in range(count):
        _, selector = selector.choose(weights, list(range(len(weights))))

    assert sum(selector.credits) == 0


def test_endpoints_of_weight_0_among_themselves_take_turns() -> None:
    assert turns([0, 0], [0, 1], 4) == [0, 1, 0, 1]
