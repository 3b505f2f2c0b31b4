"""Two phases: all workers take over a configuration, or none; whatever is heard, lost or late, in any order."""

from hypothesis import given
from hypothesis import strategies as st

from application.observing.reload_state import ReloadState
from entrypoints.reload.attempt import Attempt, Stage
from entrypoints.reload.messages import Answer, Commit, Order, Prepare

STATE = ReloadState(2, 5.0)


class FakeWorker:
    """Remembers what it was told."""

    def __init__(self, number: int, *, is_deaf: bool = False) -> None:
        self.number = number
        self.is_deaf = is_deaf
        self.told: list[Order] = []

    def tell(self, order: Order) -> bool:
        if not self.is_deaf:
            self.told.append(order)
        return not self.is_deaf

    @property
    def has_committed(self) -> bool:
        return any(isinstance(each, Commit) for each in self.told)


def attempt(*workers: FakeWorker) -> Attempt:
    return Attempt(7, b"settings", workers, now=0.0, timeout_s=10.0)


def test_all_prepare_then_all_commit_then_it_is_over() -> None:
    one, two = FakeWorker(1), FakeWorker(2)
    tried = attempt(one, two)
    assert one.told == two.told == [Prepare(7, b"settings")]

    tried.heard(1, Answer(7))
    assert not tried.is_ready
    tried.heard(2, Answer(7))
    assert tried.is_ready
    tried.commit(STATE, now=1.0)
    assert one.told[1:] == two.told[1:] == [Commit(7, STATE)]
    assert tried.stage is Stage.COMMITTING

    tried.heard(1, Answer(7, is_committed=True))
    tried.heard(2, Answer(7, is_committed=True))
    assert tried.stage is Stage.COMMITTED
    assert tried.said == {1: "serves with it", 2: "serves with it"}


def test_one_that_cannot_prepare_fails_it_for_all_and_it_would_fail_again() -> None:
    tried = attempt(FakeWorker(1), FakeWorker(2))
    tried.heard(1, Answer(7))
    tried.heard(2, Answer(7, problem="could not be composed"))

    assert tried.stage is Stage.FAILED
    assert not tried.may_pass
    assert tried.said == {1: "prepared", 2: "could not be composed"}


def test_one_that_ends_or_cannot_be_told_or_says_nothing_in_time_fails_it_and_the_next_may_succeed() -> None:
    ended = attempt(FakeWorker(1), FakeWorker(2))
    ended.heard(1, Answer(7))
    ended.lost(1)
    deaf = attempt(FakeWorker(1), FakeWorker(2, is_deaf=True))
    late = attempt(FakeWorker(1), FakeWorker(2))
    late.heard(1, Answer(7))
    late.look(9.99)
    assert not late.is_over
    late.look(10.0)

    for tried in (ended, deaf, late):
        assert tried.stage is Stage.FAILED
        assert tried.may_pass
    assert late.said == {1: "prepared", 2: "said nothing within 10 s"}


def test_after_the_commit_there_is_no_way_back_who_ends_begins_anew_with_it() -> None:
    tried = attempt(*(FakeWorker(number) for number in (1, 2, 3)))
    for number in (1, 2, 3):
        tried.heard(number, Answer(7))
    tried.commit(STATE, now=5.0)
    tried.heard(1, Answer(7, is_committed=True))
    tried.lost(2)
    tried.look(14.0)
    assert not tried.is_over
    tried.look(15.0)

    assert tried.stage is Stage.COMMITTED
    assert tried.said[2] == "ended, and begins anew with it"
    assert tried.said[3] == "said nothing within 10 s"


def test_answers_to_an_earlier_attempt_and_of_workers_that_were_not_asked_mean_nothing() -> None:
    tried = attempt(FakeWorker(1))
    tried.heard(1, Answer(6))
    tried.heard(1, Answer(7, is_committed=True))
    tried.heard(2, Answer(7, problem="who?"))
    tried.lost(2)

    assert tried.stage is Stage.PREPARING
    assert not tried.is_ready


def test_a_problem_that_is_told_after_all_have_prepared_comes_too_late() -> None:
    tried = attempt(FakeWorker(1))
    tried.heard(1, Answer(7))
    tried.commit(STATE, now=0.0)
    tried.heard(1, Answer(7, problem="no"))
    assert tried.stage is Stage.COMMITTING
    tried.heard(1, Answer(7, is_committed=True))
    assert tried.stage is Stage.COMMITTED


def test_without_a_worker_it_is_ready_at_once() -> None:
    tried = attempt()
    assert tried.is_ready
    tried.commit(STATE, now=0.0)
    assert tried.stage is Stage.COMMITTED


HAPPENINGS = st.lists(
    st.tuples(
        st.integers(1, 3), st.sampled_from(("prepared", "committed", "problem", "stale", "lost")), st.floats(0, 4)
    ),
    max_size=20,
)


@given(HAPPENINGS)
def test_nobody_is_told_to_commit_unless_all_have_prepared_and_then_all_are(
    happenings: list[tuple[int, str, float]],
) -> None:
    workers = [FakeWorker(number) for number in (1, 2, 3)]
    tried, now, prepared = attempt(*workers), 0.0, set()
    for number, what, passed in happenings:
        now += passed
        tried.look(now)
        was_preparing = tried.stage is Stage.PREPARING
        answers = {
            "prepared": Answer(7),
            "committed": Answer(7, is_committed=True),
            "problem": Answer(7, problem="no"),
            "stale": Answer(3),
        }
        if what == "lost":
            tried.lost(number)
        else:
            tried.heard(number, answers[what])
        if what == "prepared" and was_preparing and tried.stage is Stage.PREPARING:
            prepared.add(number)
        if tried.is_ready:
            assert prepared == {1, 2, 3}
            tried.commit(STATE, now)
        assert len({worker.has_committed for worker in workers}) == 1
        assert workers[0].has_committed is (tried.stage in (Stage.COMMITTING, Stage.COMMITTED))
    tried.look(now + 20)
    assert tried.is_over
