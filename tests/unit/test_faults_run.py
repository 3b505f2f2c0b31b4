"""The run of faults: what its figures and general checks find, and that its page is what its results say."""

from typing import Any

import msgspec
import pytest

from bench.faults import cases, page, results
from bench.faults.asking import OK, TOLD, outcome_of
from bench.faults.case import PARTS, Figure, at_least, at_most, between, exactly, in_order, none
from bench.faults.general import leftovers
from bench.faults.inside import Inside
from bench.faults.results import Result, Results
from bench.machine import Machine
from bench.wire import Answer
from simulator.content.text import digest_of

MACHINE = Machine(
    cpu="Test CPU",
    cores=2,
    memory_gib=4,
    system="Linux 6.1 x86_64",
    python="3.11.7, plain",
    commit="abc",
    upstream_client="http1",
    versions={},
    measured="2026-01-02T03:04:05+00:00",
)


def inside(**changes: Any) -> Inside:
    nothing = dict.fromkeys(
        ("clients", "to_redis", "to_providers", "in_flight", "leases", "waiting", "sockets", "held_bytes"), 0
    )
    fields = {"pid": 1, "tasks": {"beat": 2}, "files": 10, "pool_lent": 0, "pool_idle": 0, "loop_lag_ms": 0.0, "rss": 1}
    return Inside(**(nothing | fields | changes))


def result(*figures: Figure, general: tuple[Figure, ...] = (), problem: str = "") -> Result:
    return Result(
        part=PARTS[0],
        name="a",
        title="it breaks",
        expected="it holds",
        figures=figures,
        general=general,
        problem=problem,
    )


@pytest.mark.parametrize(
    ("figure", "holds"),
    [
        (none("failed", 0), True),
        (none("failed", 1), False),
        (exactly("calls", 3, 3), True),
        (exactly("calls", 2, 3), False),
        (at_most("took", 2.0, 2.0), True),
        (at_most("took", 2.1, 2.0), False),
        (at_least("hits", 2, 2), True),
        (at_least("hits", 1, 2), False),
        (between(1, "took", 1, 2), True),
        (between(1, "took", 0.9, 2), False),
        (between(1, "took", 2.1, 2), False),
    ],
)
def test_a_figure_holds_within_its_bound(figure: Figure, holds: bool) -> None:
    assert figure.holds is holds
    assert result(figure).held is holds
    assert len(result(figure).wrong()) == (not holds)


def test_a_case_holds_only_with_its_general_checks_and_when_it_came_to_its_end() -> None:
    assert not result(none("failed", 0), general=(none("left over", 1, "1 leases"),)).held
    assert not result(problem="TimeoutError").held
    assert result(problem="TimeoutError").wrong() == ["TimeoutError"]


@pytest.mark.parametrize(
    "planted",
    [
        {"in_flight": 1},
        {"leases": 1},
        {"waiting": 1},
        {"sockets": 1},
        {"held_bytes": 1},
        {"clients": 1},
        {"pool_lent": 1},
        {"to_providers": 1},
        {"tasks": {"beat": 3}},
        {"tasks": {"beat": 2, "reads for ever": 1}},
        {"files": 14},
        {"to_redis": 34},
    ],
    ids=str,
)
def test_what_is_left_of_a_case_is_found_in_any_worker(planted: dict[str, Any]) -> None:
    before = {1: inside(), 2: inside(pid=2)}

    assert len(leftovers(before, {1: inside(), 2: inside(pid=2, **planted)})) == 1
    assert len(leftovers(before, {1: inside(), 3: inside(pid=3, **planted)})) == 1, "one that was started since"


def test_nothing_is_left_where_idle_connections_are_the_pools() -> None:
    assert leftovers({1: inside()}, {1: inside(to_providers=3, pool_idle=3, to_redis=32, files=11)}) == []
    assert leftovers({1: inside()}, {}) == ["no worker answers"]


QUESTION = b'{"model": "m"}'
EVENTS = {"content-type": "text/event-stream"}


@pytest.mark.parametrize(
    ("answer", "stream", "outcome"),
    [
        (Answer(200, {}, b"{}"), False, OK),
        (Answer(200, {}, b"{}", ended=False), False, "undeclared"),
        (Answer(200, {}, b'{"x":'), False, "undeclared"),
        (Answer(200, {}, b'{"x": "one/%b/0"}' % digest_of(QUESTION).encode()), False, OK),
        (Answer(200, {}, b'{"x": "one/%b/0"}' % digest_of(b"another").encode()), False, "another's"),
        (Answer(429, {}, b"{}"), False, "429"),
        (Answer(429, {}, b"{", ended=False), False, "undeclared"),
        (Answer(200, EVENTS, b"data: {}\n\ndata: [DONE]\n\n"), True, OK),
        (Answer(200, EVENTS, b'data: {"error": {}}\n\n'), True, TOLD),
        (Answer(200, EVENTS, b'data: {"error": {}}\n\n', ended=False), True, "undeclared"),
        (Answer(200, EVENTS, b"data: {}\n\n"), True, "undeclared"),
        (Answer(200, {}, b"{}"), True, OK),
    ],
)
def test_an_outcome_is_what_a_client_can_tell(answer: Answer, stream: bool, outcome: str) -> None:
    assert outcome_of(QUESTION, answer, stream=stream) == outcome


def test_every_case_has_a_part_of_the_page_and_words() -> None:
    assert cases.__all__
    for case in in_order():
        assert case.title
        assert case.expected
        assert not case.expected.endswith(".")
    assert {case.part for case in in_order()} == set(PARTS)


def test_a_page_says_what_did_not_hold() -> None:
    ran = Results(
        command="make faults",
        machine=MACHINE,
        busy_cores=0.5,
        took_s=600,
        results=(
            result(none("failed of 9", 0), at_most("took", 1.5, 2, "s")),
            result(exactly("calls", 1234, 3), general=(none("left over", 1, "1 leases"),)),
        ),
    )
    text = page.page_of(ran)

    assert "**1 of 2 cases held.** Measured on 2026-01-02: 2 cores of Test CPU" in text
    assert "| failed of 9 **0**; took **1.5 s** (at most 2) | yes |" in text
    assert "| calls **1,234** (not 3) | **no**: calls 1234 and not = 3" in text
    assert "1 leases" in text


def test_the_page_is_what_the_results_say() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.page_of(results.kept())


def test_the_results_are_of_the_cases_that_there_are() -> None:
    kept = results.kept()

    assert [(each.part, each.name) for each in kept.results] == [(case.part, case.name) for case in in_order()]
    assert msgspec.json.decode(results.PATH.read_bytes(), type=Results) == kept
