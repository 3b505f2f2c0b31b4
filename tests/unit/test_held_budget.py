"""The budget of what a worker holds: what is taken is given back, once, and no more is taken than may be."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from adapters.http.server.error_body import status_of
from application.answers import Answer, WholeAnswer
from application.held_bytes import SMALL_BYTES, HeldBytes, Holding, TooMuchHeld
from application.messages import WholeReply
from application.state.detached import Detached

MAX = 8 * SMALL_BYTES
MAX_LARGE = 7 * SMALL_BYTES
SIZES = st.integers(0, 3 * SMALL_BYTES)


class Account(RuleBasedStateMachine):
    """Any holders, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = HeldBytes(MAX)
        self.excess: list[int] = []
        self.budget.when_exceeded = self.excess.append
        self.open: list[tuple[Holding, int]] = []

    @rule(size=SIZES)
    def begin(self, size: int) -> None:
        holding, before = Holding(self.budget), self.budget.held_bytes
        try:
            holding.hold(size)
        except TooMuchHeld:
            assert before + size > (MAX if size <= SMALL_BYTES else MAX_LARGE)
            assert holding.held_bytes == 0
            return
        assert before + size <= MAX
        self.open.append((holding, size))

    @rule(size=SIZES, which=st.integers(0, 100))
    def change(self, size: int, which: int) -> None:
        if not self.open:
            return
        number = which % len(self.open)
        holding, before = self.open[number]
        try:
            holding.hold_in_all(size)
        except TooMuchHeld:
            assert size > before
        else:
            self.open[number] = (holding, size)

    @rule(more=st.integers(-SMALL_BYTES, SMALL_BYTES), which=st.integers(0, 100))
    def count(self, more: int, which: int) -> None:
        if not self.open:
            return
        number = which % len(self.open)
        holding, before = self.open[number]
        more = max(more, -before)
        self.excess.clear()
        holding.count(more)
        self.open[number] = (holding, before + more)
        over = self.budget.held_bytes - MAX_LARGE
        assert self.excess == ([over] if over > 0 and more > 0 else [])

    @rule(which=st.integers(0, 100), times=st.integers(1, 3))
    def end(self, which: int, times: int) -> None:
        if self.open:
            holding, _ = self.open.pop(which % len(self.open))
            for _ in range(times):
                holding.close()
            holding.count(1)
            holding.hold(1)
            assert holding.held_bytes == 0

    @invariant()
    def the_sum_is_right(self) -> None:
        assert self.budget.held_bytes == sum(size for _, size in self.open)
        assert [holding.held_bytes for holding, _ in self.open] == [size for _, size in self.open]

    def teardown(self) -> None:
        for holding, _ in self.open:
            holding.close()
        assert self.budget.held_bytes == 0


TestAccount = Account.TestCase
TestAccount.settings = settings(max_examples=50, stateful_step_count=30)


@given(st.lists(SIZES))
def test_without_a_bound_all_is_counted_and_nothing_refused(sizes: list[int]) -> None:
    budget = HeldBytes(0)
    for size in sizes:
        Holding(budget).hold(size)
        budget.check(1 << 50)

    assert budget.held_bytes == sum(sizes)
    assert not budget.is_full


def test_what_is_small_has_a_part_of_the_budget_that_nothing_large_gets() -> None:
    budget = HeldBytes(MAX)
    Holding(budget).hold(MAX_LARGE)

    with pytest.raises(TooMuchHeld):
        Holding(budget).hold(SMALL_BYTES + 1)
    with pytest.raises(TooMuchHeld):
        budget.check(SMALL_BYTES + 1)
    Holding(budget).hold(SMALL_BYTES)
    assert budget.held_bytes == MAX
    with pytest.raises(TooMuchHeld):
        Holding(budget).hold(1)
    assert budget.refused == 3


def test_small_pieces_of_something_large_are_not_small() -> None:
    budget = HeldBytes(MAX)
    Holding(budget).hold(MAX_LARGE - 2 * SMALL_BYTES)
    holding = Holding(budget)
    holding.hold(SMALL_BYTES)
    holding.hold(SMALL_BYTES)

    with pytest.raises(TooMuchHeld):
        holding.hold(1)
    assert holding.held_bytes == 2 * SMALL_BYTES


def test_the_largest_body_that_is_allowed_fits_when_nothing_else_is_held() -> None:
    budget = HeldBytes(MAX, largest_bytes=MAX)
    Holding(budget).hold(MAX)

    assert budget.held_bytes == MAX


def test_a_refusal_says_what_is_held_what_may_be_and_how_the_setting_is_called() -> None:
    budget = HeldBytes(MAX)
    Holding(budget).hold(MAX_LARGE)
    with pytest.raises(TooMuchHeld) as refused:
        budget.check(100_000)

    assert (status_of(refused.value), refused.value.retry_after_s) == (503, 2.0)
    for part in (str(MAX_LARGE), "100000", f"{MAX} bytes (max_held_bytes)"):
        assert part in str(refused.value)


# Detached requests: those that go on without their clients.


class Work:
    """Goes on until it is told to end."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.ended = ""

    async def __call__(self) -> Answer:
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        self.ended = "done"
        return WholeAnswer(WholeReply(200, (), b""))


async def leave(detached: Detached, work: Work, asked_bytes: int = 1000) -> None:
    """A client asks and leaves."""
    call = asyncio.create_task(detached(work(), asked_bytes))
    await asyncio.sleep(0.001)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await asyncio.sleep(0.001)


async def test_what_goes_on_without_its_client_is_held_until_it_ends() -> None:
    budget = HeldBytes(MAX)
    detached = Detached(budget)
    works = [Work(), Work()]
    for work in works:
        await leave(detached, work)

    assert (budget.held_bytes, detached.count) == (2000, 2)
    for work in works:
        work.may_end.set()
    await asyncio.sleep(0.001)
    assert [work.ended for work in works] == ["done", "done"]
    assert (budget.held_bytes, detached.count) == (0, 0)


async def test_beyond_a_number_of_them_a_request_ends_with_its_client() -> None:
    budget = HeldBytes(MAX)
    detached = Detached(budget, max_detached=3)
    works = [Work() for _ in range(5)]
    for work in works:
        await leave(detached, work)

    assert [work.ended for work in works] == ["", "", "", "cancelled", "cancelled"]
    assert (budget.held_bytes, detached.count) == (3000, 3)
    works[0].may_end.set()
    await asyncio.sleep(0.001)
    works.append(Work())
    await leave(detached, works[-1])
    assert works[-1].ended == ""
    for work in works:
        work.may_end.set()
    await asyncio.sleep(0.001)
    assert (budget.held_bytes, detached.count) == (0, 0)


async def test_a_client_that_stays_counts_for_itself() -> None:
    budget = HeldBytes(MAX)
    detached = Detached(budget, max_detached=0)
    work = Work()
    call = asyncio.create_task(detached(work(), 1000))
    await asyncio.sleep(0.001)

    assert (budget.held_bytes, detached.count) == (0, 0)
    work.may_end.set()
    assert isinstance(await call, WholeAnswer)
