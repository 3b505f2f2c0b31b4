"""The order of turns on one socket: against a naive model, for any sequence of offers and ends."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.sockets.lanes import MOST_NAMES, MOST_RUNNING, MOST_WAITING, LaneRefusal, Lanes

LANES = st.one_of(st.sampled_from(["", "a", "b", "c"]), st.text("xyz._-", min_size=1, max_size=2))


@given(
    st.lists(st.one_of(st.tuples(st.just("offer"), LANES), st.tuples(st.just("end"), st.integers(0, 99))), max_size=200)
)
def test_every_turn_that_is_taken_runs_once_in_order_and_never_two_of_a_lane(steps: list[tuple[str, object]]) -> None:
    lanes = Lanes()
    taken: dict[str, list[int]] = defaultdict(list)
    ran: dict[str, list[int]] = defaultdict(list)
    queue: list[tuple[str, int]] = []
    running: list[str] = []
    for number, (what, value) in enumerate(steps):
        if what == "offer":
            offered = lanes.offered(str(value))
            if isinstance(offered, LaneRefusal):
                assert offered is LaneRefusal.TOO_MANY_NAMES or len(queue) >= MOST_WAITING
                continue
            lanes = offered
            taken[str(value)].append(number)
            queue.append((str(value), number))
        elif running:
            lane = running.pop(int(str(value)) % len(running))
            lanes = lanes.ended(lane)
        while (start := lanes.started()) is not None:
            lanes, lane = start
            first = next(entry for entry in queue if entry[0] not in running)
            assert first[0] == lane  # whoever came first and may run
            queue.remove(first)
            ran[lane].append(first[1])
            running.append(lane)
        assert len(running) == len(set(running)) <= MOST_RUNNING
        assert lanes.running == set(running)
        assert list(lanes.waiting) == [lane for lane, _ in queue]
        assert all(lane in running for lane, _ in queue) or len(running) == MOST_RUNNING
    while running:
        lanes = lanes.ended(running.pop())
        while (start := lanes.started()) is not None:
            lanes, lane = start
            first = next(entry for entry in queue if entry[0] == lane)
            queue.remove(first)
            ran[lane].append(first[1])
            running.append(lane)

    assert lanes.is_idle
    assert ran == taken


@pytest.mark.parametrize("name", ["a b", "ä", "a/b", "x" * 257, "\n"])
def test_names_that_no_lane_may_have(name: str) -> None:
    assert Lanes().offered(name) is LaneRefusal.INVALID_NAME


def test_only_so_many_names_for_the_life_of_a_socket_and_the_default_lane_is_none_of_them() -> None:
    lanes = Lanes()
    for number in range(MOST_NAMES):
        offered = lanes.offered(f"lane-{number}")
        assert isinstance(offered, Lanes)
        start = offered.started()
        assert start is None or start[0].names == offered.names
        lanes = offered if start is None else start[0].ended(start[1])
    assert lanes.offered("another") is LaneRefusal.TOO_MANY_NAMES
    assert isinstance(lanes.offered("lane-3"), Lanes)
    assert isinstance(lanes.offered(""), Lanes)


def test_only_so_many_wait() -> None:
    lanes: Lanes | LaneRefusal = Lanes()
    for _ in range(MOST_WAITING):
        assert isinstance(lanes, Lanes)
        lanes = lanes.offered("")
    assert isinstance(lanes, Lanes)
    assert lanes.offered("") is LaneRefusal.QUEUE_FULL
