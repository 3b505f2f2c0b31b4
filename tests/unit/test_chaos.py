"""The chaos run: its schedule leaves a proxy that does everything right always somebody to ask, its judge blames the
proxy for whatever nothing else explains, and its interval is that of Clopper and Pearson."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.chaos.faults import REDIS, REDIS_FAULTS, REPLICA_FAULTS, REPLICAS, SITE_FAULTS, SITES, Fault
from bench.chaos.history import History, Stretch
from bench.chaos.interval import highest_share
from bench.chaos.judge import REFUSED, Sight, judge
from bench.chaos.questions import CUT, EMBEDDINGS, MIXED, STATUS, TOLD, WHOLE, WORDS, WRONG, Question, chat, judged
from bench.chaos.report import concluded, lines
from bench.chaos.schedule import schedule, well_sites
from bench.wire import Answer
from simulator.content.text import Ask, compose, digest_of


@given(seed=st.integers(0, 2**32), seconds=st.floats(8, 600))
def test_at_any_moment_a_site_is_well(seed: int, seconds: float) -> None:
    faults = schedule(seed, seconds)

    assert faults == schedule(seed, seconds)
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)
    for fault in faults:
        assert fault.until_s <= seconds
        assert well_sites(faults, fault.at_s), fault
    for site in (*SITES, REDIS):
        own = [fault for fault in faults if fault.target == site]
        assert all(one.until_s <= other.at_s for one, other in pairwise(own))


def test_in_a_run_of_full_length_every_kind_comes_several_times() -> None:
    kinds = [fault.kind for fault in schedule(1, 1200)]

    for kind in (*SITE_FAULTS, *REDIS_FAULTS, *REPLICA_FAULTS):
        assert kinds.count(kind) >= 5, kind


@pytest.mark.parametrize(("failures", "requests"), [(0, 2_995), (1, 4_742), (5, 10_511)], ids=["none", "one", "five"])
def test_so_many_requests_show_999_in_a_thousand_and_one_fewer_does_not(failures: int, requests: int) -> None:
    assert highest_share(failures, requests) < 0.001 < highest_share(failures, requests - 1)


def test_nothing_is_shown_by_nothing_or_by_failures_alone() -> None:
    assert highest_share(3, 3) == 1.0
    assert highest_share(300, 25_000) == pytest.approx(0.0132, abs=0.0001)


QUESTION = chat("chat", "Hello")
WORDS_OF_ALPHA = compose(Ask(), "alpha", digest_of(QUESTION.body), 0, WORDS).text


def _answer(text: str) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}}]}).encode()


def _events(*texts: str, end: str = "[DONE]") -> bytes:
    events = [json.dumps({"choices": [{"delta": {"content": text}}]}) for text in texts]
    return "".join(f"data: {event}\n\n" for event in [*events, end]).encode()


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (WORDS_OF_ALPHA, WHOLE),
        (WORDS_OF_ALPHA + " more", WRONG),
        (WORDS_OF_ALPHA[:-1], WRONG),
        (compose(Ask(), "alpha", digest_of(b"another question"), 0, WORDS).text, MIXED),
    ],
)
def test_an_answer_is_held_against_every_word_of_what_was_asked(text: str, seen: str) -> None:
    assert judged(QUESTION, Answer(200, {}, _answer(text))) == seen


def test_a_stream_is_whole_told_or_cut() -> None:
    question = chat("chat", "Hello", stream=True)
    text = compose(Ask(), "beta", digest_of(question.body), 0, WORDS).text
    error = '{"error": {"message": "It broke."}}'

    assert judged(question, Answer(200, {}, _events(text[:9], text[9:]))) == WHOLE
    assert judged(question, Answer(200, {}, _events(text[:9], end=error))) == TOLD
    assert judged(question, Answer(200, {}, _events(text, end=""))) == CUT
    assert judged(question, Answer(200, {}, _events(text), ended=False)) == CUT
    assert judged(question, Answer(200, {}, _events(text[:9], text[:9], text[9:]))) == WRONG
    assert judged(question, Answer(502, {}, b"")) == STATUS


def test_an_embedding_that_is_none() -> None:
    question = Question("embedding", EMBEDDINGS, b'{"input": "Hello"}')

    assert judged(question, Answer(200, {}, b'{"data": []}')) == WRONG


def _history(*faults: Fault) -> History:
    history = History()
    history.stretches = [Stretch(fault, fault.at_s, fault.until_s) for fault in faults]
    return history


def _sight(seen: str, *, site: str = "", owner: str | None = None, replica: str = "", status: int = 0) -> Sight:
    return Sight(1, "chat", owner, 100.0, 101.0, seen, status, "", site, replica)


BREAKS = Fault(99.0, 5.0, "alpha", "stream reset")
ANSWERS_500 = Fault(99.0, 5.0, "alpha", "500")
KILLED = Fault(100.5, 0.0, REPLICAS[0], "worker killed")


@pytest.mark.parametrize(
    ("sight", "faults", "is_ours"),
    [
        (_sight(WHOLE), [], False),
        (_sight(TOLD, site="alpha"), [BREAKS], False),
        (_sight(TOLD, site="beta"), [BREAKS], True),
        (_sight(TOLD, site="alpha"), [ANSWERS_500], True),
        (_sight(CUT, site="alpha"), [BREAKS], True),
        (_sight(CUT, replica=REPLICAS[0]), [KILLED], False),
        (_sight(CUT, replica=REPLICAS[1]), [KILLED], True),
        (_sight(REFUSED), [KILLED], False),
        (_sight(REFUSED), [Fault(100.5, 0.0, REPLICAS[0], "restarted")], True),
        (_sight(STATUS, status=502), [ANSWERS_500], True),
        (_sight(STATUS, status=502, owner="alpha"), [ANSWERS_500], False),
        (_sight(STATUS, status=404, owner="alpha"), [ANSWERS_500], True),
        (_sight(STATUS, status=502, owner="beta"), [ANSWERS_500], True),
        (_sight(MIXED), [BREAKS, KILLED], True),
    ],
)
def test_whatever_nothing_explains_is_the_proxys_failure(sight: Sight, faults: list[Fault], is_ours: bool) -> None:
    assert judge(sight, _history(*faults)).is_ours == is_ours


def test_a_request_that_was_answered_at_its_second_try_has_failed_all_the_same() -> None:
    sights = [_sight(STATUS, status=502), _sight(WHOLE)]

    result = concluded(sights, _history(ANSWERS_500), [])

    assert (result.requests, result.failed, result.passed) == (1, 1, False)
    assert "FAILED at 100.0 to 101.0 s, chat: status 502, while beta, gamma were well and alpha 500 was on" in lines(
        result
    )


def test_what_something_else_explains_counts_as_neither() -> None:
    result = concluded([_sight(TOLD, site="alpha")], _history(BREAKS), [])

    assert (result.answered, result.failed, result.excused, result.passed) == (0, 0, 1, False)
