"""Windows that are short against the rounding of their resets, fixed or sliding: beside a free endpoint no 429.

A model of the provider counts, with a still clock; requests take a while to be let in, replies overtake each other.
"""

import heapq
import math
from collections.abc import Sequence
from itertools import count
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from application.endpoints.bucket import Bucket
from domain.rate_limit.limit_reading import Reading, Readings
from domain.rate_limit.reservation import Ending, Reservation
from domain.rate_limit.room import Room
from tests.bucket_steps import charged, replied, settled

Kind = Literal["opened", "aligned", "oldest", "newest"]
Dimension = Literal["requests", "tokens"]
COST = 10.0


class Model:
    """A provider's limit of `capacity` in `window_s`.

    `opened`: fixed windows, the first of which begins with the first request. `aligned`: with the clock. `oldest` and
    `newest`: the window slides, and the reset is when the first of its requests leaves it, or the last.
    """

    def __init__(self, kind: Kind, capacity: float, window_s: float, phase_s: float) -> None:
        self.kind, self.capacity, self.window_s = kind, capacity, window_s
        self.opened: float | None = -phase_s if kind == "aligned" else None
        self.taken: list[tuple[float, float]] = []
        self.refused = 0

    def answer(self, cost: float, now: float) -> Reading:
        """Counts a request, or refuses it; what the reply says, in Azure's style."""
        if self.kind in ("opened", "aligned"):
            opened = now if self.opened is None else self.opened
            self.opened = opened + (now - opened) // self.window_s * self.window_s
            self.taken = [(at, taken) for at, taken in self.taken if at >= self.opened]
        else:
            self.taken = [(at, taken) for at, taken in self.taken if now - at < self.window_s]
        if sum(taken for _, taken in self.taken) + cost <= self.capacity:
            self.taken.append((now, cost))
        else:
            self.refused += 1
        left = self.capacity - sum(taken for _, taken in self.taken)
        return Reading(self.capacity, left, float(math.ceil(self._reset_s(now) - 1e-9)), is_bare=True)

    def _reset_s(self, now: float) -> float:
        if self.opened is not None:
            return self.opened + self.window_s - now
        return self.taken[0 if self.kind == "oldest" else -1][0] + self.window_s - now


class Sent(Struct):
    """A request that is on its way."""

    at: float
    marks: Reservation
    reading: Reading = Reading()


class World(Struct):
    """What a test draws."""

    kind: Kind
    capacity: int
    window_s: float
    provider: str
    dimension: Dimension
    arrivals: list[float]
    delays: list[tuple[float, float]]
    phase_s: float
    stated_per_minute: bool


def play(world: World) -> tuple[int, int]:
    """(requests that the limited endpoint took, that it refused). It is asked whenever it has ample room, as one is
    that stands beside a free endpoint; the first request of all is answered before the next ones come."""
    unit = 1.0 if world.dimension == "requests" else COST
    model = Model(world.kind, world.capacity * unit, world.window_s, world.phase_s)
    state, order, asked = Bucket(world.provider, None, None, 0.0, 0.02), count(), 0
    factor = 60.0 / world.window_s if world.stated_per_minute else 1.0
    events: list[tuple[float, int, str, Sent | None]] = []
    for index, at in enumerate(world.arrivals):
        heapq.heappush(events, (at + (4.0 if index else 0.0), next(order), "comes", None))
    while events:
        now, _, what, sent = heapq.heappop(events)
        if sent is None:
            if state.room_for(COST, now) is Room.AMPLE:
                delay_s = world.delays[asked % len(world.delays)][0]
                asked += 1
                marks = state.charge(COST, now)
                heapq.heappush(events, (now + delay_s, next(order), "admitted", Sent(now, marks)))
        elif what == "admitted":
            sent.reading = model.answer(unit, now)
            sent.reading = Reading(model.capacity * factor, sent.reading.remaining, sent.reading.reset_s, True)
            reply_s = world.delays[next(order) % len(world.delays)][1]
            heapq.heappush(events, (now + reply_s, next(order), "replied", sent))
        else:
            said = {world.dimension: sent.reading}
            state.read(Readings(**said), sent.marks, sent.at, now)
            state.settle(sent.marks, Ending.ANSWERED, now)
    return asked, model.refused


KINDS: Sequence[Kind] = ("opened", "aligned", "oldest", "newest")
WORLDS = st.builds(
    World,
    kind=st.sampled_from(KINDS),
    capacity=st.sampled_from([1, 2, 5, 20]),
    window_s=st.sampled_from([1.0, 2.0, 3.0]),
    provider=st.sampled_from(["azure", "openai"]),
    dimension=st.sampled_from(["requests", "tokens"]),
    arrivals=st.lists(st.floats(0, 12).map(lambda at: round(at, 2)), min_size=60, max_size=60).map(sorted),
    delays=st.lists(st.tuples(st.floats(0.001, 0.05), st.floats(0.001, 3.5)), min_size=1, max_size=7),
    phase_s=st.floats(0, 1),
    stated_per_minute=st.booleans(),
)


@given(WORLDS)
def test_no_short_window_is_overdrawn_beside_a_free_endpoint(world: World) -> None:
    asked, refused = play(world)

    assert refused == 0
    assert asked >= 1


EVERY_TENTH = [n / 10 for n in range(60)]
ALL_AT_ONCE = [n / 1000 for n in range(60)]
BURSTS = [n // 10 * 1.3 for n in range(60)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("provider", ["azure", "openai"])
@pytest.mark.parametrize("dimension", ["requests", "tokens"])
@pytest.mark.parametrize("arrivals", [EVERY_TENTH, ALL_AT_ONCE, BURSTS], ids=["steady", "at once", "bursts"])
@pytest.mark.parametrize("window_s", [1.0, 2.0, 3.0, 10.0])
def test_five_in_a_window_in_azures_style_see_no_429_and_are_used_again_and_again(
    kind: Kind, provider: str, dimension: Dimension, arrivals: list[float], window_s: float
) -> None:
    # Azure documents windows of 10 s for requests: that they slide has to be seen once.
    allowed = (
        2 if (window_s, provider, dimension) == (10.0, "azure", "requests") and kind in ("oldest", "newest") else 0
    )
    for phase_s in (0.0, 0.37 * window_s, 0.93 * window_s):
        delays = [(0.002, 0.01), (0.03, 0.012), (0.011, 0.3)]
        arrived = [*arrivals, *(20 + at for at in arrivals)]
        asked, refused = play(World(kind, 5, window_s, provider, dimension, arrived, delays, phase_s, False))

        assert refused <= allowed
        assert asked >= (7 if dimension == "requests" else 5), "all of two windows, but for what is kept"


def said(provider: str, reading: Reading, at: float = 0.0) -> Bucket:
    state, marks = charged(Bucket(provider, None, None, 0.0, 0.02), COST, at)
    return settled(replied(state, Readings(requests=reading), marks, at, at), marks, Ending.ANSWERED, at)


def test_what_was_sent_while_a_windows_end_was_near_counts_in_the_next_one() -> None:
    """Of tokens, whose windows are minutes. Two requests fall into the second in which one may have ended."""
    state, marks = charged(Bucket("azure", None, None, 0.0, 0.02), COST, 0.0)
    state.read(Readings(tokens=Reading(600, 590, 60.0, is_bare=True)), marks, 0.0, 0.0)
    state.charge(COST, 58.0)
    for _ in range(2):
        state.charge(COST, 59.5)

    assert state.tokens.sure_room(59.9) == 560
    assert state.tokens.sure_room(60.0) == 580


def test_a_window_that_gave_back_less_than_all_is_taken_to_slide_until_one_gives_back_all() -> None:
    state = said("azure", Reading(60, 9, 10.0, is_bare=True))

    def next_window(state: Bucket, at: float, remaining: float) -> Bucket:
        for sent in (at - 5.0, at):
            marks = state.charge(COST, sent)
        return replied(state, Readings(requests=Reading(60, remaining, 10.0, is_bare=True)), marks, at, at)

    assert state.requests.sure_room(10.0) == 10
    slid = next_window(state, 11.0, 6)
    assert slid.requests.sure_room(20.9) == 6
    assert slid.requests.sure_room(21.0) == 7
    fixed = next_window(slid, 22.0, 9)
    assert fixed.requests.sure_room(32.0) == 10


def test_a_short_window_gives_back_one_at_its_end_and_all_when_it_has_been_quiet_for_its_length() -> None:
    state = said("azure", Reading(5, 1, 3.0, is_bare=True))

    assert state.requests.sure_room(2.9) == 1
    assert state.requests.sure_room(3.0) == 2
    assert state.requests.sure_room(3.5) == 2, "1 and the request were all that was ever seen of it"


@pytest.mark.parametrize("provider", ["azure", "openai"])
def test_a_lone_endpoint_is_asked_on_the_hope_that_all_is_back(provider: str) -> None:
    state = said(provider, Reading(5, 0, 3.0, is_bare=True))
    state.charge(COST, 4.0)

    assert state.room_for(COST, 4.1) is Room.SCARCE


def test_what_is_used_up_names_no_smaller_limit() -> None:
    """Azure's limits are named per minute and counted in slices of 10 s; 5 cannot be cut into six."""
    state = said("azure", Reading(5, 0, 3.0, is_bare=True))

    assert state.requests.terms.limit == 5


def test_a_reading_that_overtook_others_makes_no_room_although_they_were_answered_first() -> None:
    state = said("azure", Reading(5, 4, 3.0, is_bare=True))
    first = state.charge(COST, 0.1)
    second = state.charge(COST, 0.1)
    state.read(Readings(requests=Reading(5, 2, 3.0, is_bare=True)), first, 0.1, 0.2)
    state.settle(first, Ending.ANSWERED, 0.2)
    state.read(Readings(requests=Reading(5, 3, 3.0, is_bare=True)), second, 0.1, 0.3)

    assert state.requests.sure_room(0.3) == 2


def test_what_never_reached_the_provider_is_surely_there_again() -> None:
    state, lost = charged(said("azure", Reading(5, 4, 3.0, is_bare=True)), COST, 0.1)

    assert state.requests.sure_room(0.2) == 3
    assert settled(state, lost, Ending.UNSENT, 0.2).requests.sure_room(0.2) == 4


def test_windows_that_refill_without_pause_and_say_so_are_no_windows() -> None:
    state = said("openai", Reading(60, 30, 30.0))

    assert state.requests.terms.window is None
    assert state.requests.sure_room(10.0) == pytest.approx(40)
